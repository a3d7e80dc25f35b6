//! A new repository, as columns.

use crate::{
    store::{
        StoreError,
        ledger::{
            NewRepository,
            charter::Signing,
            stored::{signing, to_json},
        },
        postgres::Call,
    },
    task::TaskId,
};

/// What is written of a new repository; its custom roles are part of the charter, too.
pub(crate) struct Created {
    task: String,
    settings: String,
    delegations: String,
    root: Vec<u8>,
    roles: Vec<String>,
    signing: Vec<&'static str>,
}

impl Created {
    pub(crate) fn of(task: &TaskId, new: NewRepository) -> Result<Self, StoreError> {
        let signing = |role| signing(new.custom.get(role).copied().unwrap_or(Signing::Online));
        Ok(Self {
            task: task.as_str().to_owned(),
            settings: to_json(&new.settings)?,
            delegations: to_json(&new.delegations)?,
            root: new.root.to_bytes(),
            signing: new.roles.iter().map(signing).collect(),
            roles: new.roles.into_iter().map(String::from).collect(),
        })
    }

    pub(crate) fn calls(&self) -> [Call<'_>; 2] {
        let repository = "insert into repository (id, task_id, settings, delegations, root) values (1, $1, $2, $3, $4)";
        let roles =
            "insert into roles (name, signing) select name, signing from unnest($1::text[], $2::text[]) with ordinality
             as new (name, signing, position) order by position";
        [
            (repository, vec![&self.task, &self.settings, &self.delegations, &self.root]),
            (roles, vec![&self.roles, &self.signing]),
        ]
    }
}
