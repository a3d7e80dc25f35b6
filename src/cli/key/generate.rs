//! `rstuf key generate`: a new key pair.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{
    Shown, read_password,
    written::{self, Protection},
};
use crate::{
    cli::{
        command::Context,
        failure::Failure,
        interview::{Interview, Stop, Text},
        person::{Place, Public, public::to_pem},
    },
    store::keys::generate::{KeyKind, generate},
};

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: rstuf key generate --out ada.pem

It writes ada.pem, the private key, which nobody else may have, and
ada.pem.pub, the public key. Keep a copy of the private key and of its
password where neither fire nor a thief gets both.
Next: hand ada.pem.pub to who leads the ceremony: rstuf admin ceremony")]
pub struct GenerateArgs {
    /// Where the private key is written; the public key goes beside it, with .pub after the name
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The kind of key; ed25519 is the one to take unless something asks for another
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value_t = Type::Ed25519)]
    kind: Type,
    /// Don't encrypt the private key: who can read the file can sign
    #[arg(long, conflicts_with_all = ["password_file", "password_fd"])]
    no_password: bool,
    /// Read the password from the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "password_fd")]
    password_file: Option<PathBuf>,
    /// Read the password from this descriptor, which is open already
    #[arg(long, value_name = "NUMBER")]
    password_fd: Option<u32>,
}

/// The kinds of keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Type {
    Ed25519,
    #[value(name = "ecdsa-p256")]
    EcdsaP256,
    #[value(name = "ecdsa-p384")]
    EcdsaP384,
    /// 3072 bits
    Rsa,
}

impl From<Type> for KeyKind {
    fn from(kind: Type) -> Self {
        match kind {
            Type::Ed25519 => Self::Ed25519,
            Type::EcdsaP256 => Self::EcdsaP256,
            Type::EcdsaP384 => Self::EcdsaP384,
            Type::Rsa => Self::Rsa3072,
        }
    }
}

impl GenerateArgs {
    pub(in crate::cli) async fn run(self, context: Context) -> Result<(), Failure> {
        let Context { mut interview, output, .. } = context;
        if let Some(path) = &self.out {
            written::is_free(path)?;
        }
        let given = read_password(self.password_file.as_deref(), self.password_fd)?;
        let (path, password) = interview
            .hold(async |interview: &mut Interview| {
                let path = self.path(interview)?;
                let password = match &given {
                    Some(password) => Some(password.clone()),
                    None if self.no_password => None,
                    None => Some(interview.new_secret("password", "Password that the private key gets:")?),
                };
                Ok((path, password))
            })
            .await?;
        interview.finish()?;

        let public_path = written::is_free(&path)?;
        let made = generate(self.kind.into()).map_err(Failure::new)?;
        let pkcs8 = made.pkcs8().map_err(Failure::new)?;
        let protection = password.as_ref().map_or(Protection::None, Protection::Password);
        written::private(&path, &pkcs8, &protection)?;
        written::public(&public_path, &to_pem(&made.public).map_err(Failure::new)?)?;

        let name = Place::File(path.clone()).suggestion(&Public { object: made.public.clone(), label: None });
        let shown = Shown::new(made.public.clone(), name.unwrap_or_default())?;
        let (private, public) = (path.display(), public_path.display());
        let state = if password.is_some() { "encrypted" } else { "not encrypted" };
        output.say(format_args!("private    {private} ({state}; nobody else may have it)"));
        output.say(format_args!("public     {public}"));
        shown.say(output);
        output.say(format_args!("\nNext: hand {public} to who leads the ceremony (rstuf admin ceremony)"));
        let mut result = shown.to_value();
        result["files"] = json!({"private": path, "public": public_path});
        output.result(&result);
        Ok(())
    }

    fn path(&self, interview: &mut Interview) -> Result<PathBuf, Stop> {
        if let Some(path) = &self.out {
            return Ok(path.clone());
        }
        let question = Text {
            id: "out",
            message: "Where is the private key written?",
            help: Some("a new file; the public key goes beside it, with .pub after the name"),
            default: None,
        };
        interview.text(question, |text| match Place::parse(text)? {
            Place::File(path) => written::is_free(&path).map(|_| path).map_err(|failure| failure.cause),
            _ => Err("must be a file".to_owned()),
        })
    }
}
