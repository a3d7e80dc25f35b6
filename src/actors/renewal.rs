//! Makes sure that there is a round when roles are due and nothing else happens.
//!
//! Every plan takes all roles that are due, whoever caused it: `timestamp`, `snapshot`, `targets` and each bin, empty ones
//! too. So a look is a wake.

use std::time::Duration;

use actix::prelude::*;

use super::{
    publisher::{Publisher, Wake},
    reporter::{Report, Reporter},
    supervisor::{Lifeline, Post},
};

/// The renewal actor. Its tick also makes up for wakes and reports that were lost.
#[derive(Debug)]
pub struct Renewal {
    /// Between two looks.
    pub interval: Duration,
    /// Renews what is due.
    pub publisher: Post<Publisher>,
    /// Reports what was not reported.
    pub reporter: Post<Reporter>,
    /// Tells the supervisor when this is gone.
    pub lifeline: Lifeline,
}

impl Actor for Renewal {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(self.interval, |renewal, _| {
            renewal.publisher.tell(Wake);
            renewal.reporter.tell(Report);
        });
    }
}
