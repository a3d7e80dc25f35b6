//! Artifacts are added, deleted and published from files.
