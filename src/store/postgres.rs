//! PostgreSQL: how it is reached, what its errors mean for the caller, and the schema that this program works on.
//!
//! Nothing here waits without end: a server that is away, or that takes connections and does not answer, is
//! [`StoreError::Unavailable`] after a while.
//!
//! [`StoreError::Unavailable`]: super::StoreError::Unavailable

mod errors;
mod migration;
mod options;
mod pool;
mod schema;
#[cfg(test)]
pub(crate) mod testing;
mod tls;

pub(super) use self::{
    errors::unreadable,
    pool::{Call, Pool, Session},
};
pub use self::{
    migration::migrate,
    options::Options,
    schema::{VERSION, check_schema},
};
