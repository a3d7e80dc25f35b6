//! Keys in PKCS#11 tokens: YubiKeys, smart cards, hardware security modules. Private halves never leave them.

use cryptoki::{
    context::Pkcs11,
    error::{Error, RvError},
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
};
use secrecy::SecretString;
use serde_json::Value;

use super::public::{Public, of_certificate};
use crate::{cli::failure::Failure, store::keys::private::Scheme};
use signing::mechanism;
use uri::Uri;

mod half;
mod module;
mod signing;
mod uri;

pub use module::choose as choose_module;

/// A private key in a token that a person has unlocked.
pub(super) struct TokenKey {
    session: Session,
    handle: ObjectHandle,
    login: Login,
    slot: Slot,
    module: Pkcs11,
}

/// What a token wants before it signs.
enum Login {
    /// Nothing more.
    Done,
    /// The PIN again, for each signature.
    Always(SecretString),
    /// Something that the token itself asks for, for each signature.
    AlwaysByToken,
}

/// A token that a URI may mean.
struct Token {
    module: Pkcs11,
    slot: Slot,
    info: TokenInfo,
}

/// Checks the form of a URI.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn check(uri: &str) -> Result<(), String> {
    Uri::parse(uri).map(drop)
}

/// The public half of the key at `uri`, with its label in the token.
///
/// # Errors
/// When there is no such key, or more than one.
pub(super) fn public(uri: &str) -> Result<Public, Failure> {
    let uri = Uri::parse(uri).map_err(Failure::new)?;
    let token = find(&uri)?;
    let session = token.session()?;
    token.public_half(&session, &uri)?.ok_or_else(|| {
        Failure::new(format_args!("the token {} has no such public key or certificate", token.name()))
            .remedy("list what it has with pkcs11-tool --list-objects")
    })
}

/// The key at `uri` with its public half. The PIN is asked for when the token wants one.
///
/// # Errors
/// When there is no such key, or the PIN is wrong.
pub(super) fn open(
    uri: &str,
    pin: &mut dyn FnMut(&str) -> Result<SecretString, Failure>,
) -> Result<(Value, TokenKey), Failure> {
    let uri = Uri::parse(uri).map_err(Failure::new)?;
    let token = find(&uri)?;
    let session = token.session()?;
    let pin = token.log_in(&session, pin)?;
    let handle = token.one(&session, ObjectClass::PRIVATE_KEY, &uri)?.ok_or_else(|| {
        Failure::new(format_args!("the token {} has no such private key", token.name()))
            .remedy("list what it has with pkcs11-tool --login --list-objects")
    })?;
    let public = token.public_of(&session, handle)?;
    let always = token.truth(&session, handle, AttributeType::AlwaysAuthenticate)?;
    let login = match (always, pin) {
        (false, _) => Login::Done,
        (true, Some(pin)) => Login::Always(pin),
        (true, None) => Login::AlwaysByToken,
    };
    let Token { module, slot, .. } = token;
    Ok((public, TokenKey { session, handle, login, slot, module }))
}

/// The one token that a URI means, among those of all modules.
fn find(uri: &Uri) -> Result<Token, Failure> {
    let mut others = Vec::new();
    let candidates = module::candidates(uri.module.as_deref())?;
    let is_only = candidates.len() == 1;
    for path in &candidates {
        let module = match module::load(path) {
            Err(failure) if is_only => return Err(failure),
            Err(_) => continue,
            Ok(module) => module,
        };
        let mut found = Vec::new();
        for slot in module.get_slots_with_initialized_token().map_err(failed)? {
            let info = module.get_token_info(slot).map_err(failed)?;
            let token = Token { module: module.clone(), slot, info };
            if token.is_meant(uri) { found.push(token) } else { others.push(token.name().to_owned()) }
        }
        match (found.pop(), found.first()) {
            (Some(token), None) => return Ok(token),
            (Some(token), Some(other)) => {
                return Err(Failure::new(format_args!("more than one token: {}, {}", other.name(), token.name()))
                    .remedy("name one in the URI: pkcs11:token=…;serial=…"));
            }
            (None, _) => {}
        }
    }
    let paths: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
    let there = if others.is_empty() { "none is there".to_owned() } else { format!("there is {}", others.join(", ")) };
    Err(Failure::new(format_args!("no such token: {there}; asked {}", paths.join(", ")))
        .remedy("plug it in, or give its module with --pkcs11-module FILE"))
}

