//! What the programs do as a whole: the real `rstufd` is started, and clients that are not ours judge what it publishes.

mod harness;
mod judges;
mod peers;

mod artifacts;
mod canonical;
mod check_config;
mod cli;
mod contract;
mod crash;
mod demo;
mod deploy;
mod fleet;
mod http;
mod kill;
mod load;
mod renewal;
mod signing;
mod stores;
mod tls;
mod worker;
