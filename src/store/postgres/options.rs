//! Where the server is, and as whom to talk to it.

use std::{fmt, path::Path, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, Check};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After how much silence the system asks whether the server's machine is still there, and how often then.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent data may stay unacknowledged by the server's machine.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
const DEFAULT_PORT: u16 = 5432;

/// Where the server is, as whom to talk to it, and how the connection is protected.
#[derive(Clone)]
pub struct Options {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    check: Check,
}

impl Options {
    /// Reads the address of a server: `postgresql://user:password@host:5432/database?sslmode=verify-full`, where all
    /// but the host may be missing. `postgres://`, `postgresql+psycopg2://` and no scheme at all mean the same.
    /// Several hosts are separated by commas, and are tried in turn. `user` and `password` override those in the address.
    ///
    /// `sslmode` says what is encrypted and checked:
    ///
    /// | mode | encrypted | checked |
    /// |---|---|---|
    /// | `disable` | no | nothing |
    /// | `prefer`, the default without `ca_file` | if the server offers it | nothing |
    /// | `require` | yes | nothing; with `ca_file` the same as `verify-ca` |
    /// | `verify-ca` | yes | that `ca_file`, which must be given, vouches for the server, whatever its name |
    /// | `verify-full`, the default with `ca_file` | yes | that `ca_file` or the system's roots vouch for the server under its name |
    ///
    /// `ca_file` has one or more certificates in PEM. It is read here, once.
    ///
    /// # Errors
    /// A text that names what is wrong. It never holds the password.
    pub fn parse(
        server: &str,
        user: Option<&str>,
        password: Option<SecretString>,
        ca_file: Option<&Path>,
    ) -> Result<Self, String> {
        let address = without_scheme(server)?;
        let (address, mode, query) = split(address);
        let check = Check::of(mode, ca_file.is_some())?;
        let mut url = format!("postgresql://{address}");
        if !query.is_empty() {
            url = format!("{url}?{query}");
        }
        let mut config: Config = url.parse().map_err(|error| named(&error))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("the address of the database names no host".to_owned());
        }
        if let Some(user) = user {
            config.user(user);
        }
        if let Some(password) = password {
            config.password(password.expose_secret());
        }
        if config.get_application_name().is_none() {
            config.application_name("rstuf");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config
            .ssl_mode(match check {
                Check::Plain => SslMode::Disable,
                Check::Offered => SslMode::Prefer,
                Check::Encrypted | Check::Authority | Check::Name => SslMode::Require,
            })
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(UNACKNOWLEDGED);
        Ok(Self { config, tls: tls::connector(check, ca_file)?, check })
    }

    /// The same server, another database.
    #[cfg(test)]
    pub(crate) fn database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.config.dbname(name);
        other
    }
}

/// The address without the scheme, which may be missing.
fn without_scheme(server: &str) -> Result<&str, String> {
    let Some((scheme, rest)) = server.split_once("://") else { return Ok(server) };
    // Python names its driver behind a plus sign.
    match scheme.split('+').next() {
        Some("postgresql" | "postgres") => Ok(rest),
        _ => Err(format!("`{scheme}` is no scheme of PostgreSQL: the address begins with postgresql://")),
    }
}

/// Takes the mode of TLS out of an address: it has more values than the library knows.
fn split(address: &str) -> (&str, Option<&str>, String) {
    let Some((address, query)) = address.split_once('?') else { return (address, None, String::new()) };
    let (modes, others): (Vec<_>, Vec<_>) =
        query.split('&').filter(|pair| !pair.is_empty()).partition(|pair| pair.starts_with("sslmode="));
    (address, modes.last().map(|pair| &pair["sslmode=".len()..]), others.join("&"))
}

/// What the library found wrong, without the words it found it in.
fn named(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("the address of the database can't be read: {cause}")
}

impl fmt::Display for Options {
    /// `user@host:port/database`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let ports = self.config.get_ports();
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
            match host {
                Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{port}")?,
                Host::Tcp(name) => write!(f, "{name}:{port}")?,
                Host::Unix(path) => write!(f, "{}:{port}", path.display())?,
            }
        }
        match self.config.get_dbname() {
            Some(database) => write!(f, "/{database}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("server", &self.to_string()).field("check", &self.check).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(server: &str) -> Result<Options, String> {
        Options::parse(server, None, None, None)
    }

    fn shown(server: &str) -> String {
        parse(server).expect("options").to_string()
    }

    #[test]
    fn an_address_may_leave_out_what_goes_without_saying() {
        assert_eq!(shown("postgresql://u:p@host:5433/db"), "u@host:5433/db");
        assert_eq!(shown("postgres://host"), "host:5432");
        assert_eq!(shown("postgresql+psycopg2://u@host/db"), "u@host:5432/db");
        assert_eq!(shown("postgres:5433"), "postgres:5433");
        assert_eq!(shown("u:p@host:1/db?sslmode=require"), "u@host:1/db");
        assert_eq!(shown("postgresql://a:1,b:2/db"), "a:1,b:2/db");
        assert_eq!(shown("postgresql://[::1]:7/db"), "[::1]:7/db");
    }

    #[test]
    fn user_and_password_beside_the_address_override_those_in_it() {
        let options = Options::parse("postgresql://u:in%40side@host/db", Some("v"), Some("other".into()), None);
        let options = options.expect("options");
        assert_eq!((options.config.get_user(), options.config.get_password()), (Some("v"), Some(&b"other"[..])));
        let options = parse("postgresql://u:in%40side@host/db").expect("options");
        assert_eq!(options.config.get_password(), Some(&b"in@side"[..]));
    }

    #[test]
    fn the_password_is_not_shown() {
        let options = parse("postgresql://u:hidden@host/db").expect("options");
        assert!(!format!("{options} {options:?} {options:#?}").contains("hidden"));
        for wrong in
            ["mysql://u:hidden@host/db", "u:hidden@host:many/db", "u:hidden@host?x=1", "u:hidden@host?sslmode=x"]
        {
            let error = parse(wrong).expect_err("refused");
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |server: &str| parse(server).expect_err("refused");
        assert!(error("mysql://host/db").contains("mysql"));
        assert!(error("postgresql:///db").contains("no host"));
        assert!(error("host?sslmode=maybe").contains("maybe"));
        assert!(error("host?colour=red").contains("colour"));
        assert!(error("host:many/db").contains("port"));
        assert!(error("host?sslmode=verify-ca").contains("CA file"));
        let missing = Options::parse("host", None, None, Some(Path::new("no/such.pem"))).expect_err("refused");
        assert!(missing.contains("no/such.pem"), "{missing}");
    }

    #[test]
    fn the_mode_of_tls_is_understood() {
        let mode = |query: &str| parse(&format!("host{query}")).expect("options").config.get_ssl_mode();
        assert_eq!(mode(""), SslMode::Prefer);
        assert_eq!(mode("?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("?sslmode=require&application_name=x"), SslMode::Require);
    }
}
