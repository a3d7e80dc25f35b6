//! How a token is told to sign in a scheme, and what its signatures look like in metadata.

use std::borrow::Cow;

use aws_lc_rs::digest::{self, digest};
use cryptoki::mechanism::{
    Mechanism, MechanismType,
    eddsa::{EddsaParams, EddsaSignatureScheme},
    rsa::{PkcsMgfType, PkcsPssParams},
};
use pkcs8::der::{Encode, asn1::UintRef};

use crate::{cli::failure::Failure, store::keys::private::Scheme};

/// A way to sign.
pub(super) struct Chosen<'a> {
    pub(super) mechanism: Mechanism<'a>,
    /// What is digested here, where the token does not do it.
    digested: Option<&'static digest::Algorithm>,
    form: Form,
}

/// How signatures come out of it.
enum Form {
    /// As metadata has them.
    Final,
    /// Two numbers of equal length, which metadata has as DER.
    Pair,
}

/// Chooses among the mechanisms that a token offers; `by_parts` needs one that digests in the token.
///
/// # Errors
/// When it offers none for the scheme.
pub(super) fn mechanism(scheme: Scheme, offered: &[MechanismType], by_parts: bool) -> Result<Chosen<'static>, Failure> {
    let ways = ways(scheme).into_iter().filter(|way| way.digested.is_none() || !by_parts);
    ways.into_iter().find(|way| offered.contains(&way.mechanism.mechanism_type())).ok_or_else(|| {
        Failure::new(format_args!("the token can't sign in the scheme {}", scheme.name()))
            .remedy("use a key of another kind in this token")
    })
}

fn ways(scheme: Scheme) -> Vec<Chosen<'static>> {
    let pair = |mechanism, digested| Chosen { mechanism, digested, form: Form::Pair };
    let pss = |token: fn(PkcsPssParams) -> Mechanism<'static>, hash_alg, mgf, algorithm: &'static digest::Algorithm| {
        let parameters = PkcsPssParams { hash_alg, mgf, s_len: (algorithm.output_len() as u64).into() };
        vec![
            Chosen { mechanism: token(parameters), digested: None, form: Form::Final },
            Chosen { mechanism: Mechanism::RsaPkcsPss(parameters), digested: Some(algorithm), form: Form::Final },
        ]
    };
    match scheme {
        Scheme::Ed25519 => {
            let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
            vec![Chosen { mechanism, digested: None, form: Form::Final }]
        }
        Scheme::EcdsaP256 => {
            vec![pair(Mechanism::Ecdsa, Some(&digest::SHA256)), pair(Mechanism::EcdsaSha256, None)]
        }
        Scheme::EcdsaP384 => {
            vec![pair(Mechanism::Ecdsa, Some(&digest::SHA384)), pair(Mechanism::EcdsaSha384, None)]
        }
        Scheme::RsaPssSha256 => {
            pss(Mechanism::Sha256RsaPkcsPss, MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, &digest::SHA256)
        }
        Scheme::RsaPssSha384 => {
            pss(Mechanism::Sha384RsaPkcsPss, MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, &digest::SHA384)
        }
        Scheme::RsaPssSha512 => {
            pss(Mechanism::Sha512RsaPkcsPss, MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, &digest::SHA512)
        }
    }
}

impl Chosen<'_> {
    /// What the token is given of a message.
    pub(super) fn content<'a>(&self, message: &'a [u8]) -> Cow<'a, [u8]> {
        match self.digested {
            Some(algorithm) => digest(algorithm, message).as_ref().to_vec().into(),
            None => message.into(),
        }
    }

    /// A signature as metadata has it.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn encode(&self, signature: Vec<u8>) -> Result<Vec<u8>, Failure> {
        match self.form {
            Form::Final => Ok(signature),
            Form::Pair => to_der(&signature).ok_or_else(|| Failure::new("the token gave what is no signature")),
        }
    }
}

fn to_der(pair: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = pair.split_at_checked(pair.len() / 2).filter(|(r, s)| r.len() == s.len() && !r.is_empty())?;
    [UintRef::new(r).ok()?, UintRef::new(s).ok()?].to_der().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_numbers_becomes_der() {
        assert_eq!(to_der(&[0, 1, 0x80, 0]), Some(vec![0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 0]));
        assert_eq!(to_der(&[1, 2, 3]), None);
        assert_eq!(to_der(&[]), None);
    }

    #[test]
    fn a_token_that_digests_nothing_signs_by_parts_with_no_mechanism_for_digests() {
        let offered = [MechanismType::ECDSA, MechanismType::RSA_PKCS_PSS, MechanismType::EDDSA];
        for scheme in [Scheme::EcdsaP256, Scheme::EcdsaP384, Scheme::RsaPssSha256] {
            assert!(mechanism(scheme, &offered, false).is_ok(), "{}", scheme.name());
            assert!(mechanism(scheme, &offered, true).is_err(), "{}", scheme.name());
        }
        assert!(mechanism(Scheme::Ed25519, &offered, true).is_ok());
        assert!(mechanism(Scheme::Ed25519, &[], false).is_err());
    }
}
