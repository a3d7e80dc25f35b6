//! The public half of a key in a token, from the attributes of its objects.

use cryptoki::{
    object::{Attribute, AttributeType, KeyType, ObjectHandle},
    session::Session,
};
use pkcs8::{
    ObjectIdentifier,
    der::{
        AnyRef, Decode, Encode,
        asn1::{BitStringRef, OctetStringRef, UintRef},
    },
    spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef},
};
use serde_json::Value;

use crate::{
    cli::person::public::{EC, RSA, object, of_spki},
    store::keys::private::Scheme,
};

const WANTED: [AttributeType; 5] = [
    AttributeType::KeyType,
    AttributeType::Modulus,
    AttributeType::PublicExponent,
    AttributeType::EcParams,
    AttributeType::EcPoint,
];

/// The public half from a public key object; from a private one where it tells enough, as RSA keys do.
///
/// # Errors
/// Says what is missing.
pub(super) fn of_key(session: &Session, handle: ObjectHandle) -> Result<Value, String> {
    let attributes = session.get_attributes(handle, &WANTED).map_err(|error| super::module::why(&error))?;
    let (mut kind, mut modulus, mut exponent, mut curve, mut point) = (None, None, None, None, None);
    for attribute in attributes {
        match attribute {
            Attribute::KeyType(value) => kind = Some(value),
            Attribute::Modulus(value) => modulus = Some(value),
            Attribute::PublicExponent(value) => exponent = Some(value),
            Attribute::EcParams(value) => curve = Some(value),
            Attribute::EcPoint(value) => point = Some(value),
            _ => {}
        }
    }
    let missing = || "the token does not tell its public half".to_owned();
    match kind {
        Some(KeyType::RSA) => of_rsa(&modulus.ok_or_else(missing)?, &exponent.ok_or_else(missing)?),
        Some(KeyType::EC) => of_ec(&curve.ok_or_else(missing)?, &point.ok_or_else(missing)?),
        Some(KeyType::EC_EDWARDS) => of_edwards(&point.ok_or_else(missing)?),
        _ => Err("the key is none of ed25519, ecdsa on p-256 or p-384, and rsa".to_owned()),
    }
}

fn of_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Value, String> {
    let damaged = |_| "the token has a damaged rsa key".to_owned();
    let numbers = [UintRef::new(modulus).map_err(damaged)?, UintRef::new(exponent).map_err(damaged)?];
    let key = numbers.to_der().map_err(damaged)?;
    let algorithm = AlgorithmIdentifierRef { oid: RSA, parameters: Some(AnyRef::NULL) };
    of_parts(algorithm, &key)
}

fn of_ec(curve: &[u8], point: &[u8]) -> Result<Value, String> {
    let unnamed = |_| "the token has a key on a curve without a name".to_owned();
    let curve: ObjectIdentifier = ObjectIdentifier::from_der(curve).map_err(unnamed)?;
    of_parts(AlgorithmIdentifierRef { oid: EC, parameters: Some(AnyRef::from(&curve)) }, unwrapped(point))
}

fn of_edwards(point: &[u8]) -> Result<Value, String> {
    let point = unwrapped(point);
    match point.len() {
        32 => object(Scheme::Ed25519, &hex::encode(point)),
        _ => Err("the key is on another curve than ed25519".to_owned()),
    }
}

/// The standard wants an octet string around it; not all tokens know.
fn unwrapped(point: &[u8]) -> &[u8] {
    <&OctetStringRef>::from_der(point).map_or(point, |inner| inner.as_bytes())
}

fn of_parts(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> Result<Value, String> {
    let damaged = |_| "the token has a damaged key".to_owned();
    let subject_public_key = BitStringRef::from_bytes(key).map_err(damaged)?;
    let info = SubjectPublicKeyInfoRef { algorithm, subject_public_key };
    of_spki(&info.to_der().map_err(damaged)?)
}
