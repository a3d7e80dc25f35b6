//! Numbers that several commands ask for.

use std::ops::RangeInclusive;

use crate::{
    cli::interview::{Interview, Stop, Text},
    tuf::expiry::MAX_DAYS,
};

/// Asks for how many days something is valid.
///
/// # Errors
/// [`Stop`].
pub fn ask_days(interview: &mut Interview, id: &str, message: &str, default: u32) -> Result<u32, Stop> {
    interview.text(Text { id, message, help: None, default: Some(&default.to_string()) }, days)
}

/// Reads a number of days.
///
/// # Errors
/// Says what it has to be.
pub fn days(text: &str) -> Result<u32, String> {
    let days = text.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days));
    days.ok_or_else(|| format!("must be a whole number of days from 1 to {MAX_DAYS}"))
}

/// The most keys of a role that a server takes.
pub const MAX_KEYS: u32 = 1_000;

/// Asks how many keys must sign, at least `least`.
///
/// # Errors
/// [`Stop`].
pub fn ask_threshold(
    interview: &mut Interview,
    id: &str,
    message: &str,
    least: u32,
    default: u32,
) -> Result<u32, Stop> {
    ask_threshold_of(interview, id, message, least..=MAX_KEYS, default)
}

/// As [`ask_threshold`], in these bounds.
///
/// # Errors
/// [`Stop`].
pub fn ask_threshold_of(
    interview: &mut Interview,
    id: &str,
    message: &str,
    bounds: RangeInclusive<u32>,
    default: u32,
) -> Result<u32, Stop> {
    let help = Some("who wants to do harm needs as many keys; where fewer are left, nobody can sign");
    let question = Text { id, message, help, default: Some(&default.to_string()) };
    interview.text(question, move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}", bounds.start(), bounds.end()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_positive_and_bounded() {
        assert_eq!(days("1"), Ok(1));
        assert_eq!(days("36500"), Ok(36_500));
        for wrong in ["", "0", "-1", "1.5", "one", "36501", "99999999999"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }
}
