//! Moving artifacts to where they are listed from now on: paths are read in parts, placed in memory, and written back with a few
//! statements a part.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;

use super::{
    key,
    read::{PATHS, column},
    requests::batch::Rows,
};
use crate::{
    store::{
        StoreError,
        ledger::{
            moving::{self, Ground, Listed, Moves, Origin},
            stored::{from_json, path, role, to_json},
        },
        postgres::{Call, Session},
    },
    task::TaskId,
    tuf::name::{ArtifactPath, RoleName},
};

const LAST: &str = "select coalesce(max(sequence), 0) from staged";

const STAGED: &str = "select sequence, task_id = '' and info is null, name, path from (
         select sequence, task_id, info, role, path from staged where sequence > $1 and sequence <= $2
             order by sequence limit $3) as part
     join roles on roles.id = part.role order by sequence";

/// They go behind all that are staged: what an event has of its role is told by the sequence.
const RESTAGE: &str = "with moved as (
         delete from staged using unnest($1::bigint[], $2::text[]) as new (sequence, place) where staged.sequence = new.sequence
         returning staged.sequence, task_id, digest, path, info, place)
     insert into staged (task_id, role, digest, path, info, waits)
     select task_id, roles.id, digest, path, info, roles.waits from moved left join roles on roles.name = place
     order by moved.sequence";

const UNSTAGE: &str = "delete from staged where sequence = any($1)";

const HELD: &str = "select digest, name, path from (
         select digest, role, path from held where digest > $1 order by digest limit $2) as part
     join roles on roles.id = part.role order by digest";

const REHOLD: &str =
    "update held set role = roles.id from unnest($1::bytea[], $2::text[]) as new (digest, place), roles
     where roles.name = new.place and held.digest = new.digest";

const LISTED: &str = "select role, digest, name, path from (
         select role, digest, path from artifacts where (role, digest) > ($1, $2) order by role, digest limit $3) as part
     join roles on roles.id = part.role order by role, digest";

/// What a role lists of a path, for each that is asked.
const INFOS: &str = "select position, info from unnest($1::text[], $2::bytea[]) with ordinality as asked (name, digest, position)
     join roles on roles.name = asked.name
     cross join lateral (select info from artifacts where artifacts.role = roles.id and artifacts.digest = asked.digest offset 0) as listed";

/// All that is staged of these paths.
const STAGED_OF: &str = "select sequence, task_id = '' and info is null, name, path from unnest($1::bytea[]) as asked (digest)
     cross join lateral (select sequence, task_id, info, role, path from staged where staged.digest = asked.digest offset 0) as said
     join roles on roles.id = said.role order by sequence";

const FORGET: &str = "delete from artifacts using unnest($1::text[], $2::bytea[]) as gone (role, digest), roles
     where roles.name = gone.role and artifacts.role = roles.id and artifacts.digest = gone.digest";

/// Moves what is listed, staged or held elsewhere; the roles that lost staged changes, each with the first of them.
pub(super) async fn moves(session: &mut Session, ground: &Ground<'_>) -> Result<BTreeMap<RoleName, i64>, StoreError> {
    held(session, ground).await?;
    let losers = staged(session, ground).await?;
    listed(session, ground).await?;
    Ok(losers)
}

async fn held(session: &mut Session, ground: &Ground<'_>) -> Result<(), StoreError> {
    let mut last: Vec<u8> = Vec::new();
    loop {
        let rows = ask(session, HELD, vec![&last, &PATHS]).await?;
        let Some(end) = rows.last() else { return Ok(()) };
        let (mut digests, mut places): (Vec<Vec<u8>>, Vec<String>) = Default::default();
        for row in &rows {
            if let Some(place) = ground.elsewhere(&role(column(row, 1)?)?, &path(column(row, 2)?)?) {
                digests.push(column(row, 0)?);
                places.push(String::from(place));
            }
        }
        if !digests.is_empty() {
            ask(session, REHOLD, vec![&digests, &places]).await?;
        }
        last = column(end, 0)?;
    }
}

async fn staged(session: &mut Session, ground: &Ground<'_>) -> Result<BTreeMap<RoleName, i64>, StoreError> {
    let through = ask(session, LAST, Vec::new()).await?;
    let through: i64 = column(through.first().ok_or_else(|| StoreError::Broken("no answer".into()))?, 0)?;
    let mut losers = BTreeMap::new();
    let mut last = 0_i64;
    loop {
        let rows = ask(session, STAGED, vec![&last, &through, &PATHS]).await?;
        let Some(end) = rows.last() else { return Ok(losers) };
        let part: Result<Vec<_>, _> = rows.iter().map(staged_row).collect();
        let moves = ground.moves(&part?, Vec::new(), &BTreeMap::new());
        let (sequences, places): (Vec<_>, Vec<_>) =
            moves.staged.into_iter().map(|(sequence, place)| (sequence, String::from(place))).unzip();
        let mut calls: Vec<Call<'_>> = Vec::new();
        if !sequences.is_empty() {
            calls.push((RESTAGE, vec![&sequences, &places]));
        }
        if !moves.obsolete.is_empty() {
            calls.push((UNSTAGE, vec![&moves.obsolete]));
        }
        session.go_on(&calls).await?;
        for (role, first) in moves.losers {
            losers.entry(role).or_insert(first);
        }
        last = column(end, 0)?;
    }
}

