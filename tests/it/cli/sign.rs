//! People sign what waits for signatures.
