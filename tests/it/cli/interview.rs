//! Conversations at a terminal and by a file of answers.

use std::{env, fs, path::Path, process::Command};

use rstuf::cli::{
    failure::Failure,
    interview::{Choice, Interview, List, Stop, Text},
    output::Output,
};
use serde_json::{Value, json};

use super::text;
use crate::harness::{
    block_on, golden,
    terminal::{CTRL_C, ENTER, ESC, Terminal},
};

/// Where the conversation finds its answers; only who sets it wants to talk.
const ANSWERS: &str = "RSTUF_TEST_ANSWERS";

/// A program of its own: the tests below start it at a terminal.
#[test]
#[ignore = "the tests beside it start it at a terminal"]
fn conversation() {
    let Some(answers) = env::var_os(ANSWERS) else { return };
    let answers = Some(Path::new(&answers)).filter(|path| !path.as_os_str().is_empty());
    println!();
    match block_on(talk(answers)) {
        Ok(result) => println!("\nresult: {result}"),
        Err(failure) => Output::Text.fail(&failure),
    }
}

async fn talk(answers: Option<&Path>) -> Result<Value, Failure> {
    let mut interview = Interview::new(answers, Output::Text)?;
    let result = interview.hold(async |interview| ask(interview).await).await?;
    interview.finish()?;
    Ok(result)
}

async fn ask(interview: &mut Interview) -> Result<Value, Stop> {
    interview.tell("A conversation about a repository.");
    let days = Text { id: "days", message: "Days until root expires", help: None, default: Some("365") };
    let days = interview.text(days, number)?;
    let kinds = [("bins", "hash bins, which the service signs"), ("roles", "roles of your own, with keys of people")];
    let kinds = kinds.map(|(key, label)| Choice { key, label: label.to_owned(), value: key });
    let kind = interview.choose("kind", "How are artifacts delegated?", kinds.into())?;
    let keys = List { id: "keys", one: "key", at_least: 2 };
    let keys = interview
        .list(keys, String::clone, async |interview, id, keys: &[String]| {
            let taken = keys.to_vec();
            let id = format!("{id}.name");
            let help =
                "a name that all people who hold keys of this repository know, such as the one that they use at work";
            let question = Text { id: &id, message: "Who holds the key?", help: Some(help), default: None };
            interview.text(question, move |name| match taken.iter().any(|known| known == name) {
                true => {
                    Err(format!("{name} holds another key of this repository already, and a person counts only once"))
                }
                false => Ok(name.to_owned()),
            })
        })
        .await?;
    let first = interview.pick("first", "Who signs first?", &keys)?;
    let others = interview.pick_many("others", "Who else is here?", &keys)?;
    interview.secret("password", "Password of the key")?;
    let sure = interview.confirm("sure", "Is all of this right?", true)?;
    Ok(json!({"days": days, "kind": kind, "keys": keys, "first": first, "others": others, "sure": sure}))
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|days| *days > 0).ok_or_else(|| "must be a number above 0".to_owned())
}

const ALONE: [&str; 5] = ["--exact", "cli::interview::conversation", "--ignored", "--nocapture", "--test-threads=2"];

fn program() -> String {
    env::current_exe().expect("this program has a path").to_str().expect("a path of UTF-8").to_owned()
}

fn at_terminal(columns: u16, home: &Path, answers: &str) -> Terminal {
    let mut command = Terminal::command(&program(), home, &ALONE);
    command.env(ANSWERS, answers);
    Terminal::start(columns, command)
}

