//! What the programs do for people.
