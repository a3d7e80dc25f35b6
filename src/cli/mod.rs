//! What the programs do for people.

pub mod api;
pub mod client;
