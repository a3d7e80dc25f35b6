//! The tests that run the programs and judge them by others'.

mod canonical;
mod cli;
mod contract;
mod crash;
mod demo;
mod http;
mod kill;
mod renewal;
mod stores;
