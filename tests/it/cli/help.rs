//! The help, completions and manual pages.
