//! `rstuf artifact download`, on repositories that python-tuf made, and on attacks made from one.

mod mirror;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use portable_pty::CommandBuilder;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{sign::changing, text};
use crate::harness::{checkout, golden, python, say, terminal::Terminal};
use mirror::{Behaviour, Mirror};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Tables {
    valid: Vec<Valid>,
    base: PathBuf,
    next: PathBuf,
    attacks: Vec<Attack>,
}

#[derive(Deserialize)]
struct Valid {
    name: String,
    stages: Vec<PathBuf>,
    ask: Vec<String>,
    absent: Vec<String>,
    hash_prefix: bool,
}

#[derive(Deserialize)]
struct Attack {
    name: String,
    how: String,
    expected: String,
    directory: PathBuf,
    ask: Vec<String>,
    follows_root: bool,
    finds_nothing: bool,
}

/// Repositories on the disk, as long as this is there.
struct Made {
    _directory: tempfile::TempDir,
    tables: Tables,
}

fn made() -> Made {
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(python())
        .arg(checkout().join("tests/it/judges/repositories.py"))
        .arg(directory.path())
        .stderr(Stdio::inherit())
        .output()
        .expect("Python can be started");
    assert!(output.status.success(), "{}", output.status);
    Made { tables: serde_json::from_slice(&output.stdout).expect("tables"), _directory: directory }
}

/// A person's home, where what is trusted is kept.
struct Home(tempfile::TempDir);

/// The files below a directory.
type Tree = BTreeMap<PathBuf, Vec<u8>>;

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rstuf"));
        command.args(arguments).current_dir(self.path()).env_clear().env("HOME", self.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("rstuf can be started")
    }

    fn download(&self, mirror: &Mirror, names: &[&str], more: &[&str]) -> Output {
        let (metadata, files) = (mirror.metadata(), mirror.files());
        let addresses = ["artifact", "download", "-m", &metadata, "-a", &files];
        self.run(&[&addresses, more, &["--"], names].concat())
    }

    /// What is trusted, without the lock.
    fn trusted(&self) -> Tree {
        let mut tree = tree(&self.path().join(".local"));
        tree.retain(|path, _| !path.ends_with("lock"));
        tree
    }

    fn downloads(&self) -> Tree {
        tree(&self.path().join("downloads"))
    }

    /// The directory of what is trusted of the one repository that there is.
    fn state(&self) -> PathBuf {
        let mut entries = fs::read_dir(self.path().join(".local/share/rstuf")).expect("something is trusted");
        entries.next().expect("a repository").expect("an entry").path()
    }

    fn restore(&self, trusted: &Tree) {
        for place in [".local", "downloads"] {
            // It may not be there.
            let _ = fs::remove_dir_all(self.path().join(place));
        }
        for (path, bytes) in trusted {
            let path = self.path().join(".local").join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, bytes).expect("a file");
        }
    }
}

fn tree(directory: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(directory).expect("it is below").to_owned();
                    tree.insert(name, fs::read(&path).expect("a file"));
                }
            }
        }
    }
    tree
}

