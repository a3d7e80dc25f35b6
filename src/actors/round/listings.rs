//! What roles list, as a publisher remembers it: as many of them as there is room for.

use std::{collections::BTreeMap, sync::Arc};

use crate::tuf::{
    listing::Listing,
    name::{RoleName, Version},
};

/// The most that is remembered: more than a million artifacts. A round of bins that hold so many takes as much memory for their files.
const ROOM: usize = 256 * 1024 * 1024;

/// What roles list in a certain version of each. Other versions of a role, which perhaps another worker has published, are not mistaken for it.
///
/// When there is no room those that are there stay: changes come to all bins alike, so that none is worth more than another.
#[derive(Debug, Default)]
pub(super) struct Listings {
    bytes: usize,
    kept: BTreeMap<RoleName, (Version, Arc<Listing>)>,
}

impl Listings {
    /// Takes out what this version of a role lists, if it is known.
    pub(super) fn take(&mut self, role: &RoleName, version: Version) -> Option<Arc<Listing>> {
        let (known, listing) = self.kept.remove(role)?;
        self.bytes -= listing.bytes();
        (known == version).then_some(listing)
    }

    /// Remembers what this version of a role lists, if there is room.
    pub(super) fn put(&mut self, role: RoleName, version: Version, listing: Arc<Listing>) {
        let old = self.kept.get(&role).map_or(0, |(_, old)| old.bytes());
        if self.bytes - old + listing.bytes() > ROOM {
            self.take(&role, version);
            return;
        }
        self.bytes = self.bytes - old + listing.bytes();
        self.kept.insert(role, (version, listing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::{
        info::Info,
        sample::{path, role, version},
    };

    fn of_bytes(bytes: usize) -> Arc<Listing> {
        let info = Info::of(&"x".repeat(bytes)).expect("information");
        Arc::new(Listing::of(&[(path("a"), info)]).expect("plain"))
    }

    #[test]
    fn another_version_is_unknown_and_forgotten() {
        let mut listings = Listings::default();
        listings.put(role("bins-0"), version(2), of_bytes(1));
        assert_eq!(listings.take(&role("bins-0"), version(3)), None);
        assert_eq!(listings.take(&role("bins-0"), version(2)), None);
        listings.put(role("bins-0"), version(3), of_bytes(1));
        listings.put(role("bins-0"), version(4), of_bytes(2));
        assert_eq!(listings.take(&role("bins-0"), version(4)), Some(of_bytes(2)));
        assert_eq!(listings.bytes, 0);
    }

    #[test]
    fn there_is_room_for_so_much() {
        let mut listings = Listings::default();
        listings.put(role("bins-0"), version(1), of_bytes(ROOM / 2));
        listings.put(role("bins-1"), version(1), of_bytes(ROOM / 3));
        listings.put(role("bins-2"), version(1), of_bytes(ROOM / 4));
        assert_eq!(listings.take(&role("bins-2"), version(1)), None);
        // What outgrows the room is not mistaken for what it was.
        listings.put(role("bins-1"), version(2), of_bytes(ROOM));
        assert_eq!(listings.take(&role("bins-1"), version(1)), None);
        assert!(listings.take(&role("bins-0"), version(1)).is_some());
        assert_eq!(listings.bytes, 0);
    }
}
