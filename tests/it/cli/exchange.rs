//! Payload files go from one command line to the other.
