//! Secrets: where they are read from, and what may be shown of them.

use std::{fs, io, path::Path};

use url::Url;

/// Where containers and systemd put the files of secrets.
const DIRECTORIES: [&str; 2] = ["/run/secrets/", "/run/credentials/"];
/// What stands for a secret whose file could not be read.
pub(super) const UNREADABLE: &str = "unreadable";
/// A file of a secret that is longer is none.
const LONGEST_BYTES: u64 = 64 * 1024;

/// Whether a value is the path of a file that has the secret.
pub(super) fn is_reference(value: &str) -> bool {
    DIRECTORIES.iter().any(|directory| value.starts_with(directory))
}

/// The secret in a file, without the line end behind it. Errs with the end of a sentence that begins with the file.
pub(super) fn read(file: &Path) -> Result<String, String> {
    let known = fs::metadata(file).map_err(|error| because(&error))?;
    if known.len() > LONGEST_BYTES {
        return Err(format!("has more than {LONGEST_BYTES} bytes"));
    }
    let text = fs::read_to_string(file).map_err(|error| because(&error))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() { Err("is empty".into()) } else { Ok(text.to_owned()) }
}

fn because(error: &io::Error) -> String {
    format!("can't be read ({error})")
}

/// A URL without user, password and query. What is no URL is not shown at all.
pub(super) fn without_credentials(url: &str) -> String {
    // Without a scheme, what follows could be anything.
    let (url, bare) = match url.contains("://") {
        true => (url.to_owned(), false),
        false => (format!("any://{url}"), true),
    };
    let Ok(mut url) = Url::parse(&url) else { return "set".into() };
    if url.host_str().is_none_or(str::is_empty) {
        return "set".into();
    }
    url.set_query(None);
    url.set_fragment(None);
    if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
        return "set".into();
    }
    match bare {
        true => url.as_str().trim_start_matches("any://").to_owned(),
        false => url.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_without_its_last_line_end() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("secret");
        for (content, secret) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
            fs::write(&file, content).expect("written");
            assert_eq!(read(&file).as_deref(), Ok(secret), "{content:?}");
        }
        fs::write(&file, "\n").expect("written");
        assert_eq!(read(&file), Err("is empty".into()));
        assert!(read(&home.path().join("other")).expect_err("no file").contains("can't be read"));
    }

    #[test]
    fn a_path_elsewhere_is_a_value() {
        assert!(is_reference("/run/secrets/db") && is_reference("/run/credentials/rstuf.service/db"));
        assert!(!is_reference("/etc/passwd") && !is_reference("secret") && !is_reference("/run/secretsx"));
    }

    #[test]
    fn nothing_of_a_url_that_lets_somebody_in_is_shown() {
        for (url, shown) in [
            ("amqps://user:canary@host:5671/vhost", "amqps://host:5671/vhost"),
            ("user:canary@host:5672", "host:5672"),
            ("redis://:canary@[::1]/3?password=canary#canary", "redis://[::1]/3"),
            ("postgresql://host/db?password=canary", "postgresql://host/db"),
            ("canary canary", "set"),
            ("amqp://u:canary@", "set"),
            ("amqp://u:can/ary@host:x", "set"),
        ] {
            assert_eq!(without_credentials(url), shown, "{url}");
        }
    }
}
