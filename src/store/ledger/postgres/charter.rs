//! The charter, as this process remembers it: it changes seldom and may be large, so it is read when it changed.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_postgres::Row;

use super::read::column;
use crate::store::{
    StoreError,
    ledger::{
        charter::{Charter, Chartered},
        stored::from_json,
    },
    postgres::Pool,
};

/// The counters, and the charter if it is not the one of this revision.
pub(super) const CHARTER: &str = "select revision, placement, case when revision <> $1 then charter end from charter";

/// The charter that was read last. Clones remember the same.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Option<Seen>>>);

#[derive(Clone)]
struct Seen {
    revision: i64,
    charter: Arc<Charter>,
}

impl Memory {
    /// What is remembered when a question is asked.
    pub(super) fn recall(&self) -> Recalled<'_> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Recalled { revision: seen.as_ref().map_or(-1, |seen| seen.revision), seen, memory: self }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

/// What is remembered: a question names its revision, and is answered with a charter that has another one.
pub(super) struct Recalled<'a> {
    /// The revision, -1 for none.
    pub(super) revision: i64,
    seen: Option<Seen>,
    memory: &'a Memory,
}

impl Recalled<'_> {
    /// The charter of this revision, which an answer brought if it was not remembered.
    pub(super) fn charter(self, revision: i64, brought: Option<&str>) -> Result<Arc<Charter>, StoreError> {
        match (brought, self.seen) {
            (Some(text), _) => {
                let charter: Arc<Charter> = Arc::new(from_json(text)?);
                let seen = Seen { revision, charter: charter.clone() };
                *self.memory.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
                Ok(charter)
            }
            (None, Some(seen)) => Ok(seen.charter),
            (None, None) => Err(StoreError::Broken("the ledger lacks its charter".into())),
        }
    }
}

/// The charter as a transaction sees it.
pub(super) struct Current {
    pub(super) revision: i64,
    pub(super) placement: i64,
    pub(super) charter: Arc<Charter>,
}

impl Current {
    /// The answer to [`CHARTER`].
    pub(super) fn of(rows: &[Row], recalled: Recalled<'_>) -> Result<Self, StoreError> {
        let row = rows.first().ok_or_else(|| StoreError::Broken("the ledger lacks its charter".into()))?;
        let revision = column(row, 0)?;
        Ok(Self { revision, placement: column(row, 1)?, charter: recalled.charter(revision, column(row, 2)?)? })
    }
}

pub(super) async fn charter(pool: &Pool, memory: &Memory) -> Result<Chartered, StoreError> {
    let recalled = memory.recall();
    let rows = pool.rows(CHARTER, &[&recalled.revision]).await?;
    let Current { revision, placement, charter } = Current::of(&rows, recalled)?;
    Ok(Chartered { revision, placement, charter: Charter::clone(&charter) })
}
