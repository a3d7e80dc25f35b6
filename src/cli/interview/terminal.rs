//! Questions at a terminal: drawn on standard error, read from the keyboard.

use std::{
    cell::RefCell,
    io::{self, IsTerminal},
    rc::Rc,
};

use inquire::{
    Autocomplete, Confirm, CustomUserError, InquireError, MultiSelect, Password, PasswordDisplayMode, Select,
    autocompletion::Replacement,
    list_option::ListOption,
    ui::{RenderConfig, Styled},
    validator::Validation,
};
use secrecy::SecretString;

use super::Stop;
use crate::cli::{
    failure::Failure,
    output::{hanging, width_of},
};

/// What a typed text has to be; the error says so.
pub(super) type Check = Rc<dyn Fn(&str) -> Result<(), String>>;

const KEYS: &str = "Esc takes back the last answer, Ctrl-C stops";
const MENU_KEYS: &str = "↑↓ to move, Enter to choose, Esc takes back the last answer";
const TICK_KEYS: &str = "↑↓ to move, Space to tick, Enter when done, Esc takes back the last answer";
const TAKEN_BACK: &str = "(taken back)";
/// The entries of a menu that are seen at once.
const PAGE: usize = 12;

/// Whether somebody is there to answer.
pub(super) fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Questions look the same everywhere, with colours only where they are wanted (no-color.org).
pub(super) fn prepare() {
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let config = if colours { RenderConfig::default_colored() } else { RenderConfig::empty() };
    let taken_back = Styled::new(TAKEN_BACK);
    let config = config.with_answered_prompt_prefix(Styled::new("✓")).with_canceled_prompt_indicator(taken_back);
    inquire::set_global_render_config(config);
}

/// A text that breaks at blanks at this terminal, behind a mark of two columns.
fn fit(text: &str) -> String {
    // A column stays free for the bracket behind help.
    width_of(&io::stderr()).map_or_else(|| text.to_owned(), |width| indented(text, width.saturating_sub(3).max(20)))
}

fn indented(text: &str, width: usize) -> String {
    text.split('\n').map(|line| hanging(line, width, 0)).collect::<Vec<_>>().join("\n").replace('\n', "\n  ")
}

/// Says what is wrong with a text while it is being typed.
#[derive(Clone)]
struct Critic {
    check: Check,
    /// What it says now: it can be highlighted like a suggestion, but is no answer.
    says: Rc<RefCell<Option<String>>>,
}

impl Critic {
    fn new(check: Check) -> Self {
        Self { check, says: Rc::default() }
    }
}

impl Autocomplete for Critic {
    fn get_suggestions(&mut self, input: &str) -> Result<Vec<String>, CustomUserError> {
        let fault = if input.is_empty() { None } else { (self.check)(input).err() };
        let fault = fault.map(|why| fit(&why));
        self.says.replace(fault.clone());
        Ok(fault.into_iter().collect())
    }

    fn get_completion(&mut self, _: &str, _: Option<String>) -> Result<Replacement, CustomUserError> {
        Ok(Replacement::None)
    }
}

pub(super) fn text(message: &str, help: Option<&str>, default: Option<&str>, check: Check) -> Result<String, Stop> {
    let critic = Critic::new(check.clone());
    let says = critic.says.clone();
    let validate = move |input: &str| {
        // What is wrong stands below the line already.
        let why = if says.borrow().is_some() { Some("not yet an answer".to_owned()) } else { check(input).err() };
        Ok(why.map_or(Validation::Valid, |why| Validation::Invalid(fit(&why).into())))
    };
    let message = fit(message);
    let help = help.map_or_else(|| fit(KEYS), |help| format!("{}\n {}", fit(help), fit(KEYS)));
    let mut prompt =
        inquire::Text::new(&message).with_help_message(&help).with_autocomplete(critic).with_validator(validate);
    prompt.default = default;
    prompt.prompt().map_err(stop)
}

pub(super) fn confirm(message: &str, default: bool) -> Result<bool, Stop> {
    let (message, help) = (fit(message), fit(KEYS));
    let prompt = Confirm::new(&message).with_default(default).with_help_message(&help);
    prompt.with_error_message("type y for yes or n for no").prompt().map_err(stop)
}

pub(super) fn choose(message: &str, labels: Vec<&str>, preset: usize) -> Result<usize, Stop> {
    let (message, help) = (fit(message), fit(MENU_KEYS));
    let labels = entries(message.as_str(), labels)?;
    let prompt = Select::new(&message, labels).with_help_message(&help).with_page_size(PAGE);
    prompt.with_starting_cursor(preset).raw_prompt().map(|chosen| chosen.index).map_err(stop)
}

pub(super) fn choose_many(
    message: &str,
    labels: Vec<&str>,
    presets: &[usize],
    at_least: usize,
) -> Result<Vec<usize>, Stop> {
    let some = move |chosen: &[ListOption<&String>]| {
        Ok(if chosen.len() < at_least { Validation::Invalid("tick at least one".into()) } else { Validation::Valid })
    };
    let (message, help) = (fit(message), fit(TICK_KEYS));
    let labels = entries(message.as_str(), labels)?;
    let prompt = MultiSelect::new(&message, labels).with_help_message(&help).with_page_size(PAGE);
    let prompt = prompt.with_default(presets).with_validator(some);
    prompt.raw_prompt().map(|chosen| chosen.into_iter().map(|option| option.index).collect()).map_err(stop)
}

/// The entries of a menu, of which there must be one.
fn entries(message: &str, labels: Vec<&str>) -> Result<Vec<String>, Stop> {
    match labels.is_empty() {
        true => Err(super::nothing(message).into()),
        false => Ok(labels.into_iter().map(fit).collect()),
    }
}

pub(super) fn secret(message: &str) -> Result<SecretString, Stop> {
    let (message, help) = (fit(message), fit(KEYS));
    let prompt = Password::new(&message).without_confirmation().with_display_mode(PasswordDisplayMode::Hidden);
    prompt.with_help_message(&help).prompt().map(SecretString::from).map_err(stop)
}

pub(super) fn new_secret(message: &str) -> Result<SecretString, Stop> {
    let some = |typed: &str| {
        Ok(if typed.is_empty() { Validation::Invalid("must not be empty".into()) } else { Validation::Valid })
    };
    let (message, help) = (fit(message), fit(KEYS));
    let prompt = Password::new(&message)
        .with_custom_confirmation_message("Once more:")
        .with_custom_confirmation_error_message("the two are not the same")
        .with_display_mode(PasswordDisplayMode::Hidden)
        .with_validator(some);
    prompt.with_help_message(&help).prompt().map(SecretString::from).map_err(stop)
}

fn stop(error: InquireError) -> Stop {
    match error {
        InquireError::OperationCanceled => Stop::Undo,
        InquireError::OperationInterrupted => Stop::Quit,
        error => Stop::Failed(Failure::new(format_args!("can't ask at this terminal: {error}"))),
    }
}
