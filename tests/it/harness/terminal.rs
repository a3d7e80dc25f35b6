//! A person at a real pseudo-terminal: keys are typed, the screen is read.
//!
//! A question is drawn once the terminal is raw, and `? ` stands before it until it is answered. So whoever waits for an
//! open question before pressing keys loses none; nothing else is waited for, and never a time.

use std::{
    fmt::Display,
    io::{Read, Write},
    num::NonZeroU16,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::Parser;

pub(crate) const ENTER: &str = "\r";
pub(crate) const DOWN: &str = "\x1b[B";
pub(crate) const LEFT: &str = "\x1b[D";
pub(crate) const SPACE: &str = " ";
pub(crate) const ESC: &str = "\x1b";
pub(crate) const CTRL_C: &str = "\x03";

/// What stands behind a question whose last answer was taken back.
const TAKEN_BACK: &str = "(taken back)";

const ROWS: u16 = 40;
/// The screen that is kept is as high as all that is ever printed, so nothing scrolls out of it.
const KEPT_ROWS: NonZeroU16 = NonZeroU16::new(4000).expect("not zero");
const PATIENCE: Duration = Duration::from_secs(60);

/// A program at a terminal.
pub(crate) struct Terminal {
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<Shown>,
    _master: Box<dyn MasterPty + Send>,
}

struct Shown {
    screen: Mutex<(Parser, Reading)>,
    changed: Condvar,
}

#[derive(PartialEq)]
enum Reading {
    On,
    Ended,
}

impl Terminal {
    /// Starts `rstuf` at a terminal of so many columns, without colours; its home is `home`, which is its working directory too.
    pub(crate) fn rstuf(columns: u16, home: &Path, arguments: &[&str]) -> Self {
        Self::start(columns, Self::command(env!("CARGO_BIN_EXE_rstuf"), home, arguments))
    }

    /// A program in an environment that has nothing else than what terminals need.
    pub(crate) fn command(program: &str, home: &Path, arguments: &[&str]) -> CommandBuilder {
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.cwd(home);
        command.env_clear();
        for (name, value) in [("TERM", "xterm"), ("LANG", "C.UTF-8"), ("NO_COLOR", "1"), ("PATH", "/usr/bin:/bin")] {
            command.env(name, value);
        }
        command.env("HOME", home);
        command
    }

    /// Starts any command.
    pub(crate) fn start(columns: u16, command: CommandBuilder) -> Self {
        let size = PtySize { rows: ROWS, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let keyboard = pair.master.take_writer().expect("a keyboard");
        let mut output = pair.master.try_clone_reader().expect("a screen");
        let screen = Mutex::new((Parser::new(KEPT_ROWS, columns.try_into().expect("some columns"), 0), Reading::On));
        let shown = Arc::new(Shown { screen, changed: Condvar::new() });
        let to = shown.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let count = output.read(&mut bytes).unwrap_or_default();
                let mut screen = to.screen.lock().expect("no panic");
                match count {
                    0 => screen.1 = Reading::Ended,
                    _ => screen.0.process(&bytes[..count]),
                }
                to.changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Self { keyboard, child, shown, _master: pair.master }
    }

    /// All that was printed, as it looks now, without blanks at the ends of lines.
    pub(crate) fn screen(&self) -> String {
        contents(&self.shown.screen.lock().expect("no panic").0)
    }

    /// Waits until the screen is as wanted.
    fn wait(&self, what: impl Display, wanted: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        let mut screen = self.shown.screen.lock().expect("no panic");
        loop {
            let text = contents(&screen.0);
            if wanted(&text) {
                return;
            }
            let left = PATIENCE.saturating_sub(begin.elapsed());
            assert!(screen.1 == Reading::On, "the program ended before {what}:\n{text}");
            assert!(!left.is_zero(), "still no {what} on the screen:\n{text}");
            screen = self.shown.changed.wait_timeout(screen, left).expect("no panic").0;
        }
    }

    /// Waits until these words are on the screen.
    pub(crate) fn expect(&mut self, words: &str) {
        self.wait(format_args!("{words:?}"), |screen| screen.contains(words));
    }

    /// Waits for an open question that has these words.
    pub(crate) fn question(&mut self, words: &str) {
        self.wait(format_args!("question {words:?}"), |screen| {
            open_question(screen).is_some_and(|q| q.contains(words))
        });
    }

    /// Waits for an open question, `None` when the program ends without one.
    pub(crate) fn next_question(&mut self) -> Option<String> {
        let begin = Instant::now();
        let mut screen = self.shown.screen.lock().expect("no panic");
        loop {
            let text = contents(&screen.0);
            if let Some(question) = open_question(&text) {
                return Some(question.trim_start_matches("? ").to_owned());
            }
            if screen.1 == Reading::Ended {
                return None;
            }
            let left = PATIENCE.saturating_sub(begin.elapsed());
            assert!(!left.is_zero(), "neither question nor end:\n{text}");
            screen = self.shown.changed.wait_timeout(screen, left).expect("no panic").0;
        }
    }

    /// Waits until no question with these words is open any more.
    pub(crate) fn answered(&mut self, words: &str) {
        self.wait(format_args!("answer to {words:?}"), |screen| {
            !screen.lines().any(|line| is_open(line) && line.contains(words))
        });
    }

    /// Presses keys, whatever is on the screen: wait for a question first, or they may be echoed.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).and_then(|()| self.keyboard.flush()).expect("the keyboard works");
    }

    /// Waits for a question, presses keys and then Enter, and waits until the question is answered.
    pub(crate) fn answer(&mut self, question: &str, keys: &str) {
        self.question(question);
        self.press(keys);
        self.enter(question);
    }

    /// Waits for a menu, and chooses the first entry that begins so, or that has these words if none does.
    pub(crate) fn choose(&mut self, question: &str, entry: &str) {
        self.question(question);
        // What is typed filters the menu.
        self.press(entry);
        self.wait(format_args!("entry {entry:?}"), |screen| {
            menu(screen).is_some_and(|(head, entries)| head.ends_with(entry) && !entries.is_empty())
        });
        let screen = self.screen();
        if menu(&screen).is_some_and(|(_, entries)| entries.iter().any(|line| line.starts_with(entry))) {
            self.go_to(entry, str::to_owned);
        }
        self.enter(question);
    }

    /// Waits for a menu of which several entries can be chosen, and ticks those that begin so, and no others.
    pub(crate) fn tick(&mut self, question: &str, entries: &[&str]) {
        self.question(question);
        self.press(LEFT);
        let label = |line: &str| line.get("[ ] ".len()..).unwrap_or_default().to_owned();
        for entry in entries {
            self.go_to(entry, label);
            self.press(SPACE);
            self.wait(format_args!("tick at {entry:?}"), |screen| {
                highlighted(screen).is_some_and(|line| line.starts_with("[x] ") && label(&line).starts_with(entry))
            });
        }
        self.enter(question);
    }

    /// Moves down in a menu, which is a ring, to an entry.
    fn go_to(&mut self, entry: &str, label: impl Fn(&str) -> String + Copy) {
        let mut first = None;
        let mut last = None;
        loop {
            self.wait(format_args!("entry after {last:?}"), |screen| {
                let line = highlighted(screen);
                line.is_some() && line != last
            });
            last = highlighted(&self.screen());
            if last.as_deref().is_some_and(|line| label(line).starts_with(entry)) {
                return;
            }
            assert!(last != first, "no entry begins with {entry:?}:\n{}", self.screen());
            first = first.or_else(|| last.clone());
            self.press(DOWN);
        }
    }

    /// Presses Enter, and waits until one more question is answered.
    fn enter(&mut self, question: &str) {
        let before = answered(&self.screen());
        self.press(ENTER);
        self.wait(format_args!("answer to {question:?}"), |screen| answered(screen) > before);
    }

    /// Takes the last answer back, and waits for the question before.
    pub(crate) fn undo(&mut self, question_before: &str) {
        self.press(ESC);
        self.question(question_before);
    }

    /// Waits for the end of the program. Its exit code, and all that was printed.
    pub(crate) fn end(mut self) -> (u32, String) {
        let begin = Instant::now();
        let mut screen = self.shown.screen.lock().expect("no panic");
        while screen.1 == Reading::On {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            assert!(!left.is_zero(), "the program goes on:\n{}", contents(&screen.0));
            screen = self.shown.changed.wait_timeout(screen, left).expect("no panic").0;
        }
        let text = contents(&screen.0);
        drop(screen);
        let status = self.child.wait().expect("the program ended");
        (status.exit_code(), text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn contents(parser: &Parser) -> String {
    let text = parser.screen().contents();
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

/// The last question that waits for an answer: it has a question mark before it, and a tick once it is answered.
fn open_question(screen: &str) -> Option<&str> {
    screen.lines().rev().find(|line| is_open(line))
}

fn is_open(line: &str) -> bool {
    line.starts_with("? ") && !line.ends_with(TAKEN_BACK)
}

/// The question of the open menu with what was typed, and its entries.
fn menu(screen: &str) -> Option<(&str, Vec<&str>)> {
    let from = if screen.starts_with("? ") { 0 } else { screen.rfind("\n? ")? + 1 };
    let (head, entries) =
        screen[from..].split_once("\n> ").map(|(head, _)| (head, &screen[from + head.len() + 1..]))?;
    let entries = entries.lines().take_while(|line| !line.starts_with('['));
    Some((head, entries.filter_map(|line| line.get(2..)).collect()))
}

/// The entry of a menu that Enter chooses.
fn highlighted(screen: &str) -> Option<String> {
    screen.lines().rev().find_map(|line| line.strip_prefix("> ")).map(str::to_owned)
}

fn answered(screen: &str) -> usize {
    screen.lines().filter(|line| line.starts_with("✓ ")).count()
}
