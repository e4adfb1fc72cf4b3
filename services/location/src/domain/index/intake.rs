//! A batch of sightings into the index.
//!
//! A batch is taken shard by shard, in two turns: first every driver's record is looked up, then every sighting is put in.
//! The look-ups of a turn do not depend on each other, so the processor waits for many cold lines at once, not for one
//! after another; at a million drivers that is half of the time. Sightings of one driver keep their order.

use hexcab_types::Timestamp;

use super::{
    CityNumber, FleetIndex, SHARDS, Shard, Verdict,
    lattice::Spot,
    oldest_kept_ms,
    records::Slot,
    roster::Hash,
    tiles::{self, Blocks},
};
use crate::domain::{Sighting, Status, Track};

/// A batch, and room to work on it; to be used again for the next.
#[derive(Default)]
pub struct Batch {
    entries: Vec<Entry>,
    /// Entries by shard.
    order: Vec<u32>,
    slots: Vec<Option<Slot>>,
}

struct Entry {
    hash: Hash,
    /// In the batch as it came, where some were refused.
    number: u32,
    seen: Sighting,
}

/// Where a sighting is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The driver's app: it is to be kept, and is part of his track.
    Heard,
    /// What another replica kept, or this one before it was started anew.
    Kept,
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Sightings that were the newest of their drivers.
    pub accepted: u32,
    /// Others that were late or repeated.
    pub stale: u32,
    /// The numbers of those for whom there was no room.
    pub full: Vec<u32>,
}

impl Batch {
    /// Adds a sighting, which is to be known by this number.
    pub fn push(&mut self, number: u32, seen: Sighting) {
        self.entries.push(Entry {
            hash: Hash::of(seen.driver),
            number,
            seen,
        });
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Puts `order` in order of shards; returns where each shard's part begins, and the end.
    fn sort(&mut self) -> [usize; SHARDS + 1] {
        let mut starts = [0; SHARDS + 1];
        for entry in &self.entries {
            starts[entry.hash.shard(SHARDS) + 1] += 1;
        }
        for shard in 0..SHARDS {
            starts[shard + 1] += starts[shard];
        }
        self.order.resize(self.entries.len(), 0);
        let mut next = starts;
        for (at, entry) in (0..).zip(&self.entries) {
            let place = &mut next[entry.hash.shard(SHARDS)];
            self.order[*place] = at;
            *place += 1;
        }
        starts
    }
}

impl FleetIndex {
    /// Takes a batch in that was heard.
    pub fn take(&self, city: CityNumber, batch: &mut Batch, now: Timestamp) -> Taken {
        self.take_from(Source::Heard, city, batch, now)
    }

    /// Takes a batch in.
    pub fn take_from(
        &self,
        source: Source,
        city: CityNumber,
        batch: &mut Batch,
        now: Timestamp,
    ) -> Taken {
        let mut taken = Taken::default();
        let oldest_ms = oldest_kept_ms(now);
        let starts = batch.sort();
        for (number, part) in starts.windows(2).enumerate() {
            let part = &batch.order[part[0]..part[1]];
            if part.is_empty() {
                continue;
            }
            let mut shard = self.shards[number].lock();
            let entries = || part.iter().map(|at| &batch.entries[*at as usize]);
            batch.slots.clear();
            batch.slots.extend(entries().map(|entry| {
                shard
                    .roster
                    .find(entry.hash, entry.seen.driver, &self.records)
            }));
            let mut blocks = Open::new(self, city, source);
            for (entry, slot) in entries().zip(&batch.slots) {
                let verdict = if entry.seen.recorded_ms < oldest_ms {
                    Verdict::Stale
                } else {
                    self.put(&mut shard, &mut blocks, entry, *slot)
                };
                match verdict {
                    Verdict::Accepted => taken.accepted += 1,
                    Verdict::Stale => taken.stale += 1,
                    Verdict::Full => taken.full.push(entry.number),
                }
            }
        }
        taken
    }

