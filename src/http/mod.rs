//! The REST API.

pub mod artifacts;
pub mod body;
pub mod bootstrap;
mod delegations;
mod digest;
pub mod fault;
mod lax;
mod limits;
pub mod settings;

pub use limits::Limits;

#[cfg(test)]
mod matrix;
