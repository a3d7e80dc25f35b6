//! What waits for signatures, as `GET /metadata/sign` tells it, or a file that keeps such a reply.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{missing, shown::plain, signature::Needed};
use crate::{
    cli::{api::ApiClient, failure::Failure},
    tuf::{
        delegation::{DelegatedRoles, Delegations},
        event::{Authority, Missing, name_of},
        name::{KeyId, RoleName, Version},
        root::Root,
        verify::tally,
        wire::{Header, Metadata, RoleType, format_expires},
    },
};

const PATH: &str = "/api/v1/metadata/sign";

/// What the names of entries begin with that are no roles, but what is trusted of them now.
const TRUSTED: &str = "trusted_";

/// All that waits.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    documents: Vec<(String, Metadata)>,
    trusted: BTreeMap<String, Metadata>,
    announced: Map<String, Value>,
}

/// A document that waits, with what it is compared with and who has to sign it.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its role, under its real name.
    pub role: RoleName,
    /// Exactly as it is signed.
    pub document: Metadata,
    /// Its type, version and expiry.
    pub header: Header,
    /// The version that clients have now, if it is known here and can be believed.
    pub trusted: Option<Metadata>,
    /// Its delegation, unless it is root.
    pub delegation: Option<Delegations>,
    /// Who has to sign it.
    pub authorities: Vec<Authority>,
}

/// Asks a server what waits: the reply as it came.
///
/// # Errors
/// When it can't be asked.
pub async fn fetch(api: &ApiClient) -> Result<Value, Failure> {
    api.get(PATH).await
}

