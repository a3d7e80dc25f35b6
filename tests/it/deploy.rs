//! What lies in `deploy/`: parsed and checked by the programs that it is made for, as far as they can be had without a
//! container engine; the web server really serves.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, StatusCode, header::CACHE_CONTROL};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{checkout, python_deploy, server::program};

const START_LIMIT: Duration = Duration::from_secs(20);

/// Runs a checking program and returns all that it said; it must be content.
fn content(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// A program beside the Python that reads what is deployed.
fn tool(name: &str) -> Command {
    Command::new(python_deploy().with_file_name(name))
}

#[test]
fn the_image_is_built_from_a_clean_file() {
    let said = content(tool("hadolint").arg(checkout().join("deploy/Containerfile")));
    assert_eq!(said.trim(), "");
}

#[test]
fn the_composition_has_the_form_of_one() {
    let file = checkout().join("deploy/compose.yaml");
    content(tool("check-jsonschema").args(["--builtin-schema", "vendor.compose-spec"]).arg(file));
}

#[test]
fn systemd_reads_every_unit_without_a_complaint() {
    let home = tempfile::tempdir().expect("a directory");
    let program = program().get_program().to_string_lossy().into_owned();
    let units = fs::read_dir(checkout().join("deploy/systemd")).expect("the units");
    for unit in units.map(|unit| unit.expect("a unit").path()) {
        // It looks whether the program is there; so it gets the one under test.
        let text = fs::read_to_string(&unit).expect("a unit can be read").replace("/usr/bin/rstufd", &program);
        let copy = home.path().join(unit.file_name().expect("a name"));
        fs::write(&copy, text).expect("written");
        let said =
            content(Command::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).arg(&copy));
        assert_eq!(said.trim(), "", "{}", unit.display());
    }
}

/// nginx with our configuration, on another port and directory.
struct Web {
    child: Child,
    address: String,
}

impl Web {
    async fn start(home: &Path, bucket: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let text = fs::read_to_string(checkout().join("deploy/nginx.conf")).expect("the configuration");
        let text = text
            .replace("listen 8081;", &format!("listen {address};"))
            .replace("/run/nginx.pid", &home.join("pid").display().to_string())
            .replace("root /var/lib/rstuf/metadata;", &format!("root {};", bucket.display()));
        let config = home.join("nginx.conf");
        fs::write(&config, text).expect("written");
        let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(nginx.expect("nginx is installed: run `scripts/test.sh --setup` first"));
        command.arg("-p").arg(home).arg("-c").arg(&config).args(["-g", "daemon off;"]).stdin(Stdio::null());
        let web = Self { child: command.spawn().expect("nginx can be started"), address };
        let deadline = Instant::now() + START_LIMIT;
        while web.get("timestamp.json").await.is_err() {
            assert!(Instant::now() < deadline, "nginx did not start");
            tokio::task::yield_now().await;
        }
        web
    }

    async fn get(&self, name: &str) -> reqwest::Result<(StatusCode, Option<String>)> {
        let response = Client::new().get(format!("http://{}/{name}", self.address)).send().await?;
        let caching = response.headers().get(CACHE_CONTROL);
        let caching = caching.map(|caching| caching.to_str().expect("text").to_owned());
        Ok((response.status(), caching))
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind; asked, it takes them along.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

#[actix::test]
async fn the_web_server_shows_the_metadata_and_nothing_else() {
    rstuf::cli::install_tls();
    let home = tempfile::tempdir().expect("a directory");
    let bucket = home.path().join("metadata");
    fs::create_dir_all(bucket.join(".tmp")).expect("made");
    // Its workers are somebody else.
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("opened");
    for name in ["timestamp.json", "1.root.json", "12.bins-0f.json", ".pointer.lock", ".tmp/unfinished", "notes.txt"] {
        fs::write(bucket.join(name), "{}").expect("written");
    }
    let web = Web::start(home.path(), &bucket).await;
    let answers = async |name| web.get(name).await.expect("an answer");
    assert_eq!(answers("timestamp.json").await, (StatusCode::OK, Some("no-cache".into())));
    for name in ["1.root.json", "12.bins-0f.json"] {
        assert_eq!(answers(name).await, (StatusCode::OK, Some("public, max-age=31536000, immutable".into())), "{name}");
    }
    for name in ["2.root.json", ".pointer.lock", ".tmp/unfinished", "notes.txt", ""] {
        assert_eq!(answers(name).await, (StatusCode::NOT_FOUND, None), "{name}");
    }
}
