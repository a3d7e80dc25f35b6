//! Headers of every request, as people write them: `K: v, K2: v2`.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::cli::failure::Failure;

/// Reads headers. Their values are marked as secrets.
///
/// # Errors
/// In the words of the contract, which do not show what was given.
pub(super) fn parse(text: &str) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',') {
        let (name, value) = pair.split_once(':').ok_or_else(malformed)?;
        let name: HeaderName = name.trim().parse().map_err(|_| malformed())?;
        let mut value: HeaderValue = value.trim().parse().map_err(|_| malformed())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn malformed() -> Failure {
    Failure::new("Invalid headers format. Example: 'Authorization: Bearer <token>, Content-Type: application/json'")
        .remedy("put commas between headers, and a colon between the name of each and its value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_split_at_commas_and_the_first_colon() {
        let headers = parse("Authorization: Bearer a:b, X-Other:c").expect("headers");
        assert_eq!(headers["authorization"].as_bytes(), b"Bearer a:b");
        assert_eq!(headers["x-other"].as_bytes(), b"c");
        assert!(headers.values().all(HeaderValue::is_sensitive));
    }

    #[test]
    fn what_is_malformed_is_not_repeated() {
        for bad in ["", "secret", "a b: secret", ": secret", "A: secret,", "A: se\ncret"] {
            let failure = parse(bad).expect_err(bad);
            assert!(failure.cause.starts_with("Invalid headers format. Example:"), "{failure}");
            assert!(!failure.to_string().contains("secret"));
        }
    }
}
