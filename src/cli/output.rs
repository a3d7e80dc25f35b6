//! What commands print. Standard output is for what was asked for, standard error for what helps on the way to it.
//!
//! Whoever reads may go away (`| head`): a command goes on with its work then, quietly. Anything else that keeps a line from being
//! written is a failure of the command, which [`Output::is_complete`] tells in the end.

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::Value;
use terminal_size::terminal_size_of;
use textwrap::{Options, WordSplitter, wrap};

use super::failure::Failure;

/// Whether a line could not be written. It is the process that has one standard output.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: one JSON document on standard output.
    Json,
}

impl Output {
    /// A line for people, on standard output. A program does not see it. At a terminal, lines that are too wide break at blanks.
    pub fn say(self, line: impl Display) {
        if self == Output::Text {
            print(&fitted(&line.to_string(), width_of(&io::stdout())));
        }
    }

    /// A line on standard error, for whoever watches.
    pub fn note(self, line: impl Display) {
        complain(&fitted(&line.to_string(), width_of(&io::stderr())));
    }

    /// The result of a command: for programs this, once; people were told with [`say`](Self::say).
    pub fn result(self, value: &Value) {
        if self == Output::Json {
            print(&format!("{value:#}"));
        }
    }

    /// A document that was asked for, such as a completion script: for people and programs alike, as it is.
    pub fn document(self, text: &str) {
        print(text.trim_end_matches('\n'));
    }

    /// What went wrong, on standard error.
    pub fn fail(self, failure: &Failure) {
        match self {
            Output::Text => complain(&failure.fitted(width_of(&io::stderr()))),
            Output::Json => complain(&failure.to_value().to_string()),
        }
    }

    /// Whether all that was said reached standard output, or nobody wanted it.
    pub fn is_complete(self) -> bool {
        !INCOMPLETE.load(Ordering::Relaxed)
    }
}

fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        && error.kind() != ErrorKind::BrokenPipe
        && !INCOMPLETE.swap(true, Ordering::Relaxed)
    {
        complain(&format!("error: can't write to standard output: {error}"));
    }
}

fn complain(text: &str) {
    // There is nowhere left to tell that this fails.
    let _ = writeln!(io::stderr(), "{text}");
}

/// The columns of a terminal, `None` of anything else.
pub(super) fn width_of(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    terminal_size_of(stream).map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0)
}

/// A text whose lines fit into a width, as far as blanks allow; what is indented stays so.
pub(super) fn fitted(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let fit = |line: &str| {
        let indent = line.len() - line.trim_start_matches(' ').len();
        hanging(line, width, indent)
    };
    text.split('\n').map(fit).collect::<Vec<_>>().join("\n")
}

/// A line that breaks at blanks before it is wider than `width`; what follows is indented by `indent`. A word is never broken,
/// so that addresses, paths and ids can be copied.
pub(super) fn hanging(line: &str, width: usize, indent: usize) -> String {
    if textwrap::core::display_width(line) <= width {
        return line.to_owned();
    }
    let blanks = " ".repeat(indent);
    let options = Options::new(width)
        .subsequent_indent(&blanks)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    wrap(line, options).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks_and_keep_their_indent() {
        assert_eq!(fitted("one two three", Some(8)), "one two\nthree");
        assert_eq!(fitted("  one two three\nfour", Some(9)), "  one two\n  three\nfour");
        assert_eq!(fitted("one two three", None), "one two three");
    }

    #[test]
    fn words_are_never_broken() {
        let id = "4e4d1e5c".repeat(4);
        assert_eq!(fitted(&format!("a {id} b"), Some(10)), format!("a\n{id}\nb"));
        assert_eq!(fitted("re-\nused one-two-three", Some(9)), "re-\nused\none-two-three");
    }

    #[test]
    fn blanks_between_columns_stay() {
        assert_eq!(fitted("name    days", Some(80)), "name    days");
    }
}
