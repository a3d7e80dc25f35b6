//! `rstuf key convert`: a key in another form.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;
use serde_json::json;

use super::{
    read_password,
    written::{self, Protection},
};
use crate::cli::{
    command::Context,
    failure::Failure,
    interview::{Interview, Stop},
    person::{Place, file, opening::Opening, public::to_pem},
};

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples: rstuf key convert old.pem --out ada.pem      private key as encrypted PKCS#8
          rstuf key convert ada.pem --public           its public key, on standard output

It reads PEM and DER (PKCS#8, PKCS#1, SEC1, public keys, certificates) and
the key files of older Python tools. The key stays the same, and so does its
id.
Next: rstuf key show FILE tells the ids of a key")]
pub struct ConvertArgs {
    /// The key; with --public also pkcs11:… or awskms:…
    #[arg(value_name = "FILE|URI", value_parser = Place::parse)]
    key: Place,
    /// Where it is written: a new file
    #[arg(long, value_name = "FILE", required_unless_present = "public")]
    out: Option<PathBuf>,
    /// Write the public half alone
    #[arg(long, conflicts_with_all = ["no_password", "new_password_file", "new_password_fd"])]
    public: bool,
    /// Don't encrypt what is written: who can read the file can sign
    #[arg(long, conflicts_with_all = ["new_password_file", "new_password_fd"])]
    no_password: bool,
    /// Read the password of the key, if it has one, from the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "password_fd")]
    password_file: Option<PathBuf>,
    /// Read it from this descriptor, which is open already
    #[arg(long, value_name = "NUMBER")]
    password_fd: Option<u32>,
    /// Read the password that what is written gets from the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "new_password_fd")]
    new_password_file: Option<PathBuf>,
    /// Read it from this descriptor, which is open already
    #[arg(long, value_name = "NUMBER")]
    new_password_fd: Option<u32>,
}

impl ConvertArgs {
    pub(in crate::cli) async fn run(self, context: Context) -> Result<(), Failure> {
        let password = read_password(self.password_file.as_deref(), self.password_fd)?;
        match self.public {
            true => self.public_half(context, password).await,
            false => self.private_half(context, password).await,
        }
    }

    async fn public_half(self, context: Context, password: Option<SecretString>) -> Result<(), Failure> {
        let Context { mut interview, output, .. } = context;
        let opening = Opening { place: None, password: "password", given: password.as_ref() };
        let public =
            interview.hold(async |interview: &mut Interview| opening.public(&self.key, interview).await).await?;
        interview.finish()?;
        let pem = to_pem(&public.object).map_err(Failure::new)?;
        match &self.out {
            Some(path) => {
                written::public(path, &pem)?;
                output.say(format_args!("public     {}", path.display()));
            }
            None => output.say(pem.trim_end()),
        }
        output.result(&json!({"public": pem, "file": self.out}));
        Ok(())
    }

    async fn private_half(self, context: Context, password: Option<SecretString>) -> Result<(), Failure> {
        let Context { mut interview, output, .. } = context;
        let (Place::File(from), Some(path)) = (&self.key, &self.out) else {
            return Err(Failure::new(format_args!("the private half of {} does not leave its place", self.key))
                .remedy("give --public for its public half"));
        };
        let new = read_password(self.new_password_file.as_deref(), self.new_password_fd)?;
        let opening = Opening { place: None, password: "password", given: password.as_ref() };
        let (pkcs8, new) = interview
            .hold(async |interview: &mut Interview| {
                let der = opening.private_file(from, interview)?;
                let pkcs8 = file::pkcs8(&der)?;
                let new = match &new {
                    Some(password) => Some(password.clone()),
                    None if self.no_password => None,
                    None => Some(interview.new_secret("new_password", "Password that what is written gets:")?),
                };
                Ok::<_, Stop>((pkcs8, new))
            })
            .await?;
        interview.finish()?;
        let protection = new.as_ref().map_or(Protection::None, Protection::Password);
        written::private(path, &pkcs8, &protection)?;
        let state = if new.is_some() { "encrypted" } else { "not encrypted" };
        output.say(format_args!("private    {} ({state}; nobody else may have it)", path.display()));
        output.result(&json!({"private": path, "encrypted": new.is_some()}));
        Ok(())
    }
}