impl Token {
    fn name(&self) -> &str {
        self.info.label()
    }

    fn is_meant(&self, uri: &Uri) -> bool {
        let is = |wanted: &Option<String>, there: &str| wanted.as_deref().is_none_or(|wanted| wanted == there);
        is(&uri.token, self.info.label())
            && is(&uri.manufacturer, self.info.manufacturer_id())
            && is(&uri.serial, self.info.serial_number())
            && is(&uri.model, self.info.model())
            && uri.slot.is_none_or(|id| id == self.slot.id())
    }

    fn session(&self) -> Result<Session, Failure> {
        self.module.open_ro_session(self.slot).map_err(failed)
    }

    /// Logs in if the token wants it. The PIN is given back, if one was asked for.
    fn log_in(
        &self,
        session: &Session,
        pin: &mut dyn FnMut(&str) -> Result<SecretString, Failure>,
    ) -> Result<Option<SecretString>, Failure> {
        if !self.info.login_required() {
            return Ok(None);
        }
        if self.info.user_pin_locked() {
            return Err(self.locked());
        }
        let pin = match self.info.protected_authentication_path() {
            true => None,
            false => Some(pin(&self.pin_question())?),
        };
        match session.login(UserType::User, pin.as_ref()) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(pin),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
                Err(Failure::new(format_args!("the PIN of {} is wrong", self.name()))
                    .remedy("after a few wrong ones the token locks itself"))
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(self.locked()),
            Err(error) => Err(failed(error)),
        }
    }

    fn pin_question(&self) -> String {
        let tries = match () {
            () if self.info.user_pin_final_try() => " (the last try before it locks itself)",
            () if self.info.user_pin_count_low() => " (the last one was wrong)",
            () => "",
        };
        format!("PIN of the token {}{tries}:", self.name())
    }

    fn locked(&self) -> Failure {
        Failure::new(format_args!("the PIN of {} is locked", self.name()))
            .remedy("unlock it with its PUK, by the tool of its maker")
    }

    /// The objects of a class that a URI means.
    fn objects(&self, session: &Session, class: ObjectClass, uri: &Uri) -> Result<Vec<ObjectHandle>, Failure> {
        let mut template = vec![Attribute::Class(class), Attribute::Token(true)];
        template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec())));
        template.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
        session.find_objects(&template).map_err(failed)
    }

    fn one(&self, session: &Session, class: ObjectClass, uri: &Uri) -> Result<Option<ObjectHandle>, Failure> {
        let found = self.objects(session, class, uri)?;
        if found.len() < 2 {
            return Ok(found.first().copied());
        }
        let names: Vec<_> = found.iter().map(|&handle| self.key_part(session, handle)).collect::<Result<_, _>>()?;
        Err(Failure::new(format_args!("the token {} has {} such keys: {}", self.name(), found.len(), names.join(", ")))
            .remedy("name one of them in the URI, after pkcs11:token=…;"))
    }

    /// That of a public key, or else of a certificate.
    fn public_half(&self, session: &Session, uri: &Uri) -> Result<Option<Public>, Failure> {
        match self.public_key(session, uri)? {
            None => self.certificate(session, uri),
            found => Ok(found),
        }
    }

    fn public_key(&self, session: &Session, uri: &Uri) -> Result<Option<Public>, Failure> {
        let Some(handle) = self.one(session, ObjectClass::PUBLIC_KEY, uri)? else { return Ok(None) };
        let object = half::of_key(session, handle).map_err(Failure::new)?;
        let label = self.label(session, handle)?;
        Ok(Some(Public { object, label }))
    }

    fn certificate(&self, session: &Session, uri: &Uri) -> Result<Option<Public>, Failure> {
        let Some(handle) = self.one(session, ObjectClass::CERTIFICATE, uri)? else { return Ok(None) };
        let der = self.bytes(session, handle, AttributeType::Value)?.unwrap_or_default();
        let public = of_certificate(&der).map_err(Failure::new)?;
        let label = public.label.clone().map_or_else(|| self.label(session, handle), |name| Ok(Some(name)))?;
        Ok(Some(Public { label, ..public }))
    }

    /// The public half of a private key: that of the same id, or what the private key itself tells.
    fn public_of(&self, session: &Session, handle: ObjectHandle) -> Result<Value, Failure> {
        let id = self.bytes(session, handle, AttributeType::Id)?.filter(|id| !id.is_empty());
        if let Some(id) = id {
            let same = Uri { id: Some(id), ..Uri::default() };
            let public =
                self.public_key(session, &same)?.map_or_else(|| self.certificate(session, &same), |it| Ok(Some(it)))?;
            if let Some(public) = public {
                return Ok(public.object);
            }
        }
        half::of_key(session, handle)
            .map_err(|why| Failure::new(why).remedy("put its certificate into the token, under the same id"))
    }

    fn label(&self, session: &Session, handle: ObjectHandle) -> Result<Option<String>, Failure> {
        let label = self.bytes(session, handle, AttributeType::Label)?.unwrap_or_default();
        Ok(String::from_utf8(label).ok().filter(|label| !label.is_empty()))
    }

    fn key_part(&self, session: &Session, handle: ObjectHandle) -> Result<String, Failure> {
        let label = self.label(session, handle)?.unwrap_or_default();
        let id = self.bytes(session, handle, AttributeType::Id)?.unwrap_or_default();
        Ok(uri::key_part(&label, &id))
    }

    fn bytes(
        &self,
        session: &Session,
        handle: ObjectHandle,
        wanted: AttributeType,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let attributes = session.get_attributes(handle, &[wanted]).map_err(failed)?;
        Ok(attributes.into_iter().find_map(|attribute| match attribute {
            Attribute::Id(bytes) | Attribute::Label(bytes) | Attribute::Value(bytes) => Some(bytes),
            _ => None,
        }))
    }

    fn truth(&self, session: &Session, handle: ObjectHandle, wanted: AttributeType) -> Result<bool, Failure> {
        let attributes = session.get_attributes(handle, &[wanted]).map_err(failed)?;
        Ok(attributes.iter().any(|attribute| matches!(attribute, Attribute::AlwaysAuthenticate(true))))
    }
}

