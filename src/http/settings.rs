//! `/config`: the settings of the repository.

use super::{
    body::{Bound, Cursor},
    limits::MAX_EXPIRATION_DAYS,
};
use crate::task::{ExpirationSettings, UpdateSettings};

/// Reads new expirations. Roles that the repository does not have are accepted here and reported by the worker.
pub fn update(at: &Cursor<'_>) -> Option<UpdateSettings> {
    let settings = at.model()?.required("settings", |at| {
        let expiration = at
            .model()?
            .required("expiration", |at| at.each_member(|name, at| Some((name.to_owned(), expiration(at)?))))?;
        Some(ExpirationSettings { expiration: expiration.into_iter().collect() })
    })?;
    Some(UpdateSettings { settings })
}

/// Reads for how many days a role is valid.
pub(super) fn expiration(at: &Cursor<'_>) -> Option<u32> {
    let days = at.integer()?;
    at.bound(days, Bound::GreaterThan(0))?;
    at.limit(days, Bound::AtMost(MAX_EXPIRATION_DAYS))?;
    u32::try_from(days).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::body::read, *};

    #[test]
    fn expirations_are_positive_and_bounded() {
        let update = |days| read(&json!({"settings": {"expiration": {"bins": days}}}), update);
        let read = update(json!("7")).expect("accepted");
        assert_eq!(read.settings.expiration.get("bins"), Some(&7));
        for (days, kind) in [(0, "greater_than"), (-1, "greater_than"), (MAX_EXPIRATION_DAYS + 1, "less_than_equal")] {
            let told = update(json!(days)).expect_err("refused");
            assert_eq!(json!(told)[0]["type"], kind, "{days}");
            assert_eq!(json!(told)[0]["loc"], json!(["body", "settings", "expiration", "bins"]));
        }
    }
}
