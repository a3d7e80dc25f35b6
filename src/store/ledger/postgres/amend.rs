//! Recording decisions.

use jiff::Timestamp;

use super::{
    charter::{CHARTER, Current, Memory},
    moves, read,
    requests::{created::Created, storable},
    rounds::commit::MAKE_DUE,
    vain::InVain,
};
use crate::{
    store::{
        StoreError,
        ledger::{
            charter::{Amended, Amendment, Change, Charter, Decided, Due, End},
            moving::Ground,
            settle::{self, Drafted},
            stored::{number, signing, to_json},
        },
        postgres::{Call, Pool},
    },
    task::Progress,
    tuf::name::RoleName,
};

const KNOWN: &str = "select id from tasks where id = $1";

const NEW_ROLES: &str =
    "insert into roles (name) select name from unnest($1::text[]) with ordinality as new (name, position)
     order by position";

const MARK_ROLES: &str = "update roles set signing = new.signing, retired = new.retired
     from unnest($1::text[], $2::text[], $3::boolean[]) as new (name, signing, retired) where roles.name = new.name";

/// What is staged waits as its role does.
const MARK_STAGED: &str = "update staged set waits = roles.waits from roles
     where roles.id = staged.role and roles.name = any($1) and staged.waits <> roles.waits";

const OPENED: &str = "update roles set given_out = greatest(given_out, new.version), renew_at = new.renew_at
     from unnest($1::text[], $2::bigint[], $3::bigint[]) as new (name, version, renew_at) where roles.name = new.name";

const ALL_DUE: &str = "update roles set renew_at = 0 where not waits";

const SETTINGS: &str = "update repository set settings = $1";

const DELEGATIONS: &str = "update repository set delegations = $1";

const CHANGE: &str = "update charter set revision = revision + 1, placement = placement + $1, charter = $2";

const TASK: &str = "insert into tasks (id, action, accepted_at, progress, finished_at, awaits_revision, awaits_root)
     values ($1, $2, $3, $4, $5, $6, $7)";

pub(super) async fn amend(
    pool: &Pool,
    memory: &Memory,
    amendment: Amendment,
    now: Timestamp,
) -> Result<Amended, StoreError> {
    let Amendment { base, task, change } = amendment;
    let id = task.as_ref().map(|decided| decided.task.as_str());
    if id.is_some_and(|id| !storable(id)) {
        tracing::warn!("a decision was dropped: the id of its task can't be recorded");
        return Ok(Amended::Recorded);
    }
    let recalled = memory.recall();
    let known = recalled.revision;
    let mut questions: Vec<Call<'_>> = vec![(CHARTER, vec![&known]), (KNOWN, vec![&id])];
    if change.create.is_some() || !change.expirations.is_empty() {
        questions.push((read::REPOSITORY, Vec::new()));
    }
    let (mut session, answers) = pool.begin(&questions).await?;
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or_default();
    let current = Current::of(&next(), recalled)?;
    if !next().is_empty() {
        session.leave().await?;
        return Ok(Amended::Recorded);
    }
    if current.revision != base {
        session.leave().await?;
        return Ok(Amended::Moved);
    }
    let repository = read::the_repository(&next())?;

    let before = &current.charter;
    let mut after = settle::amended(before, &change, task.as_ref());
    let changes = settle::changes(before, &after, &change);
    let created = match &change.create {
        Some(new) => {
            let task = settle::creator(before, task.as_ref().map(|decided| &decided.task), repository.as_ref())?;
            Some(Created::of(&task, (**new).clone())?)
        }
        None => None,
    };
    let settings = match repository {
        Some(mut there) if !change.expirations.is_empty() => {
            there.settings.expirations.extend(change.expirations.clone());
            Some(to_json(&there.settings)?)
        }
        _ => None,
    };
    let rows = RoleColumns::of(before, &after, &change);
    let delegations = change.delegations.as_ref().map(to_json).transpose()?;
    let mut calls: Vec<Call<'_>> = Vec::new();
    if let Some(created) = &created {
        calls.extend(created.calls());
    }
    rows.calls(&mut calls);
    if let Some(settings) = &settings {
        calls.push((SETTINGS, vec![settings]));
    }
    if let Some(delegations) = &delegations {
        calls.push((DELEGATIONS, vec![delegations]));
    }
    let mut stale = Vec::new();
    if let Some(placement) = &change.placement {
        session.go_on(&calls).await?;
        calls.clear();
        let losers = moves::moves(&mut session, &Ground { placement, charter: &after }).await?;
        stale = settle::drop_stale(&mut after, &losers);
    }
    let asked = task.as_ref().map(|decided| &decided.task);
    let cause = change.withdrawal.as_deref();
    let vain = InVain::read(&mut session, (before, &after), asked, cause, now).await?;
    vain.calls(&mut calls);
    let dues = DueColumns::of(before, &after, stale, &change.due, now);
    dues.calls(&mut calls);
    let placed = i64::from(change.placement.is_some());
    let charter = to_json(&after)?;
    if changes {
        calls.push((CHANGE, vec![&placed, &charter]));
    }
    let task = task.map(|decided| TaskColumns::of(decided, current.revision + i64::from(changes), now)).transpose()?;
    if let Some(task) = &task {
        calls.push(task.call());
    }
    session.finish(&calls).await?;
    Ok(Amended::Recorded)
}

