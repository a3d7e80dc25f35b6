//! The Update Framework, as functions of values: no clock, no file, no network, no actor.
//!
//! A state and a time come in, a draft or a refusal goes out. Section numbers are those of the TUF specification 1.0.34.

pub mod bins;
pub mod canonical;
pub mod change;
pub mod content;
pub mod delegation;
pub mod event;
pub mod expiry;
pub mod info;
pub mod key;
pub mod limits;
pub mod listing;
mod member;
pub mod name;
mod pattern;
pub mod placement;
pub mod plan;
pub mod preview;
pub mod root;
pub mod rules;
pub mod snapshot;
pub mod targets;
pub mod timestamp;
mod unique;
pub mod verify;
pub mod wire;

#[cfg(test)]
pub(crate) mod sample;
