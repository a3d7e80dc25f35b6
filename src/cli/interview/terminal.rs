//! Questions at a terminal: drawn on standard error, read from the keyboard.

use std::{io::IsTerminal, rc::Rc};

use inquire::{
    Autocomplete, Confirm, CustomUserError, InquireError, MultiSelect, Password, PasswordDisplayMode, Select,
    autocompletion::Replacement,
    list_option::ListOption,
    ui::{RenderConfig, Styled},
    validator::Validation,
};
use secrecy::SecretString;

use super::Stop;
use crate::cli::failure::Failure;

/// What a typed text has to be; the error says so.
pub(super) type Check = Rc<dyn Fn(&str) -> Result<(), String>>;

const KEYS: &str = "Esc takes back the last answer, Ctrl-C stops";
const MENU_KEYS: &str = "↑↓ to move, Enter to choose, Esc takes back the last answer";
const TICK_KEYS: &str = "↑↓ to move, Space to tick, Enter when done, Esc takes back the last answer";

/// Whether somebody is there to answer.
pub(super) fn is_attended() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Questions look the same everywhere, with colours only where they are wanted (no-color.org).
pub(super) fn prepare() {
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let config = if colours { RenderConfig::default_colored() } else { RenderConfig::empty() };
    inquire::set_global_render_config(config.with_answered_prompt_prefix(Styled::new("✓")));
}

/// Says what is wrong with a text while it is being typed.
#[derive(Clone)]
struct Critic(Check);

impl Autocomplete for Critic {
    fn get_suggestions(&mut self, input: &str) -> Result<Vec<String>, CustomUserError> {
        let fault = if input.is_empty() { None } else { (self.0)(input).err() };
        Ok(fault.into_iter().collect())
    }

    fn get_completion(&mut self, _: &str, _: Option<String>) -> Result<Replacement, CustomUserError> {
        Ok(Replacement::None)
    }
}

pub(super) fn text(message: &str, help: Option<&str>, default: Option<&str>, check: Check) -> Result<String, Stop> {
    let critic = Critic(check.clone());
    let fallback = default.map(str::to_owned);
    let validate = move |input: &str| {
        let input = if input.is_empty() { fallback.as_deref().unwrap_or("") } else { input };
        Ok(check(input).map_or_else(|why| Validation::Invalid(why.into()), |()| Validation::Valid))
    };
    let mut prompt = inquire::Text::new(message)
        .with_help_message(help.unwrap_or(KEYS))
        .with_autocomplete(critic)
        .with_validator(validate);
    prompt.default = default;
    prompt.prompt().map_err(stop)
}

pub(super) fn confirm(message: &str, default: bool) -> Result<bool, Stop> {
    Confirm::new(message).with_default(default).with_help_message(KEYS).prompt().map_err(stop)
}

pub(super) fn choose(message: &str, labels: Vec<&str>, preset: usize) -> Result<usize, Stop> {
    let prompt = Select::new(message, labels).with_help_message(MENU_KEYS).with_starting_cursor(preset);
    prompt.raw_prompt().map(|chosen| chosen.index).map_err(stop)
}

pub(super) fn choose_many(message: &str, labels: Vec<&str>, at_least: usize) -> Result<Vec<usize>, Stop> {
    let some = move |chosen: &[ListOption<&&str>]| {
        Ok(if chosen.len() < at_least { Validation::Invalid("tick at least one".into()) } else { Validation::Valid })
    };
    let prompt = MultiSelect::new(message, labels).with_help_message(TICK_KEYS).with_validator(some);
    prompt.raw_prompt().map(|chosen| chosen.into_iter().map(|option| option.index).collect()).map_err(stop)
}

pub(super) fn secret(message: &str) -> Result<SecretString, Stop> {
    let prompt = Password::new(message).without_confirmation().with_display_mode(PasswordDisplayMode::Hidden);
    prompt.with_help_message(KEYS).prompt().map(SecretString::from).map_err(stop)
}

pub(super) fn new_secret(message: &str) -> Result<SecretString, Stop> {
    let some = |typed: &str| {
        Ok(if typed.is_empty() { Validation::Invalid("must not be empty".into()) } else { Validation::Valid })
    };
    let prompt = Password::new(message)
        .with_custom_confirmation_message("Once more:")
        .with_custom_confirmation_error_message("the two are not the same")
        .with_display_mode(PasswordDisplayMode::Hidden)
        .with_validator(some);
    prompt.with_help_message(KEYS).prompt().map(SecretString::from).map_err(stop)
}

fn stop(error: InquireError) -> Stop {
    match error {
        InquireError::OperationCanceled => Stop::Undo,
        InquireError::OperationInterrupted => Stop::Quit,
        error => Stop::Failed(Failure::new(format_args!("can't ask at this terminal: {error}"))),
    }
}
