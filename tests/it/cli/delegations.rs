//! Roles are delegated to, changed and deleted.
