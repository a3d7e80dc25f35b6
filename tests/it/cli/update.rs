//! The next root.
