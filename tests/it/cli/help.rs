//! The help, completions and manual pages; exit codes, and what is said when something is wrong.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use clap::CommandFactory;
use rstuf::cli::command::Cli;

use super::{rstuf, text};
use crate::harness::{golden, terminal::Terminal};

/// Each command, and what its parents are called.
fn commands() -> Vec<(Vec<String>, clap::Command)> {
    fn collect(command: &clap::Command, path: &[String], all: &mut Vec<(Vec<String>, clap::Command)>) {
        all.push((path.to_vec(), command.clone()));
        for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
            collect(child, &[path, &[child.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    collect(&Cli::command(), &[], &mut all);
    all
}

fn help(path: &[String], columns: u16) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstuf"));
    let output = command.args(path).arg("--help").env("COLUMNS", columns.to_string()).output().expect("rstuf starts");
    assert!(output.status.success(), "{path:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn every_command_teaches() {
    let mut faults = Vec::new();
    for (path, command) in commands() {
        let name = ["rstuf"].into_iter().chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        let help = help(&path, 80);
        let first = help.lines().next().unwrap_or_default();
        let mut demand = |is_met: bool, what: String| {
            if !is_met {
                faults.push(format!("{name}: {what}"));
            }
        };
        demand(first.chars().next().is_some_and(char::is_uppercase), format!("begins with {first:?}"));
        for line in help.lines() {
            demand(line.chars().count() <= 80, format!("is wider than 80 columns: {line}"));
        }
        for option in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            demand(option.get_help().is_some(), format!("{} is not described", option.get_id()));
        }
        if !command.has_subcommands() {
            demand(help.contains("Example"), "has no example".to_owned());
            demand(help.contains(&format!("{name} ")), "its example does not call it".to_owned());
            demand(
                help.contains("Next:") || help.contains("What comes next"),
                "does not say what comes next".to_owned(),
            );
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_first_help_looks_right() {
    for columns in [80, 120] {
        golden::compare("help", columns, &help(&[], columns), &[]);
    }
}

#[test]
fn examples_are_accepted() {
    let mut faults = Vec::new();
    for (path, _) in commands() {
        let help = help(&path, 400);
        for line in
            help.lines().filter_map(|line| line.trim_start().trim_start_matches("Example: ").strip_prefix("rstuf "))
        {
            // What an example does stands beside it, or it is continued on the next line.
            let line = line.split("  ").next().unwrap_or_default().split(['|', '>']).next().unwrap_or_default();
            if line.is_empty() || line.ends_with('\\') {
                continue;
            }
            let words = words(line);
            if let Err(error) = Cli::command().try_get_matches_from(["rstuf".to_owned()].into_iter().chain(words)) {
                faults.push(format!(
                    "{path:?}: rstuf {line}: {}",
                    error.render().to_string().lines().next().unwrap_or_default()
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The words of a command, as a shell takes them.
fn words(line: &str) -> Vec<String> {
    let output = Command::new("bash").args(["-fc", &format!("printf '%s\\0' {line}")]).output().expect("bash starts");
    text(&output.stdout).split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn the_version_is_told() {
    let version = rstuf(&["--version"]);
    assert_eq!(text(&version.stdout), format!("rstuf, version {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_arguments_end_with_2() {
    for arguments in
        [&["--no-such"][..], &["no-such"], &["task"], &["--json"], &["--autocomplete", "task", "info", "a"]]
    {
        let output = rstuf(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    let output = rstuf(&["--json", "task", "info"]);
    assert_eq!(output.status.code(), Some(2));
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert!(error["error"].as_str().is_some_and(|error| error.contains("<TASK_ID>")), "{error}");
    assert_eq!(error["remedy"], "see --help");
}

#[test]
fn what_is_wrong_fits_the_terminal() {
    let home = tempfile::tempdir().expect("a directory");
    for columns in [80, 40] {
        let terminal = Terminal::rstuf(columns, home.path(), &["task", "info", "a"]);
        let (code, screen) = terminal.end();
        assert_eq!(code, 1);
        golden::compare("no-server", columns, &screen, &[]);
    }
    let output = rstuf(&["task", "info", "a", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(error["error"], "no server is given");
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    for arguments in ["--help", "completions bash", "--autocomplete"] {
        let line = format!("\"$0\" {arguments} | true; echo \"${{PIPESTATUS[0]}}\"");
        let output =
            Command::new("bash").args(["-c", &line, env!("CARGO_BIN_EXE_rstuf")]).output().expect("bash starts");
        assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("0\n", ""), "{arguments}");
    }
}

#[test]
fn a_full_disk_is_told() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("it exists");
    let output = Command::new(env!("CARGO_BIN_EXE_rstuf")).args(["completions", "bash"]).stdout(full).output();
    let output: Output = output.expect("rstuf starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("can't write to standard output"), "{}", text(&output.stderr));
}

#[test]
fn shells_take_the_completions() {
    let home = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(text(&rstuf(&["completions", shell]).stdout).contains("rstuf"), "{shell}");
    }
    let script = home.path().join("completions.bash");
    fs::write(&script, rstuf(&["completions", "bash"]).stdout).expect("written");
    let check = Command::new("bash").arg("-n").arg(&script).status().expect("bash starts");
    assert!(check.success());
    let how = text(&rstuf(&["--autocomplete"]).stdout);
    assert!(how.contains("source <(rstuf completions bash)"), "{how}");
}

#[test]
fn bash_completes_at_a_terminal() {
    let home = tempfile::tempdir().expect("a directory");
    let script = home.path().join("completions.bash");
    fs::write(&script, rstuf(&["completions", "bash"]).stdout).expect("written");
    fs::write(home.path().join(".inputrc"), "set bell-style none\nset enable-bracketed-paste off\n").expect("written");
    let mut command = Terminal::command("bash", home.path(), &["--norc", "-i"]);
    command.env("PS1", "ready> ");
    let mut terminal = Terminal::start(80, command);
    terminal.expect("ready>");
    terminal.press("source completions.bash\r");
    terminal.expect("\nready>");
    terminal.press("rstuf artifact rep\t");
    terminal.expect("rstuf artifact repository");
    terminal.press("\x15rstuf task i\t");
    terminal.expect("rstuf task info");
    terminal.press("\x15exit\r");
    terminal.end();
}

#[test]
fn manual_pages_are_written() {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("man");
    let written = rstuf(&["man", "--out", out.to_str().expect("UTF-8")]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    for (path, _) in commands() {
        let name = ["rstuf".to_owned()].into_iter().chain(path).collect::<Vec<_>>().join("-");
        let page = out.join(format!("{name}.1"));
        let source = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(source.contains(".SH NAME") && source.contains(".SH SYNOPSIS"), "{name}");
        typeset(&page);
    }
}

/// Has groff typeset a page, where there is one: it complains about nothing.
fn typeset(page: &Path) {
    let groff = Command::new("groff")
        .args(["-K", "utf8", "-man", "-ww", "-z", "-Tutf8"])
        .arg(page)
        .stdin(Stdio::null())
        .output();
    if let Ok(output) = groff {
        assert!(output.stderr.is_empty(), "{}: {}", page.display(), text(&output.stderr));
    }
}
