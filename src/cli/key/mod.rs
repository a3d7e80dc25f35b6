//! `rstuf key`: key pairs of people and of the service.

use std::path::Path;

use clap::Subcommand;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{admin::keys::NamedKey, command::Context, failure::Failure, interview::secret, output::Output};
use crate::tuf::key::legacy_key_id;

pub mod convert;
pub mod generate;
pub mod show;
mod written;

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key pair: a private key file for one person, and a public one to hand out
    Generate(generate::GenerateArgs),
    /// Show the public half of a key, and the ids by which metadata names it
    Show(show::ShowArgs),
    /// Write a key in the form that this program and others read
    Convert(convert::ConvertArgs),
}

impl Command {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Generate(args) => args.run(context).await,
            Self::Show(args) => args.run(context).await,
            Self::Convert(args) => args.run(context).await,
        }
    }
}

/// A password that an option says the place of.
fn read_password(file: Option<&Path>, descriptor: Option<u32>) -> Result<Option<SecretString>, Failure> {
    let place = match (file, descriptor) {
        (Some(path), _) => json!({"file": path}),
        (None, Some(number)) => json!({"fd": number}),
        (None, None) => return Ok(None),
    };
    let password = secret::read(&place).map_err(Failure::new)?;
    Ok(Some(password))
}

/// A key as it is shown: what it is and what metadata calls it.
struct Shown {
    named: NamedKey,
    python_id: String,
}

impl Shown {
    fn new(object: Value, name: String) -> Result<Self, Failure> {
        let python_id = legacy_key_id(&object).map_err(Failure::new)?.0;
        Ok(Self { named: NamedKey::new(object, name, None)?, python_id })
    }

    fn say(&self, output: Output) {
        let text = |member: &str| self.named.object[member].as_str().unwrap_or_default();
        output.say(format_args!("type       {}, scheme {}", text("keytype"), text("scheme")));
        output.say(format_args!("name       {}", self.named.name));
        output.say(format_args!("key id     {}", self.named.id.as_str()));
        output.say(format_args!("python id  {}", self.python_id));
    }

    fn to_value(&self) -> Value {
        json!({
            "key": self.named.object,
            "key_id": self.named.id,
            "name": self.named.name,
            "python_key_id": self.python_id,
        })
    }
}
