//! Which record is whose: an open table of one shard's drivers, by id.
//!
//! An entry is 32 bits of the id's hash beside the slot, so that a probe touches one line and almost always only the right
//! record. Entries that follow a removed one move up into its place: a table does not silt up as drivers come and go.

use hexcab_types::DriverId;

use super::records::{Records, Slot};

const EMPTY: u64 = 0;
const SIZE_FIRST: usize = 16;

/// A driver's id, mixed. All bits of it depend on all of the id's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash(u64);

impl Hash {
    /// Of this driver.
    pub fn of(driver: DriverId) -> Self {
        let (high, low) = driver.uuid().as_u64_pair();
        let (a, b) = (high ^ 0x9E37_79B9_7F4A_7C15, low ^ 0xD1B5_4A32_D192_ED03);
        let wide = u128::from(a) * u128::from(b);
        let mixed = (wide >> 64) as u64 ^ wide as u64;
        Self(mixed ^ (high.rotate_left(32) ^ low).wrapping_mul(0xFF51_AFD7_ED55_8CCD))
    }

    /// Its shard of so many, a power of two.
    pub const fn shard(self, shards: usize) -> usize {
        (self.0 >> 40) as usize & (shards - 1)
    }

    const fn tag(self) -> u32 {
        self.0 as u32
    }
}

/// One shard's drivers.
#[derive(Default)]
pub struct Roster {
    /// The tag above the slot's number and one; a power of two of them.
    table: Vec<u64>,
    len: usize,
}

impl Roster {
    /// Drivers.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The slot of a driver.
    pub fn find(&self, hash: Hash, driver: DriverId, records: &Records) -> Option<Slot> {
        if self.table.is_empty() {
            return None;
        }
        let mask = self.table.len() - 1;
        let mut at = hash.tag() as usize & mask;
        loop {
            let entry = self.table[at];
            if entry == EMPTY {
                return None;
            }
            if tag_of(entry) == hash.tag() {
                let slot = slot_of(entry);
                if records.get(slot).driver_relaxed() == driver {
                    return Some(slot);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts a driver in who is not there.
    pub fn insert(&mut self, hash: Hash, slot: Slot) {
        if (self.len + 1) * 8 > self.table.len() * 7 {
            self.grow();
        }
        self.len += 1;
        self.put(entry_of(hash.tag(), slot));
    }

    /// Takes a driver out who is there.
    pub fn remove(&mut self, hash: Hash, slot: Slot) {
        let mask = self.table.len() - 1;
        let wanted = entry_of(hash.tag(), slot);
        let mut hole = hash.tag() as usize & mask;
        while self.table[hole] != wanted {
            if self.table[hole] == EMPTY {
                return;
            }
            hole = (hole + 1) & mask;
        }
        self.len -= 1;
        let mut next = (hole + 1) & mask;
        while self.table[next] != EMPTY {
            // Whoever would still be found from his own place may move up into the hole.
            let own = tag_of(self.table[next]) as usize & mask;
            if next.wrapping_sub(own) & mask >= next.wrapping_sub(hole) & mask {
                self.table[hole] = self.table[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.table[hole] = EMPTY;
    }

    /// All slots.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.table
            .iter()
            .filter(|entry| **entry != EMPTY)
            .map(|entry| slot_of(*entry))
    }

    fn put(&mut self, entry: u64) {
        let mask = self.table.len() - 1;
        let mut at = tag_of(entry) as usize & mask;
        while self.table[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.table[at] = entry;
    }

    fn grow(&mut self) {
        let larger = vec![EMPTY; (self.table.len() * 2).max(SIZE_FIRST)];
        for entry in std::mem::replace(&mut self.table, larger) {
            if entry != EMPTY {
                self.put(entry);
            }
        }
    }
}

const fn entry_of(tag: u32, slot: Slot) -> u64 {
    ((tag as u64) << 32) | (slot.0 as u64 + 1)
}

const fn tag_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

const fn slot_of(entry: u64) -> Slot {
    Slot((entry as u32).wrapping_sub(1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use hexcab_types::Point;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        ProductNumber, Sighting, Status,
        index::{CityNumber, intake::Source},
    };

    fn driver(number: u16) -> DriverId {
        DriverId::from(Uuid::from_u128(u128::from(number) + 1))
    }

    proptest! {
        #[test]
        fn a_roster_knows_who_is_in_it(steps in proptest::collection::vec((any::<bool>(), 0..300_u16), 1..2_000)) {
            let records = Records::new();
            records.make(0..300);
            for number in 0..300_u16 {
                records.get(Slot(number.into())).write(CityNumber(0), &Sighting {
                    driver: driver(number), point: Point::from_e7(1, 1).unwrap(), recorded_ms: 1,
                    status: Status::Available, product: ProductNumber(0), heading_deg: 0, inaccurate: false,
                }, Source::Heard);
            }
            let (mut roster, mut model) = (Roster::default(), HashMap::new());
            for (come, number) in steps {
                let (id, slot) = (driver(number), Slot(number.into()));
                let hash = Hash::of(id);
                prop_assert_eq!(roster.find(hash, id, &records), model.get(&id).copied());
                match (come, model.contains_key(&id)) {
                    (true, false) => { roster.insert(hash, slot); model.insert(id, slot); }
                    (false, true) => { roster.remove(hash, slot); model.remove(&id); }
                    (true, true) | (false, false) => {}
                }
                prop_assert_eq!(roster.len(), model.len());
            }
            prop_assert_eq!(roster.slots().count(), model.len());
            for number in 0..300 {
                let id = driver(number);
                prop_assert_eq!(roster.find(Hash::of(id), id, &records), model.get(&id).copied());
            }
        }
    }

    #[test]
    fn ids_in_a_row_and_by_time_spread_over_shards_and_tags() {
        let by_time = |n: u128| {
            Uuid::from_u128((1_700_000_000_000 + n) << 80 | 7 << 76 | 2 << 62 | (n * 0x5DEE_CE66D))
        };
        let ids = (0..64_000_u128)
            .map(|n| Uuid::from_u128(n + 1))
            .chain((0..64_000).map(by_time));
        let hashes: Vec<Hash> = ids.map(|id| Hash::of(DriverId::from(id))).collect();
        for half in hashes.chunks(64_000) {
            let mut shards = [0_usize; 32];
            let mut low = vec![0_usize; 4_096];
            for hash in half {
                shards[hash.shard(32)] += 1;
                low[hash.tag() as usize % 4_096] += 1;
            }
            assert!(
                shards.iter().all(|count| (1_600..2_400).contains(count)),
                "{shards:?}"
            );
            assert!(
                low.iter().all(|count| *count < 50),
                "{:?}",
                low.iter().max()
            );
        }
    }
}
