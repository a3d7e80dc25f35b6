//! The REST API.

pub mod body;
pub mod fault;
mod lax;
