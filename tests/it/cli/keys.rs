//! Keys of people: files, tokens, a key management service.
