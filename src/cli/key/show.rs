//! `rstuf key show`: the public half of a key and its ids.

use clap::Args;

use super::Shown;
use crate::cli::{
    command::Context,
    failure::Failure,
    interview::Interview,
    person::{Place, opening::Opening},
};

/// The options.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: rstuf key show ada.pem.pub --name Ada

The key id is over all that a repository says of the key, its name too: give
the name that it has there. The Python tools leave the name out, so they have
another id for the same key.
Next: compare the id with what the owner of the key reads out to you, then
use the key in rstuf admin ceremony")]
pub struct ShowArgs {
    /// A private or public key or a certificate in a file, pkcs11:… or awskms:…
    #[arg(value_name = "FILE|URI", value_parser = Place::parse)]
    key: Place,
    /// What the repository calls it
    #[arg(long)]
    name: Option<String>,
}

impl ShowArgs {
    pub(in crate::cli) async fn run(self, context: Context) -> Result<(), Failure> {
        let Context { mut interview, output, .. } = context;
        let opening = Opening { place: None, password: "password", given: None };
        let public =
            interview.hold(async |interview: &mut Interview| opening.public(&self.key, interview).await).await?;
        interview.finish()?;
        let name = self.name.or_else(|| self.key.suggestion(&public)).unwrap_or_default();
        let shown = Shown::new(public.object, name)?;
        shown.say(output);
        output.result(&shown.to_value());
        Ok(())
    }
}
