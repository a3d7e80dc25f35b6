//! rstuf: a repository service for The Update Framework.
//!
//! Imports follow these arrows, never back:
//!
//! ```text
//! http ──► queue ──► actors ──► tuf (pure)
//!                       │
//!                       └─────► store
//! ```
//!
//! `task` holds the words that the first three share; `store` may use the types of `tuf`.

pub mod clock;
pub mod config;
pub mod fleet;
pub mod standalone;
pub mod task;
pub mod telemetry;

pub mod actors;
pub mod http;
pub mod queue;
pub mod store;
pub mod tuf;

pub mod cli;
pub mod demo;
pub mod load;