fn succeeded(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn valid_repositories_of_every_layout_are_accepted() {
    let made = made();
    let mirror = Mirror::start();
    for valid in &made.tables.valid {
        let home = Home::new();
        let prefix: &[&str] = if valid.hash_prefix { &["-p"] } else { &[] };
        for stage in &valid.stages {
            mirror.serve(stage);
            let names: Vec<_> = valid.ask.iter().map(String::as_str).collect();
            let output = home.download(&mirror, &names, &[prefix, &["--json"]].concat());
            assert!(output.status.success(), "{}: {}", valid.name, text(&output.stderr));
            let result: Value = serde_json::from_slice(&output.stdout).expect("a document");
            for (name, artifact) in valid.ask.iter().zip(result["artifacts"].as_array().expect("artifacts")) {
                assert_eq!(artifact["name"], name.as_str(), "{}", valid.name);
                let file = home.path().join(artifact["path"].as_str().expect("a path"));
                assert_eq!(file.parent(), Some(home.path().join("downloads").as_path()), "{name}");
                let content = fs::read(stage.join("files").join(name)).expect("a file");
                assert_eq!(fs::read(file).expect("a file"), content, "{}: {name}", valid.name);
            }
            assert_eq!(home.downloads().len(), valid.ask.len(), "{}", valid.name);
            for name in &valid.absent {
                let error = refused(&home.download(&mirror, &[name], prefix));
                let expected = format!("error: Artifact {name} not trusted by TUF repository");
                assert!(error.starts_with(&expected), "{}: {error}", valid.name);
            }
        }
        say(&format!("accepted  {}", valid.name));
    }
}

#[test]
fn attacks_are_refused_for_the_right_reason() {
    let made = made();
    let mirror = Mirror::start();
    let home = Home::new();
    mirror.serve(&made.tables.base);
    succeeded(&home.download(&mirror, &["hello.txt", "apps/app.bin"], &[]));
    let trusted = home.trusted();
    let mut wrong = Vec::new();
    for attack in &made.tables.attacks {
        home.restore(&trusted);
        mirror.serve(&attack.directory);
        let names: Vec<_> = attack.ask.iter().map(String::as_str).collect();
        let output = home.download(&mirror, &names, &[]);
        let error = text(&output.stderr);
        let is_refused = output.status.code() == Some(1) && error.contains(&attack.expected);
        let mut after = home.trusted();
        // Nothing is wrong with the metadata, or with the new root.
        let may_follow = attack.finds_nothing || attack.name.contains("artifact");
        if attack.follows_root {
            after.retain(|path, _| {
                !path.ends_with("3.root.json") && !path.ends_with("timestamp.json") && !path.ends_with("snapshot.json")
            });
        }
        let is_root = |path: &Path| path.ends_with("root.json");
        let is_unchanged = may_follow
            || after.iter().all(|(path, bytes)| {
                (attack.follows_root && is_root(path)) || trusted.get(path).is_some_and(|before| before == bytes)
            });
        let is_empty = home.downloads().is_empty();
        say(&format!("{:<52} {:<60} {}", attack.name.escape_debug().to_string(), attack.how, attack.expected));
        if !is_refused || !is_unchanged || !is_empty {
            wrong.push(format!(
                "{}: expected {:?}, unchanged {is_unchanged}, no file {is_empty}, {}: {error}",
                attack.name, attack.expected, output.status
            ));
        }
    }
    say(&format!("{} attacks", made.tables.attacks.len()));
    assert!(wrong.is_empty(), "{} of them not refused as they should be:\n{}", wrong.len(), wrong.join("\n"));
    home.restore(&trusted);
    mirror.serve(&made.tables.next);
    succeeded(&home.download(&mirror, &["hello.txt", "apps/app.bin"], &[]));
}

/// A home that has seen the base.
fn acquainted(made: &Made, mirror: &Mirror) -> Home {
    let home = Home::new();
    mirror.serve(&made.tables.base);
    succeeded(&home.download(mirror, &["hello.txt"], &[]));
    home
}

#[test]
fn the_first_root_is_trusted_once_and_kept() {
    let made = made();
    let mirror = Mirror::start();
    let home = Home::new();
    mirror.serve(&made.tables.base);
    let said = succeeded(&home.download(&mirror, &["hello.txt"], &[]));
    let state = home.state().display().to_string();
    let root: Value = serde_json::from_slice(&fs::read(made.tables.base.join("metadata/1.root.json")).expect("a root"))
        .expect("JSON");
    let keys: Vec<_> = root["signed"]["roles"]["root"]["keyids"].as_array().expect("keys").iter().collect();
    let mut expected = vec![
        format!("Trust-on-First-Use: Initialized new root in {state}"),
        "From now on the root of 2 of these 3 keys is trusted. Compare them with what its owners say:".to_owned(),
    ];
    expected.extend(keys.iter().map(|key| format!("  {}", key.as_str().expect("a text"))));
    expected.push(format!("Using trusted root in {state}"));
    expected.push("Artifact downloaded and available in downloads/hello.txt".to_owned());
    expected.push("Successfully completed artifact download: hello.txt".to_owned());
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);

    let said = succeeded(&home.download(&mirror, &["hello.txt"], &[]));
    let expected = [
        &format!("Using trusted root in {state}"),
        "Artifact is available in downloads/hello.txt",
        "Successfully completed artifact download: hello.txt",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    let fetched = mirror.requests().iter().filter(|request| request.path == "files/hello.txt").count();
    assert_eq!(fetched, 1);

    // Another repository at this address is none that is trusted.
    let other = made.tables.valid.iter().find(|valid| valid.name == "plain targets").expect("a repository");
    mirror.serve(&other.stages[0]);
    let error = refused(&home.download(&mirror, &["hello.txt"], &[]));
    assert!(error.contains("timestamp has valid signatures of 0 keys"), "{error}");
}

#[test]
fn a_given_root_is_pinned() {
    let made = made();
    let mirror = Mirror::start();
    let home = Home::new();
    let (one, two) = ("metadata/1.root.json", "metadata/2.root.json");
    let root = |file: &str| made.tables.base.join(file).display().to_string();
    let other = &made.tables.valid.iter().find(|valid| valid.name == "plain targets").expect("a repository").stages[0];
    let others = other.join(one).display().to_string();
    mirror.serve(&made.tables.base);
    let error = refused(&home.download(&mirror, &["hello.txt"], &["-r", &others]));
    assert!(error.contains("root has valid signatures of 0 keys"), "{error}");
    assert!(home.trusted().is_empty());

    let said = succeeded(&home.download(&mirror, &["hello.txt"], &["--root", &root(two)]));
    assert!(said.starts_with("Initialized new root in "), "{said}");
    for known in [root(one), root(two), format!("{}/1.root.json", mirror.metadata())] {
        succeeded(&home.download(&mirror, &["hello.txt"], &["--root", &known]));
    }
    let error = refused(&home.download(&mirror, &["hello.txt"], &["-r", &others]));
    assert!(error.contains("are not of one chain"), "{error}");
    let error = refused(&home.download(&mirror, &["hello.txt"], &["-r", "no such file"]));
    assert!(error.contains("can't read the root no such file"), "{error}");
}

#[test]
fn what_is_kept_and_damaged_is_not_trusted() {
    let made = made();
    let mirror = Mirror::start();
    let home = acquainted(&made, &mirror);
    let good = home.trusted();
    for file in ["timestamp.json", "snapshot.json", "targets.json"] {
        for damage in ["", "{", "{\"signatures\":[],\"signed\":{}}"] {
            fs::write(home.state().join(file), damage).expect("a file");
            succeeded(&home.download(&mirror, &["hello.txt"], &[]));
            assert_eq!(home.trusted(), good, "{file}");
        }
    }
    fs::write(home.state().join("root.json"), "{").expect("a file");
    let error = refused(&home.download(&mirror, &["hello.txt"], &[]));
    assert!(error.contains("root.json is damaged") && error.contains("--root FILE"), "{error}");
}

#[test]
fn many_processes_at_once_keep_what_is_newest() {
    let made = made();
    let mirror = Mirror::start();
    let home = acquainted(&made, &mirror);
    fs::remove_dir_all(home.path().join("downloads")).expect("a directory");
    mirror.serve(&made.tables.next);
    let (metadata, files) = (mirror.metadata(), mirror.files());
    let run = || {
        let mut command = home.command(&["artifact", "download", "-m", &metadata, "-a", &files, "hello.txt"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("rstuf can be started")
    };
    let children: Vec<_> = (0..8).map(|_| run()).collect();
    for child in children {
        succeeded(&child.wait_with_output().expect("it ends"));
    }
    let timestamp = fs::read(made.tables.next.join("metadata/timestamp.json")).expect("a file");
    assert_eq!(fs::read(home.state().join("timestamp.json")).expect("a file"), timestamp);
    assert_eq!(home.downloads().len(), 1);
}

/// A repository with one large artifact, `large.bin`, made from the base.
fn large(made: &Made) -> (PathBuf, Vec<u8>) {
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let directory = made.tables.base.parent().expect("a directory").join("large");
    let source = directory.with_extension("bin");
    fs::write(&source, &content).expect("a file");
    let status = Command::new(python())
        .arg(checkout().join("tests/it/judges/repositories.py"))
        .args([directory.as_path(), Path::new("large.bin"), &source])
        .status()
        .expect("Python can be started");
    assert!(status.success(), "{status}");
    (directory, content)
}

fn parts(home: &Home) -> Vec<(PathBuf, usize)> {
    let downloads = home.downloads().into_iter();
    downloads.filter(|(path, _)| path.extension().is_some_and(|end| end == "part")).map(|(p, b)| (p, b.len())).collect()
}

#[test]
fn a_download_goes_on_where_it_ended() {
    let made = made();
    let (directory, content) = large(&made);
    let mirror = Mirror::start();
    mirror.serve(&directory);
    let home = Home::new();
    let file = home.path().join("downloads/large.bin");
    let download = || home.download(&mirror, &["large.bin"], &[]);
    let froms = || -> Vec<u64> {
        mirror.requests().into_iter().filter(|r| r.path == "files/large.bin").map(|request| request.from).collect()
    };

    mirror.set("files/large.bin", Some(Behaviour::BreakAfter(100_000)));
    let error = refused(&download());
    assert!(error.contains("can't download large.bin") && error.contains("it goes on with what came"), "{error}");
    assert_eq!(froms(), [0, 100_000, 200_000, 300_000, 400_000]);
    assert_eq!(parts(&home).iter().map(|(_, length)| *length).collect::<Vec<_>>(), [500_000]);
    mirror.set("files/large.bin", None);
    succeeded(&download());
    assert_eq!(froms().last(), Some(&500_000));
    assert_eq!(fs::read(&file).expect("a file"), content);
    assert!(parts(&home).is_empty());

    // A part that something else wrote into is not part of it.
    for behaviour in [None, Some(Behaviour::Whole)] {
        fs::remove_file(&file).expect("a file");
        mirror.set("files/large.bin", Some(Behaviour::BreakAfter(100_000)));
        refused(&download());
        let (part, length) = parts(&home).swap_remove(0);
        fs::write(home.path().join("downloads").join(part), vec![0; length]).expect("a file");
        mirror.set("files/large.bin", behaviour);
        succeeded(&download());
        assert_eq!(fs::read(&file).expect("a file"), content);
        assert_eq!(home.downloads().len(), 1);
    }
}

/// Waits for a condition.
fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "still not {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_download_that_is_killed_goes_on() {
    let made = made();
    let (directory, content) = large(&made);
    let mirror = Mirror::start();
    mirror.serve(&directory);
    mirror.set("files/large.bin", Some(Behaviour::Slow(10)));
    let home = Home::new();
    let (metadata, files) = (mirror.metadata(), mirror.files());
    let mut least = 0;
    for _ in 0..3 {
        let arguments = ["artifact", "download", "-m", &metadata, "-a", &files, "large.bin"];
        let mut child = home.command(&arguments).stdout(Stdio::null()).spawn().expect("rstuf can be started");
        until("another piece", || parts(&home).first().is_some_and(|(_, length)| *length > least + 200_000));
        child.kill().expect("it is killed");
        child.wait().expect("it ended");
        assert!(!home.path().join("downloads/large.bin").exists());
        least = parts(&home)[0].1;
    }
    mirror.set("files/large.bin", None);
    succeeded(&home.download(&mirror, &["large.bin"], &[]));
    assert_eq!(fs::read(home.path().join("downloads/large.bin")).expect("a file"), content);
    let last = mirror.requests().pop().expect("a request");
    assert_eq!(last.from, least as u64);
    assert_eq!(home.downloads().len(), 1);
}

#[test]
fn progress_is_seen_at_a_terminal_and_nowhere_else() {
    let made = made();
    let (directory, _) = large(&made);
    let mirror = Mirror::start();
    mirror.serve(&directory);
    mirror.set("files/large.bin", Some(Behaviour::Slow(5)));
    let (metadata, files) = (mirror.metadata(), mirror.files());
    let arguments = ["artifact", "download", "-m", &metadata, "-a", &files, "large.bin"];
    for columns in [80, 120] {
        let home = Home::new();
        let mut terminal = Terminal::rstuf(columns, home.path(), &arguments);
        terminal.expect("/2.86 MiB [=");
        let bar = terminal.screen().lines().find(|line| line.contains("2.86 MiB")).expect("a bar").to_owned();
        assert!(bar.starts_with("large.bin ") && bar.chars().count() <= usize::from(columns), "{bar}");
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        let mut words = changing(&screen);
        words.push((home.path().display().to_string(), "<home>"));
        let state = screen.split("/rstuf/").nth(1).and_then(|rest| rest.split_whitespace().next());
        words.push((state.expect("where what is trusted is kept").to_owned(), "<digest>"));
        let words: Vec<_> = words.iter().map(|(word, placeholder)| (word.as_str(), *placeholder)).collect();
        golden::compare("download", columns, &screen, &words);
    }
    let output = Home::new().download(&mirror, &["large.bin"], &[]);
    succeeded(&output);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_download_that_is_killed_at_a_terminal_goes_on_there() {
    let made = made();
    let (directory, content) = large(&made);
    let mirror = Mirror::start();
    mirror.serve(&directory);
    mirror.set("files/large.bin", Some(Behaviour::Slow(10)));
    let (metadata, files) = (mirror.metadata(), mirror.files());
    let home = Home::new();
    let arguments = ["artifact", "download", "-m", &metadata, "-a", &files, "large.bin"];
    let mut command = CommandBuilder::new("/bin/sh");
    command.args(["-c", "\"$@\" & pid=$!; read line; kill -9 $pid; echo killed", "sh", env!("CARGO_BIN_EXE_rstuf")]);
    command.args(arguments);
    command.cwd(home.path());
    command.env_clear();
    command.env("HOME", home.path());
    command.env("TERM", "xterm");
    let mut terminal = Terminal::start(80, command);
    terminal.expect("/2.86 MiB [=");
    until("a piece", || parts(&home).first().is_some_and(|(_, length)| *length > 100_000));
    terminal.press("\r");
    terminal.expect("killed");
    drop(terminal);
    let (_, length) = parts(&home).swap_remove(0);
    let (code, screen) = Terminal::rstuf(80, home.path(), &arguments).end();
    assert_eq!(code, 0, "{screen}");
    assert_eq!(fs::read(home.path().join("downloads/large.bin")).expect("a file"), content);
    assert_eq!(mirror.requests().pop().expect("a request").from, length as u64);
}

#[test]
fn nobody_is_led_out_of_the_directory_by_links() {
    let made = made();
    let mirror = Mirror::start();
    let home = Home::new();
    mirror.serve(&made.tables.base);
    let victim = home.path().join("victim");
    fs::write(&victim, "mine").expect("a file");
    fs::create_dir(home.path().join("downloads")).expect("a directory");
    std::os::unix::fs::symlink(&victim, home.path().join("downloads/hello.txt")).expect("a link");
    succeeded(&home.download(&mirror, &["hello.txt"], &[]));
    assert_eq!(fs::read(&victim).expect("a file"), b"mine");
    assert!(!fs::symlink_metadata(home.path().join("downloads/hello.txt")).expect("a file").is_symlink());
}

#[test]
fn the_current_repository_has_what_no_option_says() {
    let made = made();
    let (mirror, other) = (Mirror::start(), Mirror::start());
    let home = Home::new();
    mirror.serve(&made.tables.base);
    other.serve(&made.tables.base);
    let (metadata, files) = (mirror.metadata(), mirror.files());
    let root = made.tables.base.join("metadata/1.root.json").display().to_string();
    let add = ["artifact", "repository", "add", "-n", "base", "-r", &root, "-m", &metadata, "-a", &files];
    succeeded(&home.run(&add));
    refused(&home.run(&["artifact", "download", "hello.txt"]));
    succeeded(&home.run(&["artifact", "repository", "set", "base"]));
    let said = succeeded(&home.run(&["artifact", "download", "hello.txt", "apps/night.bin"]));
    assert!(said.starts_with("Initialized new root in "), "{said}");
    let names: Vec<_> = home.downloads().into_keys().collect();
    assert_eq!(names, [Path::new("apps%2Fnight.bin"), Path::new("hello.txt")]);

    // One address is another: the rest is of the repository.
    let others = other.files();
    succeeded(&home.run(&["artifact", "download", "apps/app.bin", "-a", &others, "-P", "elsewhere", "--hash-prefix"]));
    assert!(home.path().join("elsewhere/apps%2Fapp.bin").exists());
    assert!(other.requests()[0].path.ends_with(".app.bin"), "{:?}", other.requests());

    // Both are: nothing is, not even what is wrong with it.
    let config = home.path().join(".rstuf.yml");
    fs::write(&config, "CURRENT_REPOSITORY: gone").expect("a file");
    refused(&home.run(&["artifact", "download", "hello.txt"]));
    let said = succeeded(&home.download(&other, &["hello.txt"], &[]));
    assert!(said.starts_with("Trust-on-First-Use: "), "{said}");
}

#[test]
fn what_is_not_given_is_said() {
    let home = Home::new();
    let error = refused(&home.run(&["artifact", "download", "a"]));
    assert!(error.contains("no metadata URL is given") && error.contains("--metadata-url URL"), "{error}");
    let error = refused(&home.run(&["artifact", "download", "a", "-m", "http://127.0.0.1:9"]));
    assert!(error.contains("no artifacts URL is given"), "{error}");
    let error = refused(&home.run(&["artifact", "download", "a", "-m", "ftp://h", "-a", "http://h"]));
    assert!(error.contains("ftp://h is no http or https url"), "{error}");
    let error = refused(&home.run(&["--json", "artifact", "download", "a", "-m", "http://127.0.0.1:9", "-a", "x"]));
    let error: Value = serde_json::from_str(&error).expect("a document");
    assert_eq!(error["remedy"], json!("see that the metadata URL is right and its server is there"));
    assert_eq!(home.run(&["artifact", "download"]).status.code(), Some(2));
}