impl Pending {
    /// Reads a reply.
    ///
    /// # Errors
    /// When it is none, or a document in it can't be read; when something else than root and targets roles waits.
    pub fn read(reply: &Value) -> Result<Self, Failure> {
        let Some(data) = reply.get("data").filter(|data| !data.is_null()) else {
            return match reply.get("message") {
                Some(_) => Ok(Self::default()),
                None => Err(not_a_reply()),
            };
        };
        let metadata = data["metadata"].as_object().ok_or_else(not_a_reply)?;
        let mut pending =
            Self { announced: data["announced"].as_object().cloned().unwrap_or_default(), ..Self::default() };
        // The Python service says of what it does not have that it is null.
        for (name, value) in metadata.iter().filter(|(_, value)| !value.is_null()) {
            let unreadable = |error: &dyn std::fmt::Display| {
                Failure::new(format_args!("{}, which waits for signatures, can't be read: {error}", plain(name)))
            };
            let document = Metadata::from_value(value.clone()).map_err(|error| unreadable(&error))?;
            match name.strip_prefix(TRUSTED) {
                Some(role) => drop(pending.trusted.insert(role.to_owned(), document)),
                None => {
                    let header = document.header().map_err(|error| unreadable(&error))?;
                    if !matches!(header.type_, RoleType::Root | RoleType::Targets) {
                        return Err(Failure::new("Supporting only root and targets pending role types")
                            .remedy("the other roles are signed by the service"));
                    }
                    pending.documents.push((name.clone(), document));
                }
            }
        }
        Ok(pending)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The root that the reply calls trusted, whether it can be believed or not.
    pub fn listed_root(&self) -> Option<&Metadata> {
        self.trusted.get("root")
    }

    /// The roles that wait as they are listed, each with all that is known of it; or why it can't be known who signs it.
    pub fn roles(&self) -> Vec<(&str, Result<Waiting, Failure>)> {
        self.documents.iter().map(|(name, document)| (name.as_str(), self.judged(name, document))).collect()
    }

    /// What waits of the same role in the same version.
    ///
    /// # Errors
    /// When it can't be known who signs it.
    pub fn find(&self, other: &Waiting) -> Result<Option<Waiting>, Failure> {
        let roles = self.roles().into_iter().filter_map(|(_, waiting)| waiting.ok());
        Ok(roles.into_iter().find(|waiting| waiting.title() == other.title()))
    }

    fn judged(&self, name: &str, document: &Metadata) -> Result<Waiting, Failure> {
        let header = document.header().map_err(|error| Failure::new(format_args!("{}: {error}", plain(name))))?;
        match name {
            "root" => self.root(document, header),
            "targets" => self.targets(document, header),
            name => self.delegated(name, document, header),
        }
    }

    fn root(&self, document: &Metadata, header: Header) -> Result<Waiting, Failure> {
        let new = root(document, "the root that waits for signatures")?;
        let trusted = self.trusted_root()?;
        let mut authorities: Vec<_> = trusted.iter().map(|(_, root)| Authority::root(root)).collect();
        let before = new.version.get() - 1;
        if authorities.is_empty() && before > 0 {
            return Err(Failure::new(format_args!("Previous root v{before} needed to sign root v{}.", new.version))
                .remedy("fetch what waits anew with --fetch FILE: the reply has it as trusted_root"));
        }
        authorities.push(Authority::root(&new));
        let trusted = trusted.map(|(document, _)| document);
        Ok(Waiting {
            role: RoleName::root(),
            document: document.clone(),
            header,
            trusted,
            delegation: None,
            authorities,
        })
    }

    /// The trusted root, which must at least trust itself.
    fn trusted_root(&self) -> Result<Option<(Metadata, Root)>, Failure> {
        let Some(document) = self.trusted.get("root") else { return Ok(None) };
        let view = root(document, "the trusted root")?;
        match self::signed(&Authority::root(&view), document) {
            true => Ok(Some((document.clone(), view))),
            false => Err(Failure::new("the trusted root is not signed by enough of its own keys")
                .remedy("do not sign: compare it with the root that is published, and ask who runs the server")),
        }
    }

    fn targets(&self, document: &Metadata, header: Header) -> Result<Waiting, Failure> {
        let (_, root) = self.trusted_root()?.ok_or_else(|| {
            Failure::new("the reply does not tell whose keys sign targets")
                .remedy("fetch what waits anew with --fetch FILE")
        })?;
        let authority = Authority {
            name: format!("root v{}", root.version),
            keys: root.keys.clone(),
            role: root.role(RoleType::Targets).clone(),
        };
        let trusted = self.trusted.get("targets").cloned();
        let (role, document) = (RoleName::targets(), document.clone());
        Ok(Waiting { role, document, header, trusted, delegation: None, authorities: vec![authority] })
    }

    fn delegated(&self, name: &str, document: &Metadata, header: Header) -> Result<Waiting, Failure> {
        let present = self.delegations()?;
        let announced = self.announced.get(name).map(Delegations::view).transpose();
        let announced = announced.map_err(|error| Failure::new(format_args!("the delegation of {name}: {error}")))?;
        let names: Vec<_> = present.iter().flat_map(names).collect();
        let role = RoleName::parse(real_name(name, &names)).map_err(|error| Failure::new(error.to_string()))?;
        let unknown = || {
            Failure::new(format_args!("nobody delegates to {role}, so it can't be known who signs it"))
                .remedy("fetch what waits anew with --fetch FILE; ask who runs the server if that does not help")
        };
        let delegation = announced.or_else(|| present.clone()).ok_or_else(unknown)?;
        let authority = Authority::delegation(&delegation, &role).ok_or_else(unknown)?;
        // What clients have is signed by who is delegated to now.
        let by_now = present.and_then(|present| Authority::delegation(&present, &role));
        let trusted = self.trusted.get(role.as_str()).filter(|document| {
            let is_targets = document.header().is_ok_and(|header| header.type_ == RoleType::Targets);
            is_targets && by_now.is_some_and(|authority| signed(&authority, document))
        });
        let (trusted, document) = (trusted.cloned(), document.clone());
        Ok(Waiting { role, document, header, trusted, delegation: Some(delegation), authorities: vec![authority] })
    }

    /// The delegations that take effect with what waits: keys, and the role object.
    pub fn announced(&self) -> impl Iterator<Item = (&Map<String, Value>, &Value)> {
        self.announced
            .values()
            .filter_map(|announced| Some((announced["keys"].as_object()?, announced["roles"].get(0)?)))
    }

    /// What `targets` delegates now.
    fn delegations(&self) -> Result<Option<Delegations>, Failure> {
        let delegations = self.trusted.get("targets").and_then(|targets| targets.signed.get("delegations"));
        let view = delegations.map(Delegations::view).transpose();
        view.map_err(|error| Failure::new(format_args!("the trusted targets can't be read: {error}")))
    }
}

fn not_a_reply() -> Failure {
    Failure::new("this is no reply of GET /api/v1/metadata/sign")
        .remedy("make one with: rstuf admin metadata sign --fetch FILE")
}

fn root(document: &Metadata, what: &str) -> Result<Root, Failure> {
    Root::view(&document.signed).map_err(|error| Failure::new(format_args!("{what} can't be read: {error}")))
}

/// Whether enough of an authority's keys signed a document.
fn signed(authority: &Authority, document: &Metadata) -> bool {
    let valid = tally(&authority.keys, &authority.role, document).map(|tally| tally.valid.len());
    valid.is_ok_and(|valid| valid >= authority.role.threshold as usize)
}

fn names(delegations: &Delegations) -> Vec<&str> {
    match &delegations.roles {
        DelegatedRoles::Roles(roles) => roles.iter().map(|role| role.name.as_str()).collect(),
        DelegatedRoles::Succinct(_) => Vec::new(),
    }
}

/// The real name of a role. The Python service lists it up to the first `_` and in lower case.
fn real_name<'a>(listed: &'a str, names: &[&'a str]) -> &'a str {
    if names.contains(&listed) {
        return listed;
    }
    let is_meant = |name: &&&str| name.split('_').next().is_some_and(|begin| begin.to_lowercase() == listed);
    let mut meant = names.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(name), None) => name,
        _ => listed,
    }
}

