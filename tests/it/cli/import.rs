//! Imports: from files of many lines, whatever interrupts them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rstuf::tuf::bins::Layout;
use serde_json::{Value, json};

use super::text;
use crate::harness::{checker::Checker, deployment::Deployment, repository::Repository, terminal};

const LINES: u64 = 20_000;
const KILLS: u32 = 10;

fn import(repository: &Repository, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstuf"));
    command.args(["admin", "import-artifacts"]).args(arguments);
    command.current_dir(home(repository)).env("HOME", home(repository));
    command.env("RSTUF_API_SERVER", repository.server.url());
    command
}

fn home(repository: &Repository) -> PathBuf {
    repository.server.scratch("home")
}

fn run(mut command: Command) -> Output {
    command.output().expect("rstuf can be started")
}

fn line(number: u64) -> String {
    format!("dir-{}/file-{number};{number};sha256;{number:064x}\n", number % 7)
}

fn write(path: &Path, lines: impl Iterator<Item = String>) {
    fs::write(path, lines.collect::<String>()).expect("a file");
}

/// The length of each artifact that clients see.
fn lengths(repository: &Repository) -> Vec<(String, u64)> {
    let mut checker = Checker::new(repository);
    checker.check();
    let length = |(path, info): (String, Value)| (path, info["length"].as_u64().expect("a length"));
    checker.artifacts().into_iter().map(length).collect()
}

fn expected(numbers: impl Iterator<Item = u64>) -> Vec<(String, u64)> {
    let mut expected: Vec<_> = numbers.map(|number| (format!("dir-{}/file-{number}", number % 7), number)).collect();
    expected.sort();
    expected
}

/// Waits until the journal says that more lines are settled, or the import has ended by itself.
fn wait_for_lines(journal: &Path, lines: u64, child: &mut Child) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let text = fs::read(journal).unwrap_or_default();
        let settled = serde_json::from_slice::<Value>(&text).ok().and_then(|journal| journal["lines"].as_u64());
        let has_ended = child.try_wait().expect("a child can be waited for").is_some();
        match settled {
            Some(settled) if settled >= lines || has_ended => return settled,
            _ => assert!(Instant::now() < deadline && !has_ended, "the import does not come further than {settled:?}"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn an_import_that_is_killed_again_and_again_brings_each_line_once() {
    let repository = Repository::new(Layout::Succinct, 16).await;
    let file = home(&repository).join("all.csv");
    // Every thousandth line is wrong.
    let wrong = |number: u64| number % 1000 == 999;
    write(&file, (0..LINES).map(|number| if wrong(number) { format!("wrong {number}\n") } else { line(number) }));
    let arguments = ["--csv", "all.csv", "--batch", "200", "--rejects", "wrong.jsonl", "--json"];
    let journal = home(&repository).join("all.csv.rstuf-import");
    let mut settled = 0;
    for kill in 0..KILLS {
        let mut child = import(&repository, &arguments).stderr(Stdio::null()).spawn().expect("rstuf can be started");
        let before = settled;
        settled = wait_for_lines(&journal, settled + fastrand::u64(1..LINES / 12), &mut child);
        // Anywhere between two steps.
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..5_000)));
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
        assert!(settled >= before, "kill {kill} took it back from {before} to {settled}");
    }
    let done = run(import(&repository, &arguments));
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("20 of 20,000 lines refused"), "{}", text(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).expect("one JSON document");
    let counts = ["lines", "accepted", "refused", "replaced"].map(|name| report[name].as_u64());
    assert_eq!(counts, [Some(LINES), Some(LINES - 20), Some(20), Some(0)], "{report}");
    assert_eq!(lengths(&repository), expected((0..LINES).filter(|number| !wrong(*number))));
    let rejects = fs::read_to_string(home(&repository).join("wrong.jsonl")).expect("a file");
    let lines: Vec<_> = rejects
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["line"].as_u64().expect("a number"))
        .collect();
    assert_eq!(lines, (1..=20).map(|number| number * 1000).collect::<Vec<_>>());

    // Once more: there is nothing to do.
    let again = run(import(&repository, &arguments[..2]));
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert!(text(&again.stdout).contains("imported before"), "{}", text(&again.stdout));
}

