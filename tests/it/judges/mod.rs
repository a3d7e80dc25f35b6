//! TUF clients that are not ours, as judges of what we publish.

pub(crate) mod program;
pub(crate) mod tough;
