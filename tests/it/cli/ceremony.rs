//! A repository is created at a terminal, and by a file of answers.
