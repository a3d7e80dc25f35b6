//! How long metadata is valid, and when it is renewed.

use jiff::{SignedDuration, Timestamp, Unit};

use super::name::{RoleName, Version};

/// The longest that metadata can be valid, in days: a century.
pub const MAX_DAYS: u32 = 36_500;

/// When a file that is signed at `now` expires: in so many days, in whole seconds (TUF §4.2.1, `EXPIRES`).
pub fn expires(now: Timestamp, days: u32) -> Timestamp {
    let day = SignedDuration::from_hours(24);
    let end = now.saturating_add(day * i32::try_from(days).unwrap_or(i32::MAX)).unwrap_or(Timestamp::MAX);
    end.round(Unit::Second).unwrap_or(end)
}

/// When a file is due: when a third of its life is left, or up to a sixteenth of its life earlier.
///
/// The earlier part differs by role and version, so that the thousands of bins that were signed together
/// are not all renewed together.
pub fn renew_at(role: &RoleName, version: Version, issued: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(issued).max(SignedDuration::ZERO);
    let spread = life / 16;
    let share = i32::try_from(mix(role, version) % 1024).unwrap_or(0);
    expires - life / 3 - spread * share / 1024
}

/// A number that looks random and is always the same for the same file (FNV-1a).
fn mix(role: &RoleName, version: Version) -> u64 {
    let bytes = role.as_str().bytes().chain(version.get().to_le_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_file_expires_in_whole_seconds() {
        let now = time("2026-01-01T10:20:30.4Z");
        assert_eq!(expires(now, 1), time("2026-01-02T10:20:30Z"));
        assert_eq!(expires(now, 365), time("2027-01-01T10:20:30Z"));
        assert!(expires(now, u32::MAX) > now);
    }

    #[test]
    fn a_file_is_due_when_a_third_of_its_life_is_left_and_not_with_all_others() {
        let issued = time("2026-01-01T00:00:00Z");
        let expires = expires(issued, 3);
        let due: std::collections::BTreeSet<_> = (0..1000)
            .map(|n| {
                renew_at(&RoleName::parse(&format!("bins-{n:x}")).expect("a name"), Version::FIRST, issued, expires)
            })
            .collect();
        assert!(due.len() > 400, "{} different times", due.len());
        let (first, last) = (due.first().expect("some"), due.last().expect("some"));
        assert!(*last <= time("2026-01-03T00:00:00Z"), "{last}");
        assert!(*first >= time("2026-01-02T19:30:00Z"), "{first}");
    }

    #[test]
    fn what_expired_before_it_was_signed_is_due_at_once() {
        let issued = time("2026-01-02T00:00:00Z");
        assert!(renew_at(&RoleName::timestamp(), Version::FIRST, issued, time("2026-01-01T00:00:00Z")) <= issued);
    }
}
