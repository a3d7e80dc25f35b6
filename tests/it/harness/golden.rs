//! Screens as they shall look, in `tests/it/cli/golden`. `RSTUF_GOLDEN=write` writes them anew.

use std::{env, fs};

use similar::TextDiff;

use super::checkout;

/// Compares a screen with the golden one of this name and width. What differs from run to run is replaced first: `(text, placeholder)`.
/// No line may be wider than the terminal. Which states a task is seen in before it ends is a matter of luck: their lines count for nothing.
pub(crate) fn compare(name: &str, columns: u16, screen: &str, placeholders: &[(&str, &str)]) {
    let screen = placeholders.iter().fold(screen.to_owned(), |screen, (text, name)| screen.replace(text, name));
    let lines: Vec<_> = screen.trim_end().lines().filter(|line| !is_on_the_way(line)).collect();
    let screen = format!("{}\n", lines.join("\n"));
    for line in screen.lines() {
        assert!(line.chars().count() <= usize::from(columns), "{name}: wider than {columns} columns:\n{line}");
    }
    let file = checkout().join(format!("tests/it/cli/golden/{name}-{columns}.txt"));
    if env::var_os("RSTUF_GOLDEN").is_some_and(|value| value == "write") {
        fs::create_dir_all(file.parent().expect("it has a directory")).expect("a directory can be made");
        fs::write(&file, screen).expect("the golden screen can be written");
        return;
    }
    let golden = fs::read_to_string(&file).unwrap_or_default();
    let difference = TextDiff::from_lines(&golden, &screen);
    assert!(
        golden == screen,
        "{name} at {columns} columns is not as it was (- golden, + now); RSTUF_GOLDEN=write accepts it:\n{}",
        difference.unified_diff()
    );
}

/// Whether a line tells that a task has not ended.
fn is_on_the_way(line: &str) -> bool {
    let state = line.rsplit_once(" status: ").map(|(_, state)| state);
    state.is_some_and(|state| ["PENDING", "RECEIVED", "STARTED", "PRE_RUN", "RUNNING"].contains(&state))
}