impl Waiting {
    /// Its version.
    pub fn version(&self) -> Version {
        self.header.version
    }

    /// `root v2`.
    pub fn title(&self) -> String {
        format!("{} v{}", self.role, self.version())
    }

    /// The names of those whose signature counts for somebody.
    ///
    /// # Errors
    /// When the document can't be signed.
    pub fn signers(&self) -> Result<Vec<String>, Failure> {
        let mut signers = BTreeMap::new();
        for authority in &self.authorities {
            let tally = tally(&authority.keys, &authority.role, &self.document).map_err(unsignable)?;
            let named = |id: KeyId| authority.keys.get(&id).map(|key| (id.clone(), plain(&name_of(&id, key))));
            signers.extend(tally.valid.into_iter().filter_map(named));
        }
        Ok(signers.into_values().collect())
    }

    /// What is missing yet, by who wants it.
    ///
    /// # Errors
    /// When the document can't be signed.
    pub fn missing(&self) -> Result<Vec<Missing>, Failure> {
        missing::of(&self.document, &self.authorities)
    }

    /// Who has to sign, as signatures are collected.
    pub fn needed(&self) -> Vec<Needed> {
        let last = self.authorities.len() - 1;
        let by = |at: usize, authority: &Authority| match self.header.type_ {
            RoleType::Root if at == last => format!("the new root, v{}", self.version()),
            RoleType::Root => format!("the root before it, {}", authority.name),
            _ => self.role.to_string(),
        };
        let needed = |(at, authority): (usize, &Authority)| Needed {
            by: by(at, authority),
            keys: authority.keys.clone(),
            role: authority.role.clone(),
        };
        self.authorities.iter().enumerate().map(needed).collect()
    }

    /// How far it is, in lines.
    ///
    /// # Errors
    /// When the document can't be signed.
    pub fn lines(&self) -> Result<Vec<String>, Failure> {
        let mut lines = vec![format!("{}, expires {}", self.title(), format_expires(self.header.expires))];
        let signers = self.signers()?;
        lines.push(match signers.is_empty() {
            true => "  signed by  nobody yet".to_owned(),
            false => format!("  signed by  {}", signers.join(", ")),
        });
        lines.extend(sentences(&self.role, &self.missing()?).into_iter().map(|sentence| format!("  {sentence}")));
        Ok(lines)
    }

    /// The same for programs.
    ///
    /// # Errors
    /// When the document can't be signed.
    pub fn to_value(&self) -> Result<Value, Failure> {
        Ok(json!({
            "role": self.role,
            "version": self.version(),
            "expires": format_expires(self.header.expires),
            "signed_by": self.signers()?,
            "missing": self.missing()?,
        }))
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.header.is_expired(now)
    }
}

/// Who is missing, a sentence an authority. Of a delegated role it is itself that needs them, not who delegates to it.
pub fn sentences(role: &RoleName, missing: &[Missing]) -> Vec<String> {
    let told = missing.iter().map(|missing| Missing {
        authority: if missing.authority == "targets" { role.to_string() } else { plain(&missing.authority) },
        signatures: missing.signatures,
        of: missing.of.iter().map(|name| plain(name)).collect(),
    });
    missing::sentences(&told.collect::<Vec<_>>())
}