/// The conversation without a terminal: what it printed, and what it complained about.
fn by_file(home: &Path, answers: &str) -> (String, String) {
    fs::write(home.join("answers.yml"), answers).expect("written");
    let mut command = Command::new(program());
    let command = command.args(ALONE).current_dir(home).env(ANSWERS, "answers.yml").stdin(std::process::Stdio::null());
    let output = command.output().expect("it can be started");
    (text(&output.stdout), text(&output.stderr))
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// What the conversation came to.
fn result(screen: &str) -> Value {
    let line = screen.lines().find_map(|line| line.strip_prefix("result: "));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no result:\n{screen}"))).expect("JSON")
}

fn answer_all(terminal: &mut Terminal) {
    terminal.answer("Days", "");
    terminal.choose("How", "roles");
    terminal.answer("Who holds", "Ada");
    terminal.answer("Who holds", "Grace");
    terminal.choose("What about", "continue");
    terminal.choose("Who signs", "Grace");
    terminal.tick("Who else", &["Ada", "Grace"]);
    terminal.answer("Password", "secret");
    terminal.answer("Is all", "");
}

fn all() -> Value {
    json!({"days": 365, "kind": "roles", "keys": ["Ada", "Grace"], "first": 1, "others": [0, 1], "sure": true})
}

#[test]
fn a_person_answers() {
    for columns in [80, 120] {
        let home = home();
        let mut terminal = at_terminal(columns, home.path(), "");
        answer_all(&mut terminal);
        let (_, screen) = terminal.end();
        assert_eq!(result(&screen), all());
        assert!(!screen.contains("secret"), "{screen}");
    }
}

#[test]
fn what_is_wrong_is_said_while_it_is_typed_and_fits() {
    let home = home();
    for columns in [80, 120] {
        let mut terminal = at_terminal(columns, home.path(), "");
        terminal.question("Days");
        terminal.press("12x");
        terminal.expect("  must be a number above 0");
        terminal.press(ENTER);
        terminal.expect("not yet an answer");
        terminal.press("\u{7f}");
        terminal.answer("Days", "");
        terminal.choose("How", "bins");
        terminal.answer("Who holds", "Ada");
        terminal.question("Who holds");
        terminal.press("Ada");
        terminal.expect("Ada holds another key");
        let screen = terminal.screen();
        let from = screen.find("A conversation").expect("it began");
        golden::compare("interview-fault", columns, &screen[from..], &[]);
        // What is said is no answer, even if it is highlighted.
        terminal.press("\x1b[B\r");
        terminal.expect("not yet an answer");
    }
}

#[test]
fn answers_are_taken_back_one_by_one() {
    let home = home();
    let mut terminal = at_terminal(80, home.path(), "");
    terminal.question("Days");
    terminal.press(ESC);
    terminal.expect("there is no answer to take back");
    terminal.answer("Days", "7");
    terminal.choose("How", "roles");
    terminal.answer("Who holds", "Ada");
    terminal.answer("Who holds", "Grace");
    terminal.choose("What about", "add another");
    terminal.answer("Who holds", "Alan");
    terminal.choose("What about", "remove Ada");
    terminal.undo("What about the keys?");
    terminal.choose("What about", "remove Grace");
    terminal.question("What about");
    terminal.undo("What about the keys?");
    terminal.undo("Who holds");
    // It offers again what was taken back.
    terminal.question("Who holds the key? (Alan)");
    terminal.answer("Who holds", "");
    terminal.choose("What about", "remove Alan");
    terminal.choose("What about", "continue");
    terminal.choose("Who signs", "Ada");
    terminal.question("Who else");
    terminal.undo("Who signs");
    terminal.choose("Who signs", "Grace");
    terminal.tick("Who else", &["Ada"]);
    terminal.answer("Password", "secret");
    terminal.question("Is all");
    terminal.undo("Password");
    terminal.answer("Password", "other");
    terminal.answer("Is all", "n");
    let (_, screen) = terminal.end();
    let expected =
        json!({"days": 7, "kind": "roles", "keys": ["Ada", "Grace"], "first": 1, "others": [0], "sure": false});
    assert_eq!(result(&screen), expected);
}

#[test]
fn a_file_answers_and_the_rest_gets_its_default() {
    let home = home();
    let answers =
        "kind: roles\nkeys: [{name: Ada}, {name: Grace}]\nfirst: Grace\nothers: [Grace, Ada]\npassword: secret\n";
    let (stdout, _) = by_file(home.path(), answers);
    assert_eq!(result(&stdout), all());
    assert!(stdout.contains("✓ Who else is here? Grace, Ada\n") && !stdout.contains("secret"), "{stdout}");
}

#[test]
fn a_file_with_faults_is_refused() {
    let good = "keys: [{name: Ada}, {name: Grace}]\nfirst: Ada\nothers: [Ada]\npassword: secret\n";
    let cases = [
        ("days: many", "answer days: must be a number above 0"),
        ("days: [1]", "answer days: must be a text or a number"),
        ("kind: trees", "answer kind: must be one of bins, roles"),
        ("sure: perhaps", "answer sure: must be true or false"),
        ("surely: true", "no question asks for: surely"),
        ("keys: Ada", "answer keys: must be a list"),
        ("keys: [{name: Ada}]", "answer keys: must have at least 2 entries"),
        ("keys: [{name: Ada}, {name: Ada}]", "answer keys[1].name: Ada holds another key"),
        ("keys: [{name: Ada}, {name: Grace, nick: G}]", "no question asks for: keys[1].nick"),
        ("first: Alan", "answer first: \"Alan\" is none of Ada, Grace"),
        ("first:", "there is no terminal to ask at, and no answer to first"),
        ("others: []", "answer others: must be a list of names"),
        ("password: 1234", "answer password: must be a text in quotes"),
        ("open: always", "can't be understood: open can only be ask"),
    ];
    let home = home();
    for (fault, complaint) in cases {
        let name = fault.split(':').next().unwrap_or_default();
        let rest: Vec<_> = good.lines().filter(|line| !line.starts_with(name)).collect();
        let (stdout, stderr) = by_file(home.path(), &format!("{fault}\n{}\n", rest.join("\n")));
        assert!(stderr.contains(complaint), "{fault}: {stderr}");
        assert!(!stdout.contains("\nresult: "), "{fault}: {stdout}");
    }
}

#[test]
fn esc_passes_by_what_a_file_answered() {
    let home = home();
    fs::write(home.path().join("answers.yml"), "keys: [{name: Ada}, {name: Grace}]\n").expect("written");
    let mut terminal = at_terminal(80, home.path(), "answers.yml");
    terminal.question("Who signs");
    terminal.press(ESC);
    terminal.expect("there is no answer to take back");
    terminal.choose("Who signs", "Grace");
    terminal.tick("Who else", &["Ada", "Grace"]);
    terminal.question("Password");
    terminal.undo("Who else");
    terminal.undo("Who signs");
    terminal.choose("Who signs", "Ada");
    terminal.tick("Who else", &["Ada"]);
    terminal.answer("Password", "secret");
    let (_, screen) = terminal.end();
    let expected =
        json!({"days": 365, "kind": "bins", "keys": ["Ada", "Grace"], "first": 0, "others": [0], "sure": true});
    assert_eq!(result(&screen), expected);
}

#[test]
fn who_stops_loses_no_answer() {
    let home = home();
    let mut terminal = at_terminal(80, home.path(), "");
    terminal.answer("Days", "");
    terminal.choose("How", "roles");
    terminal.answer("Who holds", "Ada");
    terminal.answer("Who holds", "Alan");
    terminal.choose("What about", "remove Ada");
    terminal.question("Who holds");
    terminal.press(CTRL_C);
    terminal.answer("Keep your answers", "");
    let (_, screen) = terminal.end();
    assert!(screen.contains("stopped, nothing was signed or sent"), "{screen}");
    assert!(screen.contains("--answers rstuf-answers.yml"), "{screen}");

    let mut terminal = at_terminal(80, home.path(), "rstuf-answers.yml");
    terminal.answer("Who holds", "Grace");
    terminal.choose("What about", "continue");
    terminal.choose("Who signs", "Grace");
    terminal.tick("Who else", &["Alan"]);
    terminal.answer("Password", "secret");
    terminal.question("Is all");
    terminal.press(CTRL_C);
    terminal.answer("Keep your answers", "");
    let (_, screen) = terminal.end();
    assert!(screen.contains("--answers rstuf-answers-2.yml"), "{screen}");
    let kept = fs::read_to_string(home.path().join("rstuf-answers-2.yml")).expect("it was written");
    assert!(!kept.contains("secret"), "{kept}");

    let mut terminal = at_terminal(80, home.path(), "rstuf-answers-2.yml");
    terminal.choose("What about", "continue");
    terminal.answer("Password", "secret");
    terminal.answer("Is all", "");
    let (_, screen) = terminal.end();
    let expected =
        json!({"days": 365, "kind": "roles", "keys": ["Alan", "Grace"], "first": 1, "others": [0], "sure": true});
    assert_eq!(result(&screen), expected);
}

#[test]
fn few_answers_are_not_kept() {
    let home = home();
    let mut terminal = at_terminal(80, home.path(), "");
    terminal.answer("Days", "");
    terminal.question("How");
    terminal.press(CTRL_C);
    let (_, screen) = terminal.end();
    assert!(screen.contains("stopped, nothing was signed or sent"), "{screen}");
    assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 0);
}
