//! What becomes published with roles that people have signed.

use std::collections::BTreeSet;

use super::missing;
use crate::{
    store::{
        StoreError,
        ledger::{
            Plan,
            charter::Charter,
            moving::Ground,
            postgres::{key, moves, read},
            settle,
            stored::{path, role, to_json},
        },
        postgres::{Call, Session},
    },
    tuf::{delegation::Delegations, name::RoleName, placement::Placement},
};

/// The paths of which the events have a staged change.
const WAITED: &str = "select signed.name, staged.path from unnest($1::text[], $2::bigint[]) as signed (name, through)
     join roles on roles.name = signed.name
     join staged on staged.role = roles.id and staged.waits and staged.sequence <= signed.through";

/// Which of these a role does not list yet.
const NEW: &str =
    "select position from unnest($1::text[], $2::bytea[]) with ordinality as asked (name, digest, position)
     join roles on roles.name = asked.name
     where not exists (select 1 from artifacts where artifacts.role = roles.id and artifacts.digest = asked.digest)";

/// A move ends with this: what the signed role says of a path no other role lists any longer.
const LEAVE: &str = "insert into staged (task_id, role, digest, path, info, waits)
     select '', other.id, said.digest, said.path, null, other.waits
     from unnest($1::text[], $2::bytea[], $3::text[], $4::text[]) as said (role, digest, path, bin)
     cross join lateral (select id, waits from roles
         where name = any(array_append($5::text[], said.bin)) and name <> said.role and not retired offset 0) as other
     where exists (select 1 from artifacts where artifacts.role = other.id and artifacts.digest = said.digest)
     and not exists (select 1 from (select role, task_id, info from staged where staged.digest = said.digest offset 0) as all_of_it
         where role = other.id and task_id = '' and info is null)";

const DROP_WAITED: &str = "delete from staged using unnest($1::text[], $2::bigint[]) as signed (name, through), roles
     where roles.name = signed.name and staged.role = roles.id and staged.waits and staged.sequence <= signed.through";

const UNLIST: &str = "delete from artifacts where role in (select id from roles where name = any($1))";

const LIST: &str = "insert into artifacts (role, digest, path, info)
     select roles.id, digest, path, info from unnest($1::text[], $2::bytea[], $3::text[], $4::text[]) as new (role, digest, path, info)
     left join roles on roles.name = new.role";

/// The signed roles and what they list, as columns.
pub(super) struct Signed {
    /// The roles.
    pub(super) events: Vec<String>,
    /// The last staged change of each that its document has.
    pub(super) throughs: Vec<i64>,
    listed: Listed,
    said: Said,
    /// The roles with names, which may list what a signed role lists from now on.
    custom: Vec<String>,
    placement: Placement,
}

#[derive(Default)]
struct Listed {
    roles: Vec<String>,
    digests: Vec<Vec<u8>>,
    paths: Vec<String>,
    infos: Vec<String>,
}

/// Paths of which a role that clients ask first for them says something new.
#[derive(Default)]
struct Said {
    roles: Vec<String>,
    digests: Vec<Vec<u8>>,
    paths: Vec<String>,
    bins: Vec<Option<String>>,
}

/// Looks up what the commit of the signed roles of `plan` needs to know.
pub(super) async fn read(session: &mut Session, charter: &Charter, plan: &Plan) -> Result<Signed, StoreError> {
    let (mut events, mut throughs) = (Vec::new(), Vec::new());
    for role in plan.signed.keys() {
        events.push(role.as_str().to_owned());
        throughs.push(charter.events.get(role).map_or(0, |event| event.through));
    }
    let mut listed = Listed::default();
    let mut documented = Vec::new();
    for (role, document) in &plan.signed {
        for (path, info) in settle::listing(document) {
            listed.roles.push(role.as_str().to_owned());
            listed.digests.push(key(&path));
            listed.paths.push(path.as_str().to_owned());
            listed.infos.push(to_json(&info)?);
            documented.push((role, path));
        }
    }
    let questions: [Call<'_>; 3] = [
        (WAITED, vec![&events, &throughs]),
        (NEW, vec![&listed.roles, &listed.digests]),
        (read::REPOSITORY, Vec::new()),
    ];
    let answers = session.go_on(&questions).await?;
    let [waited, new, repository] = answers.as_slice() else { return Err(missing("an answer")) };
    let repository = read::the_repository(repository)?.ok_or_else(|| missing("the repository"))?;
    let delegations = plan.delegations.as_ref().unwrap_or(&repository.delegations);
    let delegations = Delegations::view(delegations)
        .map_err(|error| StoreError::Broken(format!("the ledger's delegations: {error}")))?;
    let placement = Placement::of(&delegations, repository.settings.bins()?);

    // Until now others were asked for what becomes effective, so that theirs may be newer: the move compares.
    let becomes_effective = |role: &RoleName| charter.roles.get(role).is_some_and(|custom| custom.announced.is_some());
    let mut said = BTreeSet::new();
    for row in waited {
        said.insert((role(read::column(row, 0)?)?, path(read::column(row, 1)?)?));
    }
    for (role, path) in &documented {
        if becomes_effective(role) {
            said.remove(&((*role).clone(), path.clone()));
        }
    }
    for row in new {
        let index = usize::try_from(read::column::<i64>(row, 0)? - 1).ok();
        if let Some((role, path)) = index.and_then(|index| documented.get(index))
            && !becomes_effective(role)
        {
            said.insert(((*role).clone(), path.clone()));
        }
    }
    said.retain(|(role, path)| placement.role_for(path).as_ref() == Some(role));
    let said = Said {
        digests: said.iter().map(|(_, path)| key(path)).collect(),
        bins: said.iter().map(|(_, path)| placement.bin_for(path).map(String::from)).collect(),
        paths: said.iter().map(|(_, path)| path.as_str().to_owned()).collect(),
        roles: said.into_iter().map(|(role, _)| String::from(role)).collect(),
    };
    let custom = charter.roles.keys().map(|role| role.as_str().to_owned()).collect();
    Ok(Signed { events, throughs, listed, said, custom, placement })
}

impl Signed {
    /// The statements that put what was signed in the place of what was listed.
    pub(super) fn calls(&self) -> [Call<'_>; 4] {
        let Self { events, throughs, listed, said, custom, .. } = self;
        [
            (DROP_WAITED, vec![events, throughs]),
            (UNLIST, vec![events]),
            (LIST, vec![&listed.roles, &listed.digests, &listed.paths, &listed.infos]),
            (LEAVE, vec![&said.roles, &said.digests, &said.paths, &said.bins, custom]),
        ]
    }

    /// Moves artifacts after a change of delegations. Drops the events that are not what is wanted any more, and says of which roles
    /// they were.
    pub(super) async fn move_artifacts(
        &self,
        session: &mut Session,
        charter: &mut Charter,
    ) -> Result<Vec<String>, StoreError> {
        let losers = moves::moves(session, &Ground { placement: &self.placement, charter }).await?;
        Ok(settle::drop_stale(charter, &losers).into_iter().map(String::from).collect())
    }
}