/// New roles, and what changes in what roles are.
struct RoleColumns {
    new: Vec<String>,
    changed: Vec<String>,
    signing: Vec<&'static str>,
    retired: Vec<bool>,
}

impl RoleColumns {
    fn of(before: &Charter, after: &Charter, change: &Change) -> Self {
        let changed: Vec<_> = settle::changed_roles(before, after).collect();
        Self {
            new: change.new_roles.iter().map(ToString::to_string).collect(),
            changed: changed.iter().map(|(role, _)| role.to_string()).collect(),
            signing: changed.iter().map(|(_, custom)| signing(custom.signing)).collect(),
            retired: changed.iter().map(|(_, custom)| custom.retired).collect(),
        }
    }

    fn calls<'a>(&'a self, calls: &mut Vec<Call<'a>>) {
        if !self.new.is_empty() {
            calls.push((NEW_ROLES, vec![&self.new]));
        }
        if !self.changed.is_empty() {
            calls.push((MARK_ROLES, vec![&self.changed, &self.signing, &self.retired]));
            calls.push((MARK_STAGED, vec![&self.changed]));
        }
    }
}

/// What changes in when roles are due.
struct DueColumns {
    opened: Vec<String>,
    versions: Vec<i64>,
    renew_at: Vec<i64>,
    due: Vec<String>,
    all: bool,
}

impl DueColumns {
    fn of(before: &Charter, after: &Charter, stale: Vec<RoleName>, due: &Due, now: Timestamp) -> Self {
        let Drafted { opened, dropped } = settle::drafted(before, after, now);
        let asked: &[RoleName] = match due {
            Due::Roles(roles) => roles,
            Due::None | Due::All => &[],
        };
        Self {
            versions: opened.iter().map(|(_, version, _)| number(*version)).collect(),
            renew_at: opened.iter().map(|(_, _, renew_at)| renew_at.as_second()).collect(),
            opened: opened.into_iter().map(|(role, _, _)| String::from(role)).collect(),
            due: dropped.iter().chain(&stale).chain(asked).map(ToString::to_string).collect(),
            all: *due == Due::All,
        }
    }

    fn calls<'a>(&'a self, calls: &mut Vec<Call<'a>>) {
        if !self.opened.is_empty() {
            calls.push((OPENED, vec![&self.opened, &self.versions, &self.renew_at]));
        }
        if !self.due.is_empty() {
            calls.push((MAKE_DUE, vec![&self.due]));
        }
        if self.all {
            calls.push((ALL_DUE, Vec::new()));
        }
    }
}

/// The row of the task that asked.
struct TaskColumns {
    id: String,
    action: String,
    accepted_at: i64,
    progress: String,
    finished_at: Option<i64>,
    awaits_revision: Option<i64>,
    awaits_root: Option<i64>,
}

impl TaskColumns {
    fn of(decided: Decided, revision: i64, now: Timestamp) -> Result<Self, StoreError> {
        let Decided { task, accepted_at, outcome, end } = decided;
        Ok(Self {
            id: task.as_str().to_owned(),
            action: outcome.task.clone(),
            accepted_at: accepted_at.as_microsecond(),
            progress: to_json(&Progress::Finished(outcome))?,
            finished_at: (end == End::Now).then(|| now.as_microsecond()),
            awaits_revision: (end == End::Visible).then_some(revision),
            awaits_root: match end {
                End::Root(version) => Some(number(version)),
                End::Now | End::Visible => None,
            },
        })
    }

    fn call(&self) -> Call<'_> {
        let Self { id, action, accepted_at, progress, finished_at, awaits_revision, awaits_root } = self;
        (TASK, vec![id, action, accepted_at, progress, finished_at, awaits_revision, awaits_root])
    }
}
