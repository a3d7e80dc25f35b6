//! What the programs do for people.

pub mod api;
pub mod client;

/// Makes TLS available to all HTTP clients of this process; the first thing that a program does.
pub fn install_tls() {
    // It fails when there is one already, and then all is well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
