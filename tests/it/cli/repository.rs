//! The repositories of the configuration file.