async fn listed(session: &mut Session, ground: &Ground<'_>) -> Result<(), StoreError> {
    let mut last: (i64, Vec<u8>) = (0, Vec::new());
    loop {
        let rows = ask(session, LISTED, vec![&last.0, &last.1, &PATHS]).await?;
        let Some(end) = rows.last() else { return Ok(()) };
        let mut misplaced = Misplaced::default();
        for row in &rows {
            let (role, path) = (role(column(row, 2)?)?, path(column(row, 3)?)?);
            if let Some(place) = ground.elsewhere(&role, &path) {
                misplaced.push(role, path, place);
            }
        }
        if !misplaced.paths.is_empty() {
            move_listed(session, ground, misplaced).await?;
        }
        last = (column(end, 0)?, column(end, 1)?);
    }
}

/// Published artifacts that are listed elsewhere from now on, as columns.
#[derive(Default)]
struct Misplaced {
    roles: Vec<RoleName>,
    paths: Vec<ArtifactPath>,
    digests: Vec<Vec<u8>>,
    places: Vec<RoleName>,
}

impl Misplaced {
    fn push(&mut self, role: RoleName, path: ArtifactPath, place: RoleName) {
        self.digests.push(key(&path));
        self.roles.push(role);
        self.paths.push(path);
        self.places.push(place);
    }
}

async fn move_listed(session: &mut Session, ground: &Ground<'_>, misplaced: Misplaced) -> Result<(), StoreError> {
    let Misplaced { roles, paths, digests, places } = misplaced;
    let from: Vec<_> = roles.iter().map(RoleName::as_str).collect();
    let to: Vec<_> = places.iter().map(RoleName::as_str).collect();
    let asked: Vec<_> = digests.iter().collect::<BTreeSet<_>>().into_iter().collect();
    let questions: [Call<'_>; 3] =
        [(INFOS, vec![&from, &digests]), (INFOS, vec![&to, &digests]), (STAGED_OF, vec![&asked])];
    let answers = session.go_on(&questions).await?;
    let [here, there, staged] = answers.as_slice() else {
        return Err(StoreError::Broken("an answer is missing".into()));
    };
    let mut listed = Vec::with_capacity(here.len());
    for row in here {
        let (index, info) = info(row)?;
        if let (Some(role), Some(path)) = (roles.get(index), paths.get(index)) {
            listed.push(Listed { role: role.clone(), path: path.clone(), info });
        }
    }
    let mut lists = BTreeMap::new();
    for row in there {
        let (index, info) = info(row)?;
        if let (Some(place), Some(path)) = (places.get(index), paths.get(index)) {
            lists.insert((place.clone(), path.clone()), info);
        }
    }
    let staged: Result<Vec<_>, _> = staged.iter().map(staged_row).collect();
    let Moves { adds, removals, forgotten, .. } = ground.moves(&staged?, listed, &lists);

    let nobody = TaskId::from_text("");
    let mut changes = Rows::default();
    for Listed { role, path, info } in adds {
        changes.push(&nobody, &role, &path, Some(to_json(&info)?));
    }
    for (role, path) in removals {
        changes.push(&nobody, &role, &path, None);
    }
    let (gone_from, gone): (Vec<_>, Vec<_>) = forgotten.iter().map(|(role, path)| (role.as_str(), key(path))).unzip();
    let mut calls = Vec::new();
    changes.staged(&mut calls);
    if !gone.is_empty() {
        calls.push((FORGET, vec![&gone_from, &gone]));
    }
    session.go_on(&calls).await.map(|_| ())
}

fn staged_row(row: &Row) -> Result<moving::Row, StoreError> {
    let origin = if column(row, 1)? { Origin::Leaving } else { Origin::Content };
    Ok(moving::Row { sequence: column(row, 0)?, origin, role: role(column(row, 2)?)?, path: path(column(row, 3)?)? })
}

/// Where an answer belongs, and the target information.
fn info(row: &Row) -> Result<(usize, serde_json::Value), StoreError> {
    let index = usize::try_from(column::<i64>(row, 0)? - 1).ok();
    let index = index.ok_or_else(|| StoreError::Broken("a path was answered that was not asked for".into()))?;
    Ok((index, from_json(column(row, 1)?)?))
}

/// The rows of one statement.
async fn ask(
    session: &mut Session,
    sql: &str,
    params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)>,
) -> Result<Vec<Row>, StoreError> {
    Ok(session.go_on(&[(sql, params)]).await?.pop().unwrap_or_default())
}
