//! The Python service's command line, unmodified, at an API with two workers.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::{
    harness::{
        api::Api,
        artifact::Artifact,
        deployment::Deployment,
        fleet::{Carrier, Fleet},
        repository::Repository,
    },
    judges::program::Program,
    peers::cli::{Cli, Ended, answer, begun_ceremony, ceremony, choose},
};

#[tokio::test]
async fn the_python_command_line_does_its_work() {
    let fleet = Fleet::over(Carrier::Rabbitmq).await;
    the_work_of(fleet).await;
}

async fn the_work_of(fleet: Fleet) {
    let home = fleet.scratch("home");
    let cli = Cli::of(&home);
    let url = fleet.url();

    let ceremony = ceremony(&fleet.scratch("ceremony"), &fleet.keys(), 4);
    let payload = fleet.scratch("ceremony").join("payload.json");
    let payload = payload.to_string_lossy();
    let sent = cli.run(&["admin", "--api-server", &url, "send", "bootstrap", &payload]).well();
    assert!(sent.contains("Bootstrap status: ACCEPTED"), "{sent}");
    assert!(sent.contains("SUCCESS") && sent.contains("Bootstrap completed."), "{sent}");
    let again = cli.run(&["admin", "--api-server", &url, "send", "bootstrap", &payload]);
    assert_eq!(again.code, Some(1), "{}", again.text);
    assert!(again.text.contains("System already has a Metadata. State: finished"), "{}", again.text);

    let repository = Repository { server: fleet, ceremony };
    let mut judge = Program::python_tuf();
    let file = home.join("file.txt");
    fs::write(&file, "the content").expect("a file can be written");
    let added = cli.run(&["artifact", "add", &file.to_string_lossy(), "-p", "some/where", "--api-server", &url]).well();
    assert!(added.contains("Artifact Addition status: ACCEPTED"), "{added}");
    let info = cli.run(&["task", "info", task_of(&added), "--all", "--api-server", &url]).well();
    assert!(info.contains("Task status: SUCCESS") && info.contains("Artifact(s) Added"), "{info}");
    let found = judge.find(&repository, &["some/where/file.txt"]);
    assert_eq!(found["some/where/file.txt"]["length"], "the content".len());

    let artifacts = repository.server.scratch("www/artifacts/some/where");
    fs::copy(&file, artifacts.join("file.txt")).expect("a file can be copied");
    let (metadata_url, artifacts_url) = (repository.server.metadata_url(), repository.server.artifacts_url());
    let root = repository.ceremony.root.to_string_lossy();
    let add = ["artifact", "repository", "add", "-n", "ours", "-r", &root, "-m", &metadata_url, "-a", &artifacts_url];
    cli.run(&add).well();
    cli.run(&["artifact", "repository", "set", "ours"]).well();
    let downloaded = cli.run(&["artifact", "download", "some/where/file.txt"]).well();
    assert!(downloaded.contains("Successfully completed artifact download"), "{downloaded}");
    let content = fs::read_to_string(home.join("downloads/some%2Fwhere%2Ffile.txt")).expect("it was downloaded");
    assert_eq!(content, "the content");

    let deleted = cli.run(&["artifact", "delete", "some/where/file.txt", "--api-server", &url]).well();
    assert!(deleted.contains("Artifact Deletion status: ACCEPTED"), "{deleted}");
    let info = cli.run(&["task", "info", task_of(&deleted), "--api-server", &url]).well();
    assert!(info.contains("Task status: SUCCESS"), "{info}");
    assert_eq!(judge.find(&repository, &["some/where/file.txt"])["some/where/file.txt"], Value::Null);
    let gone = cli.run(&["artifact", "download", "some/where/file.txt"]);
    assert_eq!(gone.code, Some(1), "{}", gone.text);
    assert!(gone.text.contains("not trusted by TUF repository"), "{}", gone.text);
}

