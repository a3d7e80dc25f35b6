//! Redis: where a server is, and the connection that its users share. What is kept in it has a file per store.

use std::{fmt, fs, path::Path};

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates};
use rustls::RootCertStore;
use url::Url;

use super::StoreError;

pub mod connection;
pub mod python;

pub use connection::Connection;

/// The name of this store in errors.
pub(crate) const STORE: &str = "redis";
const DEFAULT_PORT: u16 = 6379;

/// Where a Redis server is, and how to be let in. Shown without its password.
#[derive(Clone)]
pub struct Server {
    /// The URL without the password.
    shown: String,
    info: ConnectionInfo,
    database: Option<i64>,
    /// With TLS, all certificates that are trusted, in PEM.
    authorities: Option<Vec<u8>>,
}

impl Server {
    /// Reads `redis://` or, for TLS, `rediss://`, with the optional parts of `user:password@host:port/database`; without
    /// a scheme it is `redis://`. `port` is the one where the text has none; `ca_file` has certificates in PEM that are trusted
    /// beside those of the system.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the text: it may hold a password.
    pub fn parse(url: &str, port: Option<u16>, ca_file: Option<&Path>) -> Result<Self, String> {
        let url = url.trim();
        let url = if url.contains("://") { url.to_owned() } else { format!("redis://{url}") };
        let mut url = Url::parse(&url).map_err(|error| format!("is no URL: {error}"))?;
        if !matches!(url.scheme(), "redis" | "rediss") {
            return Err(format!("must begin with redis:// or rediss://, not {}://", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("has no host".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must end after the number of the database".into());
        }
        if url.port().is_none() {
            let port = port.unwrap_or(DEFAULT_PORT);
            url.set_port(Some(port)).map_err(|()| "can't have a port")?;
        }
        let database = match url.path().trim_matches('/') {
            "" => None,
            number => Some(number.parse().ok().filter(|number| *number >= 0).ok_or("the database must be a number")?),
        };
        let mut shown = url.clone();
        shown.set_password(None).map_err(|()| "can't have a password")?;
        url.set_path("");
        let info = url.into_connection_info().map_err(|error| format!("can't be used: {}", error.category()))?;
        let named = ca_file.map(named_authorities).transpose()?;
        let authorities = match info.addr() {
            ConnectionAddr::TcpTls { .. } => Some(with_those_of_the_system(named)?),
            _ => None,
        };
        Ok(Self { shown: shown.to_string(), info, database, authorities })
    }

    /// The number of the database that the URL named.
    pub fn database(&self) -> Option<i64> {
        self.database
    }

    /// A client of `database`, or else of the one that the URL named, or else of 0. It connects when it is used. With TLS the
    /// process must have installed its provider of cryptography.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the certificates can't be used.
    pub fn client(&self, database: Option<i64>) -> Result<Client, StoreError> {
        let settings = self.info.redis_settings().clone();
        let settings =
            settings.set_db(database.or(self.database).unwrap_or_default()).set_protocol(ProtocolVersion::RESP2);
        let info = self.info.clone().set_redis_settings(settings);
        match &self.authorities {
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                Client::build_with_tls(info, certificates)
            }
            None => Client::open(info),
        }
        .map_err(unavailable)
    }

    /// A connection to a database, as [`client`](Self::client), that all its clones share. It is made when it is first
    /// used, and again when it was lost.
    ///
    /// # Errors
    /// Those of [`client`](Self::client).
    pub fn connection(&self, database: Option<i64>) -> Result<Connection, StoreError> {
        self.client(database).map(Connection::new)
    }
}

/// The certificates in this file, in PEM.
fn named_authorities(file: &Path) -> Result<Vec<u8>, String> {
    let told = |what: &dyn fmt::Display| format!("the certificates in {} can't be read: {what}", file.display());
    let all = fs::read(file).map_err(|error| told(&error))?;
    match pem::parse_many(&all) {
        Ok(found) if found.iter().any(|part| part.tag() == "CERTIFICATE") => Ok(all),
        Ok(_) => Err(told(&"there are none")),
        Err(error) => Err(told(&error)),
    }
}

/// These certificates and those of the system, in PEM. Of the system's, those are left out that can't be used: because of one of
/// them the client would refuse all. That the system has none, or not all can be read, is fine as long as one is left.
fn with_those_of_the_system(named: Option<Vec<u8>>) -> Result<Vec<u8>, String> {
    let mut all = named.unwrap_or_default();
    let mut usable = RootCertStore::empty();
    for known in rustls_native_certs::load_native_certs().certs {
        if usable.add(known.clone()).is_ok() {
            all.push(b'\n');
            all.extend(pem::encode(&pem::Pem::new("CERTIFICATE", known.to_vec())).into_bytes());
        }
    }
    if all.is_empty() {
        Err("needs root certificates, and the system has none; name a CA file".into())
    } else {
        Ok(all)
    }
}

pub(crate) fn unavailable(error: redis::RedisError) -> StoreError {
    StoreError::unavailable(STORE, error)
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown.trim_end_matches('/'))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The server of the tests.
    pub(crate) fn server() -> Server {
        let url = std::env::var("RSTUF_TEST_REDIS").expect("a redis: run it through scripts/servers.sh");
        Server::parse(&url, None, None).expect("a server")
    }

    #[test]
    fn every_part_of_a_url_is_read() {
        let cases = [
            ("redis", None, "redis://redis:6379"),
            ("redis://redis", Some(7000), "redis://redis:7000"),
            ("redis://redis:7001/", Some(7000), "redis://redis:7001"),
            ("h:7001/3", None, "redis://h:7001/3"),
            (" rediss://user:p%40ss@h/2 ", None, "rediss://user@h:6379/2"),
            ("redis://:pass@[::1]:7001", None, "redis://[::1]:7001"),
        ];
        for (text, port, shown) in cases {
            let server = Server::parse(text, port, None).expect(text);
            assert_eq!(server.to_string(), shown);
            assert_eq!(format!("{server:?}"), format!("Server({shown})"));
        }
        let server = Server::parse("rediss://us%20er:p%40ss@h/2", None, None).expect("a server");
        let settings =
            |database| server.client(database).expect("a client").get_connection_info().redis_settings().clone();
        assert_eq!(settings(None).password(), Some("p@ss"));
        assert_eq!(settings(None).username(), Some("us er"));
        assert_eq!((settings(None).db(), settings(Some(0)).db(), server.database()), (2, 0, Some(2)));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        for text in
            ["amqp://u:secret@h", "redis://", "redis://u:secret@h/x", "redis://u:secret@h:x", "redis://u:secret@h?a"]
        {
            let told = Server::parse(text, None, None).expect_err(text);
            assert!(!told.contains("secret"), "{told}");
        }
        let told = Server::parse("rediss://h", None, Some(Path::new("no/such.pem"))).expect_err("no file");
        assert!(told.contains("no/such.pem"), "{told}");
    }
}