    /// Takes one sighting in.
    pub fn report(&self, city: CityNumber, seen: Sighting, now: Timestamp) -> Verdict {
        let mut batch = Batch::default();
        batch.push(0, seen);
        let taken = self.take(city, &mut batch, now);
        match (taken.accepted, taken.stale) {
            (1, _) => Verdict::Accepted,
            (_, 1) => Verdict::Stale,
            _ => Verdict::Full,
        }
    }

    fn put(
        &self,
        shard: &mut Shard,
        blocks: &mut Open<'_>,
        Entry { hash, seen, .. }: &Entry,
        slot: Option<Slot>,
    ) -> Verdict {
        // One who was not known at the first look may have come in this very batch.
        let known = slot.or_else(|| shard.roster.find(*hash, seen.driver, &self.records));
        let Some(slot) = known else {
            let Some(slot) = self.new_slot(shard) else {
                return Verdict::Full;
            };
            shard.roster.insert(*hash, slot);
            self.come(shard, blocks, slot, seen);
            track(shard, slot, None, seen, blocks.source);
            return Verdict::Accepted;
        };
        let record = self.records.get(slot);
        let (facts, point) = record.own_facts();
        if facts.recorded_ms() >= seen.recorded_ms {
            return Verdict::Stale;
        }
        let (from, to) = (Spot::from(point), Spot::from(seen.point));
        let former = record.city_relaxed();
        track(
            shard,
            slot,
            Some(Status::from_bits(facts.status_bits())),
            seen,
            blocks.source,
        );
        if former == blocks.city && from.tile() == to.tile() {
            let mut first = false;
            let source = blocks.source;
            let tile = blocks.get(to).tile(to.tile());
            tile.step(from, to, slot, || {
                first = record.write(former, seen, source);
            });
            if first {
                shard.changed.push(slot);
            }
            return Verdict::Accepted;
        }
        // Into the new place before out of the old one: a search in between finds him twice, and keeps one.
        self.come(shard, blocks, slot, seen);
        blocks.leave(former, from, slot);
        Verdict::Accepted
    }

    fn come(&self, shard: &mut Shard, blocks: &mut Open<'_>, slot: Slot, seen: &Sighting) {
        let (spot, city, source) = (Spot::from(seen.point), blocks.city, blocks.source);
        let mut first = false;
        blocks.get(spot).arrive(spot, slot, &self.records, || {
            first = self.records.get(slot).write(city, seen, source);
        });
        if first {
            shard.changed.push(slot);
        }
    }
}

fn track(shard: &mut Shard, slot: Slot, before: Option<Status>, seen: &Sighting, source: Source) {
    if source == Source::Heard && Track::covers(seen.status) {
        let track = shard.tracks.entry(slot).or_default();
        track.add(before, seen);
    }
}

/// A city that sightings are put into. Its blocks are held for reading as long as none is missing.
struct Open<'a> {
    index: &'a FleetIndex,
    city: CityNumber,
    source: Source,
    blocks: Option<Blocks<'a>>,
}

impl<'a> Open<'a> {
    fn new(index: &'a FleetIndex, city: CityNumber, source: Source) -> Self {
        Self {
            index,
            city,
            source,
            blocks: None,
        }
    }

    /// The block of a spot, which is added when it is missing.
    fn get(&mut self, spot: Spot) -> &tiles::Block {
        let key = spot.tile().block();
        let place = self.index.place(self.city);
        while self
            .blocks
            .as_ref()
            .is_none_or(|blocks| blocks.get(key).is_none())
        {
            // Not while it is held for reading. An empty one may be dropped before it is used: then once more.
            if self.blocks.take().is_some() {
                place.add_block(key);
            }
            self.blocks = Some(place.blocks());
        }
        let blocks = self.blocks.as_ref().expect("held by now");
        blocks.get(key).expect("held, so it cannot be dropped")
    }

    /// Takes a slot out of a place of this city or another one.
    fn leave(&mut self, city: CityNumber, spot: Spot, slot: Slot) {
        if city != self.city {
            self.blocks = None; // one directory at a time
            let blocks = self.index.place(city).blocks();
            if let Some(block) = blocks.get(spot.tile().block()) {
                block.leave(spot, slot, &self.index.records);
            }
        } else {
            let index = self.index;
            self.get(spot).leave(spot, slot, &index.records);
        }
    }
}
