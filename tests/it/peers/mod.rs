//! Programs of the Python service and of Celery, with which ours share a fleet.

pub(crate) mod celery;
pub(crate) mod cli;
pub(crate) mod people;
