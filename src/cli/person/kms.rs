//! Keys in AWS KMS: an alias, an id or an ARN. Credentials, region and address are those of every AWS tool.

use aws_config::BehaviorVersion;
use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use aws_sdk_kms::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
    types::{MessageType, SigningAlgorithmSpec},
};
use futures_util::FutureExt;
use serde_json::Value;

use super::public::of_spki;
use crate::{cli::failure::Failure, store::keys::private::Scheme};

/// So many bytes KMS signs at most when it is given the message itself.
const MAX_RAW_BYTES: usize = 4096;

/// A key in KMS. Futures of the SDK are deep, and boxed so that those around them have a size that the compiler can tell.
pub(super) struct KmsKey {
    client: Client,
    id: String,
}

impl KmsKey {
    /// The key by this alias, id or ARN. Nothing is asked yet.
    pub(super) async fn new(id: &str) -> Self {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).boxed_local().await;
        Self { client: Client::new(&config), id: id.to_owned() }
    }

    /// The public half, as a key object.
    ///
    /// # Errors
    /// When KMS does not tell it, or the key is of a kind that clients don't verify.
    pub(super) async fn public(&self) -> Result<Value, Failure> {
        let request = self.client.get_public_key().key_id(&self.id).send().boxed_local();
        let reply = request.await.map_err(|error| self.failed(error))?;
        let der =
            reply.public_key().ok_or_else(|| Failure::new(format_args!("awskms:{} has no public key", self.id)))?;
        of_spki(der.as_ref()).map_err(|why| Failure::new(format_args!("awskms:{}: {why}", self.id)))
    }

    /// Signs a message.
    ///
    /// # Errors
    /// When KMS refuses, or can't be reached.
    pub(super) async fn sign(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let algorithm = match scheme {
            Scheme::Ed25519 => SigningAlgorithmSpec::Ed25519Sha512,
            Scheme::EcdsaP256 => SigningAlgorithmSpec::EcdsaSha256,
            Scheme::EcdsaP384 => SigningAlgorithmSpec::EcdsaSha384,
            Scheme::RsaPssSha256 => SigningAlgorithmSpec::RsassaPssSha256,
            Scheme::RsaPssSha384 => SigningAlgorithmSpec::RsassaPssSha384,
            Scheme::RsaPssSha512 => SigningAlgorithmSpec::RsassaPssSha512,
        };
        let (kind, content) = content(scheme, message)?;
        let request = self.client.sign().key_id(&self.id).message_type(kind).message(Blob::new(content));
        let request = request.signing_algorithm(algorithm).send().boxed_local();
        let reply = request.await.map_err(|error| self.failed(error))?;
        let signature = reply.signature().map(|signature| signature.as_ref().to_vec());
        signature.ok_or_else(|| Failure::new(format_args!("awskms:{} gave no signature", self.id)))
    }

    fn failed<E, R>(&self, error: SdkError<E, R>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let told = error
            .as_service_error()
            .map(|refused| [refused.code(), refused.message()].into_iter().flatten().collect::<Vec<_>>().join(": "));
        let why = told.filter(|told| !told.is_empty()).unwrap_or_else(|| causes(&error));
        Failure::new(format_args!(
            "AWS KMS does not give {}: {}",
            self.id,
            why.replace(['\n', '\r'], " ").trim_end_matches('.')
        ))
        .remedy("see that AWS_REGION and the credentials are those of the key (aws sts get-caller-identity)")
    }
}

/// What KMS is given to sign: the message itself, or its digest if it is too long.
fn content(scheme: Scheme, message: &[u8]) -> Result<(MessageType, Vec<u8>), Failure> {
    if message.len() <= MAX_RAW_BYTES {
        return Ok((MessageType::Raw, message.to_vec()));
    }
    let algorithm = match scheme {
        Scheme::EcdsaP256 | Scheme::RsaPssSha256 => &SHA256,
        Scheme::EcdsaP384 | Scheme::RsaPssSha384 => &SHA384,
        Scheme::RsaPssSha512 => &SHA512,
        Scheme::Ed25519 => {
            let bytes = message.len();
            let cause = format_args!("AWS KMS signs {MAX_RAW_BYTES} bytes at most with an ed25519 key, not {bytes}");
            return Err(Failure::new(cause).remedy("use an ecdsa or rsa key"));
        }
    };
    Ok((MessageType::Digest, digest(algorithm, message).as_ref().to_vec()))
}

/// What went wrong and why, without the dump of the request that the library's own text ends with.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_digested_by_the_algorithm_of_its_scheme() {
        let (short, long) = (vec![1; MAX_RAW_BYTES], vec![1; MAX_RAW_BYTES + 1]);
        for (scheme, bytes) in [(Scheme::EcdsaP256, 32), (Scheme::EcdsaP384, 48), (Scheme::RsaPssSha512, 64)] {
            assert_eq!(content(scheme, &short).expect("content"), (MessageType::Raw, short.clone()));
            let (kind, content) = content(scheme, &long).expect("content");
            assert_eq!((kind, content.len()), (MessageType::Digest, bytes));
        }
        assert!(content(Scheme::Ed25519, &short).is_ok());
        assert!(content(Scheme::Ed25519, &long).expect_err("refused").cause.contains("4096 bytes at most"));
    }
}
