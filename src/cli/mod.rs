//! What the programs do for people.
//!
//! [`command`] is the tree of commands of `rstuf`; a module each for the groups of them. [`interview`] asks people, or a file of
//! answers; [`output`] and [`failure`] are all that is printed. [`api`] talks to a server, [`client`] is a TUF client.

pub mod admin;
pub mod api;
pub mod artifact;
pub mod client;
pub mod command;
pub mod failure;
pub mod generated;
pub mod interview;
pub mod key;
pub mod output;
pub mod person;
pub mod profile;
pub mod replace;
pub mod server;
pub mod task;

/// Makes TLS available to all HTTP clients of this process; the first thing that a program does.
pub fn install_tls() {
    // It fails when there is one already, and then all is well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