/// People sign with the command line alone: what is pending at the bootstrap, a root, and a role.
#[tokio::test]
async fn people_sign_with_the_python_command_line() {
    let fleet = Fleet::over(Carrier::Rabbitmq).await;
    let (home, held, url) = (fleet.scratch("home"), fleet.scratch("ceremony"), fleet.url());
    let api = fleet.api();
    let cli = Cli::of(&home);
    let admin = |more: &[&'static str]| [&["admin", "--api-server", url.as_str()], more].concat();
    let signature = |person: &str| {
        let private = held.join(person);
        [choose("Key PEM File", 1), answer("private key", &private.to_string_lossy()), answer("password", "hunter2")]
    };
    let sign = |select: &str, person: &str| -> Ended {
        let first = [choose("Select a role to sign", 0), choose(select, 0)];
        let steps = [&first[..], &signature(person)].concat();
        cli.at_terminal(&admin(&["metadata", "sign"]), &steps, "Metadata Signed and sent to the API!")
    };

    // A ceremony with one signature of two; the other one comes later.
    let ceremony = begun_ceremony(&held, &fleet.keys(), &url);
    let state = api.get("/bootstrap/").await.expect("the server answers").body["data"]["state"].clone();
    assert_eq!(state, "signing");
    sign("Select key for signing", "Grace").well();
    let state = api.get("/bootstrap/").await.expect("the server answers").body["data"]["state"].clone();
    assert_eq!(state, "finished");
    let repository = Repository { server: fleet, ceremony };
    let published = repository.server.bucket().join("1.root.json");
    fs::copy(published, &repository.ceremony.root).expect("the root was published");
    let mut judge = Program::python_tuf();
    judge.watch(&repository, &["apps/never".to_owned()]);

    // A root with another online key: begun and stopped, begun again and signed.
    let metadata_url = repository.server.metadata_url();
    let metadata_url = metadata_url.trim_end_matches('/');
    let update = || {
        let next = held.join("next-online.pub");
        let steps = [
            answer("change the expiry date?", "n"),
            answer("change the threshold?", "n"),
            choose("remove", 0),
            answer("change the online key?", "y"),
            choose("Key PEM File", 4),
            answer("PUBLIC", &next.to_string_lossy()),
            answer("key name", "next-online"),
            choose("Select a key for signing", 0),
        ];
        let steps = [&steps[..], &signature("Ada"), &[choose("Select a key for signing or continue", 0)]].concat();
        let arguments = ["admin", "--api-server", url.as_str(), "metadata", "update", "--metadata-url", metadata_url];
        cli.at_terminal(&arguments, &steps, "Root metadata update completed.")
    };
    update().well();
    let stop = [choose("signing process to stop", 0), answer("still want to stop", "y")];
    cli.at_terminal(&admin(&["metadata", "stop-sign"]), &stop, "Signing process for root deleted!").well();
    let none = cli.run(&admin(&["metadata", "sign"]));
    assert_eq!(none.code, Some(1), "{}", none.text);
    assert!(none.text.contains("No metadata available for signing"), "{}", none.text);
    update().well();
    sign("Select key for signing", "Grace").well();
    assert!(repository.server.bucket().join("2.root.json").exists());

    // A role that both sign. The command does not know the words with which the API accepts it, and says so; it is accepted all the same.
    let [ada, grace] = ["Ada.pub", "Grace.pub"].map(|name| held.join(name).to_string_lossy().into_owned());
    let steps = [
        answer("delegated target role name", "vendors"),
        answer("'vendors' role", "30"),
        answer("enter path", "vendors/*"),
        choose("remove path", 0),
        choose("Add Keys", 1),
        answer("'vendors' threshold", "2"),
        choose("Sigstore", 1),
        answer("PUBLIC", &ada),
        answer("key name", "Ada"),
        choose("remove", 0),
        choose("Sigstore", 1),
        answer("PUBLIC", &grace),
        answer("key name", "Grace"),
        choose("remove", 0),
        choose("remove delegation", 0),
    ];
    let new = cli.at_terminal(&admin(&["delegations", "new"]), &steps, "Metadata delegation add accepted.");
    assert_eq!(new.code, Some(1), "{}", new.text);
    let artifact = Artifact::new("vendors/a", "a");
    until_pending(&api, "vendors").await;
    let task = api.add(std::slice::from_ref(&artifact)).await.expect("the server answers").task();
    until_pending(&api, "vendors/a").await;
    sign("Ada", "Ada").well();
    sign("Grace", "Grace").well();
    api.success(&task).await;
    assert_eq!(judge.find(&repository, &["vendors/a"])["vendors/a"], artifact.info());

    let arguments = ["admin", "--api-server", &url, "delegations", "delete", "--metadata-url", metadata_url];
    let steps = [["vendors".to_owned(), "\u{1b}[B \r".to_owned()]];
    cli.at_terminal(&arguments, &steps, "New Metadata created and sent to the API!").well();
    assert_eq!(judge.find(&repository, &["vendors/a"])["vendors/a"], Value::Null);
    let watch = judge.rest();
    assert_eq!(watch.refused, Vec::<String>::new());
    assert!(watch.refreshed > 0, "python-tuf never got through");
}

/// Waits until something with this text waits for signatures.
async fn until_pending(api: &Api, text: &str) {
    let pending = async {
        loop {
            let reply = api.get("/metadata/sign").await.expect("the server answers");
            let mut metadata = reply.body["data"]["metadata"].clone();
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.remove("trusted_targets");
            }
            if metadata.to_string().contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), pending).await.expect("it is drafted");
}

/// The id in what a command printed when its request was accepted.
fn task_of(text: &str) -> &str {
    let (_, rest) = text.split_once("ACCEPTED (").unwrap_or_else(|| panic!("no task in {text}"));
    rest.split(')').next().expect("there is always a first part")
}
