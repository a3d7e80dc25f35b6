//! TLS to the server, and what is checked of its certificate.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What is encrypted and checked: the modes of `sslmode`, from nothing to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// `disable`: no TLS.
    Plain,
    /// `prefer`: TLS if the server offers it.
    Offered,
    /// `require`: TLS with whatever certificate the server has.
    Encrypted,
    /// `verify-ca`: someone in the CA file vouches for the server.
    Authority,
    /// `verify-full`: and for its name.
    Name,
}

impl Check {
    /// What `sslmode` asks for, with or without a CA file.
    pub(super) fn of(mode: Option<&str>, ca_file: bool) -> Result<Self, String> {
        match (mode, ca_file) {
            (None, false) | (Some("prefer"), false) => Ok(Self::Offered),
            (Some("disable"), false) => Ok(Self::Plain),
            (Some("require"), false) => Ok(Self::Encrypted),
            (Some("require" | "verify-ca"), true) => Ok(Self::Authority),
            (None, true) | (Some("verify-full"), _) => Ok(Self::Name),
            (Some("verify-ca"), false) => Err("sslmode=verify-ca needs a CA file".to_owned()),
            (Some(mode @ ("disable" | "prefer")), true) => {
                Err(format!("sslmode={mode} would make no use of the CA file"))
            }
            (Some(other), _) => {
                Err(format!("sslmode is disable, prefer, require, verify-ca or verify-full, and not `{other}`"))
            }
        }
    }
}

/// Makes connections that check what `check` asks for.
pub(super) fn connector(check: Check, ca_file: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS can't be set up: {error}"))?;
    let roots = match (check, ca_file) {
        (Check::Plain | Check::Offered | Check::Encrypted, _) => RootCertStore::empty(),
        (Check::Authority | Check::Name, None) => system_roots()?,
        (Check::Authority, Some(file)) => with_file(RootCertStore::empty(), file)?,
        // A system without roots is fine as long as there is the file.
        (Check::Name, Some(file)) => with_file(system_roots().unwrap_or_else(|_| RootCertStore::empty()), file)?,
    };
    let inner = match check {
        Check::Plain | Check::Offered | Check::Encrypted => None,
        Check::Authority | Check::Name => Some(
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|error| format!("TLS can't be set up: {error}"))?,
        ),
    };
    let verifier = Arc::new(Verifier { check, inner, provider });
    Ok(MakeRustlsConnect::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    match added {
        0 => Err("the system has no root certificates; name a CA file".to_owned()),
        _ => Ok(roots),
    }
}

fn with_file(mut roots: RootCertStore, file: &Path) -> Result<RootCertStore, String> {
    let wrong = |cause: &dyn std::fmt::Display| format!("CA file {}: {cause}", file.display());
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if roots.len() == before { Err(wrong(&"it has no certificate")) } else { Ok(roots) }
}

/// Checks what the mode asks for. That the server holds the key of its certificate is checked always.
#[derive(Debug)]
struct Verifier {
    check: Check,
    /// `None` when every certificate will do.
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        // The name is what is looked at last: who fails there has passed the rest.
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.check == Check::Authority => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_that_contradicts_the_ca_file_is_refused() {
        assert_eq!(Check::of(None, false), Ok(Check::Offered));
        assert_eq!(Check::of(None, true), Ok(Check::Name));
        assert_eq!(Check::of(Some("require"), true), Ok(Check::Authority));
        assert_eq!(Check::of(Some("verify-full"), false), Ok(Check::Name));
        for (mode, ca_file) in [("disable", true), ("prefer", true), ("verify-ca", false), ("none", false)] {
            assert!(Check::of(Some(mode), ca_file).is_err_and(|error| error.contains("sslmode")));
        }
    }
}
