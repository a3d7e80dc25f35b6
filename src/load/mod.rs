//! Load, and what it does: the parts of `rstuf-load`.
//!
//! [`http`] drives any server of the REST API and holds it to what it says, [`actors`] drives a worker through the mailboxes of
//! its actors, and [`floor`] does the same signatures, files, fsyncs and rows with no service around them. [`rotation`] has a worker replace its
//! online key, and then does the same signatures and files without one. All make the same [`report`], so that one can be read beside the other.

pub mod actors;
pub mod artifacts;
pub mod check;
pub mod floor;
pub mod http;
pub mod machine;
pub mod report;
pub mod rotation;
pub mod times;
pub mod visible;
