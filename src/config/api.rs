//! The settings of an API instance.

use std::path::Path;

use super::{
    Reading, Setting, Sources, fleet,
    names::Program,
    read,
    reader::Reader,
    setting,
    standalone::{limits, listen},
};
use crate::{
    fleet::{api::Options, tls},
    http::Disabled,
};

/// The program.
pub const PROGRAM: Program =
    Program { name: "api", settings: &SETTINGS, aliases: &fleet::ALIASES_OF_API, meaningless: &fleet::MEANINGLESS };

const SETTINGS: [Setting; 20] = [
    fleet::BROKER_SERVER,
    fleet::BROKER_QUEUE_TYPE,
    fleet::REDIS_SERVER,
    fleet::REDIS_SERVER_PORT,
    fleet::REDIS_SERVER_DB_RESULT,
    fleet::REDIS_SERVER_DB_REPO_SETTINGS,
    fleet::CA_FILE,
    setting("listen", "127.0.0.1:8080", "address and port of the API; port 0 takes a free one"),
    setting("ssl_cert", "", "file with the API's certificates (PEM), for https; also SECRETS_RSTUF_SSL_CERT"),
    setting("ssl_key", "", "file with the private key of the certificate (PEM); also SECRETS_RSTUF_SSL_KEY"),
    fleet::METRICS_LISTEN,
    setting(
        "disable_endpoints",
        "",
        "endpoints that answer 404, with : between them: /api/v1/<resource>/ or {'POST'}/api/v1/…",
    ),
    setting("body_bytes", "33554432", "largest body of a request, in bytes"),
    setting("artifacts_per_request", "100000", "most artifacts that one request adds or removes"),
    setting("path_bytes", "1024", "longest path of an artifact, in bytes; at most 4096"),
    setting("custom_bytes", "16384", "largest custom data of an artifact, in bytes of JSON"),
    setting("requests_in_flight", "256", "requests with a body that are worked on at once; others get 503"),
    fleet::RESULT_EXPIRY_SECONDS,
    fleet::LOG_LEVEL,
    fleet::LOG_FORMAT,
];

/// Reads the settings of an API instance.
pub fn load(sources: Sources) -> Reading<Options> {
    read(&PROGRAM, sources, |reader| {
        let shared = fleet::shared(reader);
        let (listen, tls) = (listen(reader), tls(reader));
        let (metrics_listen, limits) = (fleet::metrics_listen(reader), limits(reader));
        let disabled = Disabled::parse(&reader.text("disable_endpoints")).unwrap_or_else(|why| {
            reader.fault("disable_endpoints", &why);
            Disabled::default()
        });
        Some(Options { shared: shared?, listen, tls, metrics_listen, limits, disabled })
    })
}

fn tls(reader: &mut Reader) -> Option<rustls::ServerConfig> {
    match (reader.text("ssl_cert"), reader.text("ssl_key")) {
        (certificates, key) if certificates.is_empty() && key.is_empty() => None,
        (certificates, key) if !certificates.is_empty() && !key.is_empty() => {
            match tls::server(Path::new(&certificates), Path::new(&key)) {
                Ok(config) => Some(config),
                Err(why) => {
                    reader.fault("ssl_cert", &why);
                    None
                }
            }
        }
        _ => {
            reader.fault("ssl_cert", "needs ssl_key, and that needs this");
            None
        }
    }
}
