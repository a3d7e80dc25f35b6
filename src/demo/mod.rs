//! The main job from beginning to end, with throw-away keys and real files, for who sees it for the first time.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use crate::{
    cli::{api::ApiClient, client::Client, failure::Failure},
    clock::Clock,
    standalone::{Options, Standalone},
    tuf::{bins::Layout, name::ArtifactPath},
};

pub mod ceremony;
mod files;
mod mirror;

const BINS: u32 = 16;
const TASK_LIMIT: Duration = Duration::from_secs(60);

/// Shows the main job on the files of `directory`, and returns the server, which goes on.
///
/// # Errors
/// When a step does not end as it should.
pub async fn show(options: Options, directory: PathBuf) -> anyhow::Result<Standalone> {
    let now = Clock::system().now();
    let (data_dir, key_dir) = (options.data_dir.clone(), options.key_dir.clone());
    let server = Standalone::start(options).await?;
    let url = format!("http://{}", server.address());
    println!("listening on {url}");
    let api = ApiClient::new(&url).map_err(failed)?;

    step(1, "A root ceremony. Three people make a key each; two of the three must sign what the repository trusts.");
    let payload = ceremony::hold(&key_dir, BINS, Layout::Succinct, now)?;
    let file = data_dir.join("ceremony-payload.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&payload)?)
        .with_context(|| format!("can't write {}", file.display()))?;
    say(&format!(
        "{} hold root keys; alice and bob signed. The service has one online key for all the rest.",
        ceremony::PEOPLE.join(", ")
    ));
    say(&format!("The signed root and the settings are in {}", file.display()));

    step(2, "Bootstrap. The service takes the root, and signs and publishes its first metadata.");
    curl(&format!("curl -H 'content-type: application/json' -d @{} {url}/api/v1/bootstrap/", file.display()));
    let task = finish(&api, "/api/v1/bootstrap/", &payload).await?;
    say(&format!(
        "task {} is SUCCESS: 1.root.json, targets, snapshot, timestamp and {BINS} hash bins are published",
        task.0
    ));

    let artifacts = files::artifacts(&directory)?;
    step(
        3,
        &format!(
            "Add artifacts. The {} files of {} get signed metadata: where, how long, which digest.",
            artifacts.len(),
            directory.display()
        ),
    );
    let body = |artifacts: &[(ArtifactPath, Value)]| json!({ "artifacts": artifacts.iter().map(|(_, body)| body).collect::<Vec<_>>() });
    let (path, example) =
        artifacts.iter().max_by_key(|(_, body)| body["info"]["length"].as_u64()).context("no artifact")?;
    curl(&format!(
        "curl -H 'content-type: application/json' -d '{}' {url}/api/v1/artifacts/",
        json!({ "artifacts": [example] })
    ));
    let task = finish(&api, "/api/v1/artifacts/", &body(&artifacts)).await?;
    say(&format!("task {} is SUCCESS, and that means: a client that asks now sees them", task.0));
    curl(&format!("curl '{url}/api/v1/task/?task_id={}'", task.0));

    let mirror = mirror::Mirror::start(directory.clone())?;
    step(
        4,
        &format!(
            "Download. A TUF client that knows nothing but the root fetches {path} from an ordinary download server."
        ),
    );
    let root = serde_json::to_vec(&payload["metadata"]["root"])?;
    let mut client = Client::new(&root, &format!("{url}/metadata"))?;
    client.refresh(now).await?;
    let (role, info) = client.find(path, now).await?.with_context(|| format!("{path} is not in the metadata"))?;
    let bytes = client.download(&mirror.url(path), &info).await?;
    say(&format!(
        "{role} says {} bytes and its digest; {} bytes came, and they are the ones that were signed",
        info.length,
        bytes.len()
    ));
    curl(&format!("curl {url}/metadata/timestamp.json"));

    step(5, "An attack. Somebody breaks into the download server and changes one byte of that file.");
    let mut other = bytes;
    match other.first_mut() {
        Some(byte) => *byte ^= 1,
        None => other.push(0),
    }
    mirror.tamper(path.clone(), other);
    match client.download(&mirror.url(path), &info).await {
        Ok(_) => bail!("the client took a file that was tampered with"),
        Err(error) => say(&format!("the client refuses it: {error}")),
    }
    mirror.stop().await;

    println!("\nThat is the main job. What to try next:");
    let places = [
        (format!("{url}/"), "every request, in the browser"),
        (format!("{url}/metadata/1.root.json"), "where a client starts"),
        ("rstufd standalone".to_owned(), "the same without the show; it keeps its data in ./rstuf-data"),
    ];
    for (place, what) in &places {
        println!("  {place:<45} {what}");
    }
    Ok(server)
}

/// The files that are shown when nobody names others: the sources of this project, where they are to be found.
pub fn sources() -> PathBuf {
    let project = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let sources = project.join("src");
    if sources.is_dir() { sources } else { project }
}

/// Submits a task and waits for its success; returns its id and its result.
async fn finish(api: &ApiClient, path: &str, body: &Value) -> anyhow::Result<(String, Value)> {
    let id = api.submit(path, body).await.map_err(failed)?;
    let result = api.finish(&id, TASK_LIMIT, |_| {}).await.map_err(failed)?;
    Ok((id, result))
}

fn failed(failure: Failure) -> anyhow::Error {
    anyhow!(failure.cause)
}

fn step(number: u32, text: &str) {
    println!("\n{number}. {text}");
}

fn say(text: &str) {
    println!("   {text}");
}

fn curl(command: &str) {
    println!("   $ {command}");
}
