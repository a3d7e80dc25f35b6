//! The search for an artifact through the delegations.

use std::collections::BTreeSet;

use super::{Trusted, VerifyError};
use crate::tuf::{
    name::{ArtifactPath, RoleName},
    targets::TargetFile,
};

/// How many roles a search asks, as python-tuf does: so that delegations that never end do no harm.
pub const MAX_VISITED: usize = 33;

/// What a search needs next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Download this file, give it to [`Trusted::update_delegated`], and search again.
    Fetch {
        /// The role.
        role: RoleName,
        /// The role that delegates to it; `root` for `targets`.
        delegator: RoleName,
        /// The name of the file.
        file: String,
    },
    /// The artifact is known.
    Found {
        /// The role that knows it.
        role: RoleName,
        /// What is known of it.
        info: TargetFile,
    },
    /// There is no such artifact.
    Absent,
}

impl Trusted {
    /// Searches an artifact, in preorder through the delegations (TUF §5.6.7): a role is asked before those that it
    /// delegates to, and these in their order; what a terminating role does not know is absent. No role is asked twice.
    ///
    /// The search starts anew each time; to ask a role that is trusted already costs no download.
    ///
    /// # Errors
    /// [`VerifyError::Order`] before timestamp and snapshot are up to date, [`VerifyError::NotInSnapshot`] for a delegated role
    /// that snapshot does not list, [`VerifyError::TooManyRoles`] after [`MAX_VISITED`] roles.
    pub fn search(&self, path: &ArtifactPath) -> Result<Next, VerifyError> {
        let snapshot = self.current_snapshot()?;
        let mut visited = BTreeSet::new();
        let mut to_visit = vec![(RoleName::targets(), RoleName::root())];
        while let Some((role, delegator)) = to_visit.pop() {
            if visited.contains(&role) {
                continue;
            }
            if visited.len() == MAX_VISITED {
                return Err(VerifyError::TooManyRoles);
            }
            let Some(targets) = self.current_targets(&role, &delegator) else {
                let listed = snapshot.get(&role).ok_or_else(|| VerifyError::NotInSnapshot { role: role.clone() })?;
                let file = self.file_name(&role, listed.version);
                return Ok(Next::Fetch { role, delegator, file });
            };
            if let Some(info) = targets.get(path) {
                return Ok(Next::Found { role, info: info.clone() });
            }
            let mut children = Vec::new();
            for child in targets.delegations.iter().flat_map(|delegations| delegations.roles_for(path)) {
                children.push((child.role, role.clone()));
                if child.terminating {
                    to_visit.clear();
                    break;
                }
            }
            to_visit.extend(children.into_iter().rev());
            visited.insert(role);
        }
        Ok(Next::Absent)
    }
}
