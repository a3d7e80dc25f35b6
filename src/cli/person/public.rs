//! Public halves: from the forms in which others write them to key objects of TUF (TUF §4.2.3).

use pkcs8::{
    ObjectIdentifier,
    der::{Encode, asn1::BitStringRef},
    spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef},
};
use serde_json::{Value, json};
use x509_parser::{parse_x509_certificate, prelude::X509Certificate};

use crate::{
    store::keys::private::{Scheme, public_pem},
    tuf::key::Key,
};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// A public half, and what it is called where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Public {
    /// The key object: `keytype`, `scheme` and `keyval`.
    pub object: Value,
    /// The name that its place has for it.
    pub label: Option<String>,
}

/// Reads the key of a `PUBLIC KEY` block.
///
/// # Errors
/// Says what it should be.
pub(super) fn of_spki(der: &[u8]) -> Result<Value, String> {
    let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| "the public key is damaged".to_owned())?;
    let scheme = scheme(&info.algorithm)?;
    let public = match scheme {
        Scheme::Ed25519 => hex::encode(info.subject_public_key.raw_bytes()),
        _ => public_pem(der),
    };
    object(scheme, &public)
}

/// Reads the key of a certificate, with the common name of whom it was made for. Nobody's signature under it is verified: people
/// compare key ids.
///
/// # Errors
/// As [`of_spki`].
pub(super) fn of_certificate(der: &[u8]) -> Result<Public, String> {
    let (_, certificate) = parse_x509_certificate(der).map_err(|_| "the certificate is damaged".to_owned())?;
    Ok(Public { object: of_spki(certificate.public_key().raw)?, label: common_name(&certificate) })
}

/// Reads a key object, as metadata, `rstuf key show --json` and older tools write it. Only what makes the key is kept.
///
/// # Errors
/// As [`of_spki`].
pub(super) fn of_object(value: &Value) -> Result<Value, String> {
    let scheme = value["scheme"].as_str().unwrap_or_default();
    let scheme = Scheme::parse(scheme).map_err(|error| error.to_string())?;
    let public = value["keyval"]["public"].as_str().ok_or("it has no keyval.public")?;
    // Older tools leave the line end out, newer ones call another key by it.
    let public = if scheme == Scheme::Ed25519 { public.to_owned() } else { format!("{}\n", public.trim_end()) };
    object(scheme, &public)
}

/// Writes a key object, of a key that clients verify with.
pub(super) fn object(scheme: Scheme, public: &str) -> Result<Value, String> {
    let keytype = match scheme {
        Scheme::Ed25519 => "ed25519",
        Scheme::EcdsaP256 | Scheme::EcdsaP384 => "ecdsa",
        Scheme::RsaPssSha256 | Scheme::RsaPssSha384 | Scheme::RsaPssSha512 => "rsa",
    };
    let object = json!({"keytype": keytype, "scheme": scheme.name(), "keyval": {"public": public}});
    let key = Key::view(&object).map_err(|error| error.to_string())?;
    key.usable().map_err(|error| error.to_string())?;
    Ok(object)
}

/// Writes a key object as a `PUBLIC KEY` block.
///
/// # Errors
/// When it is of no kind that this program writes.
pub(in crate::cli) fn to_pem(object: &Value) -> Result<String, String> {
    let public = object["keyval"]["public"].as_str().unwrap_or_default();
    if object["keytype"] != "ed25519" {
        return Ok(public.to_owned());
    }
    let raw = hex::decode(public).map_err(|_| "the public key is damaged")?;
    let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
    let subject_public_key = BitStringRef::from_bytes(&raw).map_err(|_| "the public key is damaged")?;
    let info = SubjectPublicKeyInfoRef { algorithm, subject_public_key };
    Ok(public_pem(&info.to_der().map_err(|_| "the public key can't be written")?))
}

fn scheme(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<Scheme, String> {
    match (algorithm.oid, algorithm.parameters_oid().ok()) {
        (ED25519, _) => Ok(Scheme::Ed25519),
        (EC, Some(P256)) => Ok(Scheme::EcdsaP256),
        (EC, Some(P384)) => Ok(Scheme::EcdsaP384),
        (RSA, _) => Ok(Scheme::RsaPssSha256),
        _ => Err("the key is none of ed25519, ecdsa on p-256 or p-384, and rsa".to_owned()),
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keys::generate::{KeyKind, generate};

    #[test]
    fn a_public_key_is_read_as_it_was_made() {
        for kind in [KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Rsa3072] {
            let made = generate(kind).expect("made").public;
            let pem = pem::parse(made["keyval"]["public"].as_str().expect("text")).expect("pem");
            assert_eq!(of_spki(pem.contents()), Ok(made.clone()));
            assert_eq!(of_object(&made), Ok(made));
        }
        let made = generate(KeyKind::Ed25519).expect("made").public;
        let raw = hex::decode(made["keyval"]["public"].as_str().expect("text")).expect("hex");
        let spki = [&hex::decode("302a300506032b6570032100").expect("hex")[..], &raw].concat();
        assert_eq!(of_spki(&spki), Ok(made.clone()));
        let pem = to_pem(&made).expect("written");
        assert_eq!(pem::parse(pem).expect("pem").contents(), spki);
    }

    #[test]
    fn other_keys_are_refused_with_the_reason() {
        // X25519, which signs nothing.
        let spki = [&hex::decode("302a300506032b656e032100").expect("hex")[..], &[1; 32]].concat();
        assert!(of_spki(&spki).expect_err("refused").contains("none of ed25519"));
        assert!(of_spki(b"").expect_err("refused").contains("damaged"));
        assert!(of_certificate(b"0").expect_err("refused").contains("damaged"));
        let object = json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}});
        assert!(of_object(&object).is_err());
    }
}