#[tokio::test]
async fn json_lines_and_standard_input_are_read_and_the_last_of_a_path_counts() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let object = |number: u64, length: u64| {
        let hashes = json!({"sha256": format!("{number:064x}"), "blake2b-256": format!("{number:064x}")});
        let path = format!("dir-{}/file-{number}", number % 7);
        format!("{}\n", json!({"path": path, "length": length, "hashes": hashes, "custom": {"n": number}}))
    };
    let home = home(&repository);
    // Far apart, and beside each other.
    let first = (0..500).map(|number| object(number, 7));
    write(&home.join("a.jsonl"), first.chain((400..500).flat_map(|n| [object(n, 8), object(n, n)])));
    let mut child = import(&repository, &["--csv", "-", "--jsonl", "a.jsonl", "--batch", "30", "--journal", "j"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("rstuf can be started");
    let lines: String = (500..1000).map(line).collect();
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("1,200 lines, 1,000 artifacts\n200 lines have a path that a later line has too"), "{told}");
    assert!(told.contains("  a.jsonl:401 is replaced by a.jsonl:502\n"), "{told}");
    assert!(told.ends_with("published\n"), "{told}");
    let found = lengths(&repository);
    assert_eq!(found.len(), 1000);
    for (path, length) in found {
        let number: u64 = path.rsplit('-').next().expect("a name").parse().expect("a number");
        assert_eq!(length, if number < 400 { 7 } else { number }, "{path}");
    }
}

#[tokio::test]
async fn refused_lines_are_told_and_counted() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    // The server alone finds that this can't be signed: nobody can read so many levels.
    let deep = format!("{}1{}", "[".repeat(105), "]".repeat(105));
    let deep = format!(
        "{{\"path\":\"deep\",\"length\":1,\"hashes\":{{\"sha256\":\"{:064x}\"}},\"custom\":{{\"x\":{deep}}}}}\n",
        1
    );
    let object = |n: u64| {
        format!("{}\n", json!({"path": format!("f{n}"), "length": n, "hashes": {"sha256": format!("{n:064x}")}}))
    };
    let home = home(&repository);
    fs::write(home.join("a.jsonl"), [object(1), deep, object(2), "{\n".to_owned(), object(3)].concat())
        .expect("a file");
    let output =
        run(import(&repository, &["--jsonl", "a.jsonl", "--skip-publish-artifacts", "--db-uri", "postgresql://x"]));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("--db-uri is not needed"), "{err}");
    assert!(err.contains("a.jsonl:2: custom has too many levels\na.jsonl:4: it is not JSON\n"), "{err}");
    assert!(
        out.contains("5 lines, 3 artifacts\n1 refused: custom has too many levels\n1 refused: it is not JSON\n"),
        "{out}"
    );
    assert!(out.ends_with("held back; clients see it after: rstuf artifact publish\n"), "{out}");
    assert!(lengths(&repository).is_empty());
}

#[tokio::test]
async fn an_import_that_can_not_begin_or_go_on_says_why() {
    let server = crate::harness::server::Server::start();
    let file = server.scratch("home").join("a.csv");
    write(&file, (0..10).map(line));
    let output = Command::new(env!("CARGO_BIN_EXE_rstuf"))
        .args(["admin", "--api-server", &server.url(), "import-artifacts", "--csv"])
        .arg(&file)
        .output()
        .expect("rstuf can be started");
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err.contains("`import-artifacts` requires bootstrap process done. System available for bootstrap."),
        "{err}"
    );

    let repository = Repository::on(server, Layout::Succinct, 2).await;
    let journal = json!({"repository": "another", "inputs": [], "settled": {"file": 0, "offset": 0, "line": 0},
        "in_flight": [], "lines": 1, "accepted": 1, "refused": {}, "rejects_bytes": 0, "finished": false});
    fs::write(home(&repository).join("j"), journal.to_string()).expect("a file");
    let output = run(import(&repository, &["--csv", "a.csv", "--journal", "j"]));
    let err = text(&output.stderr);
    assert!(err.contains("the journal j is of another import: the server has another repository"), "{err}");
}

#[tokio::test]
async fn ctrl_c_stops_it_and_the_same_command_goes_on() {
    let repository = Repository::new(Layout::Succinct, 2).await;
    let home = home(&repository);
    write(&home.join("a.csv"), (0..3000).map(line));
    let url = repository.server.url();
    let arguments =
        ["admin", "--api-server", &url, "import-artifacts", "--csv", "a.csv", "--batch", "20", "--in-flight", "1"];
    let mut at_terminal = terminal::Terminal::rstuf(80, &home, &arguments);
    at_terminal.expect(" lines, ");
    at_terminal.press(terminal::CTRL_C);
    let (code, screen) = at_terminal.end();
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("error: stopped after ") && screen.contains("run the same command again"), "{screen}");
    let (code, screen) = terminal::Terminal::rstuf(120, &home, &arguments).end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("going on after ") && screen.contains("3,000 lines, 3,000 artifacts"), "{screen}");
    assert_eq!(lengths(&repository), expected(0..3000));
}
