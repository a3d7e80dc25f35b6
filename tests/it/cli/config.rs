//! The settings of a repository are shown and changed.
