//! Opening a private half while its password is asked for.

use std::path::Path;

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{Place, Public, Signer, private_in_file};
use crate::cli::{
    failure::Failure,
    interview::{Interview, Stop},
};

/// What is asked on the way. Who gives a wrong password is asked for it again, and for another place if this one can't be opened at all.
pub(in crate::cli) struct Opening<'a> {
    /// The question that the place is the last answer to, if it was asked for.
    pub(in crate::cli) place: Option<&'a str>,
    /// The question for the password, asked only if one is needed.
    pub(in crate::cli) password: &'a str,
    /// The password, if an option said it.
    pub(in crate::cli) given: Option<&'a SecretString>,
}

/// How the password came, while a place was opened.
enum Password {
    Unneeded,
    Asked,
    Stopped(Stop),
}

impl Opening<'_> {
    /// Opens the private half at a place.
    ///
    /// # Errors
    /// [`Stop`].
    pub(in crate::cli) async fn private(&self, place: &Place, interview: &mut Interview) -> Result<Signer, Stop> {
        let mut password = Password::Unneeded;
        let opened = place.open(&mut |message| self.ask(message, interview, &mut password)).await;
        self.settle(opened, interview, password)
    }

    /// Opens a private key file, and takes its DER.
    ///
    /// # Errors
    /// [`Stop`].
    pub(in crate::cli) fn private_file(
        &self,
        path: &Path,
        interview: &mut Interview,
    ) -> Result<Zeroizing<Vec<u8>>, Stop> {
        let mut password = Password::Unneeded;
        let opened = private_in_file(path, &mut |message| self.ask(message, interview, &mut password));
        self.settle(opened, interview, password)
    }

    /// The public half of a key; the private half is opened if there is no other way to it.
    ///
    /// # Errors
    /// [`Stop`].
    pub(in crate::cli) async fn public(&self, place: &Place, interview: &mut Interview) -> Result<Public, Stop> {
        match place.public().await {
            Err(_) if place.is_locked() => {
                let object = self.private(place, interview).await?.public;
                Ok(Public { object, label: None })
            }
            read => self.settle(read, interview, Password::Unneeded),
        }
    }

    fn ask(&self, message: &str, interview: &mut Interview, password: &mut Password) -> Result<SecretString, Failure> {
        if let Some(given) = self.given {
            return Ok(given.clone());
        }
        *password = Password::Asked;
        interview.secret(self.password, message).map_err(|stop| {
            *password = Password::Stopped(stop);
            Failure::new("no password is given")
        })
    }

    fn settle<T>(&self, opened: Result<T, Failure>, interview: &Interview, password: Password) -> Result<T, Stop> {
        opened.map_err(|failure| match (password, self.place) {
            (Password::Stopped(stop), _) => stop,
            (Password::Asked, _) => interview.refuse(self.password, failure),
            (Password::Unneeded, Some(id)) => interview.refuse(id, failure),
            (Password::Unneeded, None) => failure.into(),
        })
    }
}