impl TokenKey {
    /// Signs a message.
    ///
    /// # Errors
    /// When the token can't or won't.
    pub(super) fn sign(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let offered = self.module.get_mechanism_list(self.slot).map_err(failed)?;
        let by_parts = !matches!(self.login, Login::Done);
        let chosen = mechanism(scheme, &offered, by_parts)?;
        let content = chosen.content(message);
        let signature = match &self.login {
            Login::Done => self.session.sign(&chosen.mechanism, self.handle, &content),
            Login::Always(pin) => self.sign_by_parts(&chosen, Some(pin), &content),
            Login::AlwaysByToken => self.sign_by_parts(&chosen, None, &content),
        };
        chosen.encode(signature.map_err(failed)?)
    }

    /// Between the beginning and the content comes the PIN.
    fn sign_by_parts(
        &self,
        chosen: &signing::Chosen<'_>,
        pin: Option<&SecretString>,
        content: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.session.sign_init(&chosen.mechanism, self.handle)?;
        self.session.login(UserType::ContextSpecific, pin)?;
        self.session.sign_update(content)?;
        self.session.sign_final()
    }
}

fn failed(error: Error) -> Failure {
    Failure::new(format_args!("the token failed: {}", module::why(&error)))
        .remedy("see whether it is plugged in, and whether it waits to be touched")
}
