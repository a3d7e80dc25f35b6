//! TLS of the API.

use std::{path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// What a server with these certificates and this private key, both files in PEM, is started with.
///
/// # Errors
/// A sentence that names the file and says what is wrong with it.
pub fn server(certificates: &Path, key: &Path) -> Result<ServerConfig, String> {
    let unreadable = |file: &Path, what: String| format!("{}: {what}", file.display());
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(certificates, error.to_string()))?;
    if chain.is_empty() {
        return Err(unreadable(certificates, "has no certificate".into()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error.to_string()))?;
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| format!("{} and {} can't be used: {error}", certificates.display(), key.display()))
}