pub(super) fn unsignable(error: impl std::fmt::Display) -> Failure {
    Failure::new(format_args!("it can't be signed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::{
        sample::{self, Signer, at, role, sign, version},
        targets,
    };

    /// A reply in which the role `Dev_Team` of `by` waits, listed as `listed`.
    fn reply(listed: &str, by: &Signer, online: &Signer) -> Value {
        let object =
            json!({"name": "Dev_Team", "keyids": [by.id()], "threshold": 1, "terminating": true, "paths": ["a"]});
        let delegations = json!({"keys": {by.id().as_str(): by.key()}, "roles": [object]});
        let trusted = sign(targets::render(version(4), at(9), &[], Some(&delegations)), &[online]).to_value();
        let document = json!({"signatures": [], "signed": targets::render(version(2), at(9), &[], None)});
        json!({"data": {"metadata": {listed: document, "trusted_targets": trusted, "trusted_root": null}}, "message": ""})
    }

    fn only(reply: &Value) -> Result<Waiting, Failure> {
        Pending::read(reply).expect("read").roles().swap_remove(0).1
    }

    #[test]
    fn a_role_is_known_by_the_name_that_the_python_service_lists() {
        let (a, online) = (Signer::new(), Signer::new());
        for listed in ["Dev_Team", "dev"] {
            let waiting = only(&reply(listed, &a, &online)).expect("known");
            assert_eq!(waiting.role, role("Dev_Team"));
            assert_eq!(waiting.missing().expect("missing")[0].of, [a.id().to_string()]);
        }
        assert!(only(&reply("other", &a, &online)).is_err());
    }

    #[test]
    fn what_is_announced_says_who_signs() {
        let (a, b, online) = (Signer::new(), Signer::new(), Signer::new());
        let mut reply = reply("Dev_Team", &a, &online);
        let object =
            json!({"name": "Dev_Team", "keyids": [b.id()], "threshold": 1, "terminating": true, "paths": ["a"]});
        reply["data"]["announced"] = json!({"Dev_Team": {"keys": {b.id().as_str(): b.key()}, "roles": [object]}});
        let waiting = only(&reply).expect("known");
        assert_eq!(waiting.missing().expect("missing")[0].of, [b.id().to_string()]);
    }

    #[test]
    fn only_what_its_signers_signed_is_compared_with() {
        let (a, b, online) = (Signer::new(), Signer::new(), Signer::new());
        let mut reply = reply("Dev_Team", &a, &online);
        let before = |signer: &Signer| sign(targets::render(version(1), at(9), &[], None), &[signer]);
        for (signer, believed) in [(&a, true), (&b, false)] {
            reply["data"]["metadata"]["trusted_Dev_Team"] = before(signer).to_value();
            assert_eq!(only(&reply).expect("known").trusted.is_some(), believed);
        }
    }

    #[test]
    fn a_root_needs_the_one_before_it() {
        let (a, online, thief) = (Signer::new(), Signer::new(), Signer::new());
        let root = |number| sample::root(number, &[&a], 1, &online);
        let listed = |trusted: Value| {
            let document = json!({"signatures": [], "signed": root(2)});
            json!({"data": {"metadata": {"root": document, "trusted_root": trusted}}})
        };
        let waiting = only(&listed(sign(root(1), &[&a]).to_value())).expect("known");
        assert_eq!(
            waiting.needed().iter().map(|needed| needed.by.as_str()).collect::<Vec<_>>(),
            ["the root before it, root v1", "the new root, v2"]
        );
        let why = |trusted| only(&listed(trusted)).expect_err("refused").cause;
        assert_eq!(why(Value::Null), "Previous root v1 needed to sign root v2.");
        let forged = sign(root(1), &[&thief]).to_value();
        assert_eq!(why(forged), "the trusted root is not signed by enough of its own keys");
    }

    #[test]
    fn nothing_waits_or_it_is_no_reply() {
        assert!(Pending::read(&json!({"message": "No metadata pending signing available"})).expect("read").is_empty());
        assert!(Pending::read(&json!({"data": null, "message": ""})).expect("read").is_empty());
        for wrong in [json!({}), json!([]), json!({"data": 1}), json!({"data": {"metadata": []}})] {
            assert!(Pending::read(&wrong).is_err(), "{wrong}");
        }
    }
}
