//! Where a RabbitMQ is, and how it is used.

use std::{fmt, fs, path::Path, time::Duration};

use lapin::{
    tcp::OwnedTLSConfig,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::queue::{celery::LARGEST_MESSAGE, routing::Queues};

/// Between two heartbeats of a connection, in seconds; after two without an answer it is lost.
const HEARTBEAT_SECONDS: u16 = 10;

/// What kind of queues is declared. Queues that exist are used as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueKind {
    /// Durable classic queues, as Celery declares them.
    #[default]
    Classic,
    /// Quorum queues: replicated among the nodes of a cluster.
    Quorum,
}

/// Where a RabbitMQ is, and how it is used.
#[derive(Clone)]
pub struct AmqpOptions {
    scheme: Scheme,
    user: String,
    password: SecretString,
    pub(super) host: String,
    pub(super) port: u16,
    vhost: String,
    /// A certificate authority to believe beside the system's: PEM.
    authority: Option<String>,
    /// What kind of queues is declared.
    pub kind: QueueKind,
    /// How long a publish may take, with everything that has to be done anew for it.
    pub confirm_limit: Duration,
    /// How many unsettled deliveries the broker sends of each queue.
    pub prefetch: u16,
    /// The largest message that is read, in bytes.
    pub largest_message: usize,
    /// The names of the queues.
    pub queues: Queues,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Plain,
    Tls,
}

impl AmqpOptions {
    /// Reads an URL: `amqp://`, `pyamqp://`, `amqps://`, or without a scheme, which means `amqp://`. What is missing is
    /// `guest`, `guest`, port 5672 (5671 with TLS) and the virtual host `/`. `ca_file` holds certificates of authorities in PEM, to
    /// be believed beside the system's.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the password.
    pub fn parse(url: &str, ca_file: Option<&Path>) -> Result<Self, String> {
        let (scheme, rest) = match url.trim().split_once("://") {
            None => (Scheme::Plain, url.trim()),
            Some(("amqp" | "pyamqp", rest)) => (Scheme::Plain, rest),
            Some(("amqps" | "pyamqps", rest)) => (Scheme::Tls, rest),
            // What stands before may be a part of a password.
            Some(_) => return Err("the broker's URL must begin with amqp:// or amqps://".into()),
        };
        let url = Url::parse(&format!("amqp://{rest}")).map_err(|e| format!("the broker's URL can't be read: {e}"))?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("the broker's URL has no host")?;
        if host.contains([';', ',']) {
            return Err("the broker's URL names several brokers; name one".into());
        }
        if url.query_pairs().any(|(option, _)| option == "ssl") {
            return Err("the broker's URL has the option ssl; use amqps:// instead".into());
        }
        let decoded = |text: &str, what: &str| {
            percent_decoded(text).ok_or_else(|| format!("the {what} in the broker's URL is not UTF-8"))
        };
        let vhost = match decoded(url.path().strip_prefix('/').unwrap_or_default(), "virtual host")? {
            empty if empty.is_empty() => "/".to_owned(),
            vhost => vhost,
        };
        let (user, password) = match (url.username(), url.password()) {
            ("", None) => ("guest".to_owned(), "guest".to_owned()),
            (user, password) => (decoded(user, "user")?, decoded(password.unwrap_or_default(), "password")?),
        };
        let authority = match ca_file {
            None => None,
            Some(file) => Some(fs::read_to_string(file).map_err(|e| format!("can't read {}: {e}", file.display()))?),
        };
        let port = url.port().unwrap_or(match scheme {
            Scheme::Plain => 5672,
            Scheme::Tls => 5671,
        });
        Ok(Self {
            scheme,
            user,
            password: password.into(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            vhost,
            authority,
            kind: QueueKind::default(),
            confirm_limit: Duration::from_secs(5),
            prefetch: 256,
            largest_message: LARGEST_MESSAGE,
            queues: Queues::default(),
        })
    }

    pub(super) fn uri(&self) -> AMQPUri {
        AMQPUri {
            scheme: match self.scheme {
                Scheme::Plain => AMQPScheme::AMQP,
                Scheme::Tls => AMQPScheme::AMQPS,
            },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user.clone(),
                    password: self.password.expose_secret().to_owned(),
                },
                host: self.host.clone(),
                port: self.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString { heartbeat: Some(HEARTBEAT_SECONDS), ..AMQPQueryString::default() },
        }
    }

    pub(super) fn tls(&self) -> OwnedTLSConfig {
        OwnedTLSConfig { identity: None, cert_chain: self.authority.clone() }
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

impl fmt::Display for AmqpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Plain => "amqp",
            Scheme::Tls => "amqps",
        };
        let (user, host, port, vhost) = (&self.user, &self.host, self.port, &self.vhost);
        write!(f, "{scheme}://{user}:***@{host}:{port}, virtual host {vhost:?}")
    }
}

impl fmt::Debug for AmqpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AmqpOptions({self}, {:?}, {:?})", self.kind, self.queues)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kombu_reads() {
        for (url, read) in [
            ("amqp://host", r#"amqp://guest:***@host:5672, virtual host "/""#),
            ("guest:guest@rabbit:5673", r#"amqp://guest:***@rabbit:5673, virtual host "/""#),
            ("rabbit", r#"amqp://guest:***@rabbit:5672, virtual host "/""#),
            ("pyamqp://u:p@host//", r#"amqp://u:***@host:5672, virtual host "/""#),
            ("amqps://u:p%40ss@host/v%2Fh", r#"amqps://u:***@host:5671, virtual host "v/h""#),
            (" amqp://127.0.0.1:1/v?heartbeat=0 ", r#"amqp://guest:***@127.0.0.1:1, virtual host "v""#),
            ("amqp://[::1]/", r#"amqp://guest:***@::1:5672, virtual host "/""#),
        ] {
            assert_eq!(AmqpOptions::parse(url, None).expect(url).to_string(), read, "{url}");
        }
        let options = AmqpOptions::parse("amqp://u:p%40ss@host", None).expect("options");
        assert_eq!(options.uri().authority.userinfo.password, "p@ss");
    }

    #[test]
    fn no_error_and_no_debug_tells_the_password() {
        for url in [
            "redis://u:secret@host",
            "amqp://u:secret@host:99999",
            "amqp://u:secret@",
            "amqp://u:secret@a;amqp://u:secret@b",
            "amqp://u:secret@host?ssl=true",
            "amqp://u:secret%ff@host",
        ] {
            let error = AmqpOptions::parse(url, None).expect_err(url);
            assert!(!error.contains("secret"), "{error}");
        }
        let options = AmqpOptions::parse("amqps://u:secret@host", None).expect("options");
        assert!(!format!("{options:?} {options}").contains("secret"));
        let missing = AmqpOptions::parse("host", Some(Path::new("missing.pem"))).expect_err("no file");
        assert!(missing.starts_with("can't read missing.pem"), "{missing}");
    }
}
