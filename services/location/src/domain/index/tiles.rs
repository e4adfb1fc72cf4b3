//! One city's drivers by place: slots in buckets of tiles, under a lock for each tile.
//!
//! A tile is divided as it fills, so that a bucket holds about ten drivers, a stadium's too, and grows together again as
//! it empties. Only a move into another bucket changes a tile; a driver who moves within his bucket does not.
//!
//! A search reads one tile after another while drivers move. Who moves into a tile already read, out of one not yet read,
//! would be missed; so a tile counts the *arrivals* in it, and a search reads tiles whose count has changed once more.
//!
//! Locks: the directory of blocks is held for reading while any of its tiles is used, and written only to add blocks or to
//! drop empty ones. So a block that is dropped has no user.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use hexcab_types::ProductId;
use parking_lot::{RwLock, RwLockReadGuard};

use super::{
    lattice::{Area, BlockKey, LEVEL_MAX, Spot, TileKey},
    records::{Records, Slot},
};

/// Drivers in a bucket on average, above which a tile is divided.
const CROWDED: usize = 12;
/// Buckets for each driver, above which a tile is put together.
const SPARSE: usize = 1;
/// Slots that lie in a bucket itself: with them it is one cache line.
const IN_BUCKET: usize = 13;

/// One city.
pub struct City {
    pub id: String,
    pub products: Vec<ProductId>,
    blocks: RwLock<Directory>,
}

type Directory = HashMap<BlockKey, Box<Block>, BuildHasherDefault<BlockHasher>>;

/// The blocks of a city, none of which goes away meanwhile.
pub struct Blocks<'a>(RwLockReadGuard<'a, Directory>);

/// 8 × 8 tiles.
pub struct Block {
    key: BlockKey,
    /// Which tiles have anybody in them. Changed under the tile's lock.
    occupied: AtomicU64,
    tiles: [OnceLock<Box<Tile>>; 64],
}

/// The drivers in a square of the lattice.
#[derive(Default)]
pub struct Tile {
    buckets: RwLock<Buckets>,
    arrivals: AtomicU64,
}

/// A tile, divided.
pub struct Buckets {
    level: u8,
    len: usize,
    buckets: Box<[Bucket]>,
}

/// The drivers in a square of a tile. At a million of them each move waits for memory, so a bucket is one line of it;
/// hardly one in ten has more than it holds.
#[derive(Default)]
#[repr(align(64))]
#[expect(
    clippy::box_collection,
    reason = "one word here, not three: it is rarely there"
)]
struct Bucket {
    len: u32,
    slots: [Slot; IN_BUCKET],
    more: Option<Box<Vec<Slot>>>,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            level: 0,
            len: 0,
            buckets: Box::new([Bucket::default()]),
        }
    }
}

impl City {
    pub fn new(id: String, products: Vec<ProductId>) -> Self {
        Self {
            id,
            products,
            blocks: RwLock::default(),
        }
    }

    /// Its blocks. Not to be asked for twice at once by one thread.
    pub fn blocks(&self) -> Blocks<'_> {
        Blocks(self.blocks.read())
    }

    /// Adds a block, unless it is there.
    pub fn add_block(&self, key: BlockKey) {
        let mut blocks = self.blocks.write();
        blocks.entry(key).or_insert_with(|| {
            Box::new(Block {
                key,
                occupied: AtomicU64::new(0),
                tiles: [const { OnceLock::new() }; 64],
            })
        });
    }

    /// Drops the blocks with nobody in them.
    pub fn drop_empty_blocks(&self) {
        let mut blocks = self.blocks.write();
        blocks.retain(|_, block| block.occupied.load(Ordering::Relaxed) != 0);
        blocks.shrink_to_fit();
    }
}

impl Blocks<'_> {
    /// The block of this key.
    pub fn get(&self, key: BlockKey) -> Option<&Block> {
        self.0.get(&key).map(AsRef::as_ref)
    }

    /// Shows the blocks that an area may reach.
    pub fn within<'a>(&'a self, area: &Area, mut show: impl FnMut(&'a Block)) {
        if area.blocks_len() > self.0.len() {
            self.0.values().for_each(|block| show(block));
        } else {
            area.blocks().filter_map(|key| self.get(key)).for_each(show);
        }
    }
}

impl Block {
    /// A tile of it, if anybody was ever in it.
    pub fn known(&self, key: TileKey) -> Option<&Tile> {
        self.tiles[key.in_block()].get().map(AsRef::as_ref)
    }

    /// A tile of it.
    pub fn tile(&self, key: TileKey) -> &Tile {
        self.tiles[key.in_block()].get_or_init(Box::default)
    }

    /// Its tiles with somebody in them that an area reaches, as bits.
    pub fn occupied_in(&self, area: &Area) -> u64 {
        self.occupied.load(Ordering::Acquire) & area.tiles(self.key)
    }

    /// Shows its tiles of these bits.
    pub fn tiles_of<'a>(&'a self, mut bits: u64, mut show: impl FnMut(TileKey, &'a Tile)) {
        while bits != 0 {
            let number = bits.trailing_zeros();
            bits &= bits - 1;
            if let Some(tile) = self.tiles[number as usize].get() {
                show(self.key.tile(number), tile);
            }
        }
    }

    /// Puts a slot where the spot is; `moved` says to others that it is there, before anyone can see it leave another
    /// place.
    pub fn arrive(&self, spot: Spot, slot: Slot, records: &Records, moved: impl FnOnce()) {
        let key = spot.tile();
        let tile = self.tile(key);
        let mut buckets = tile.buckets.write();
        buckets.insert(spot, slot);
        self.occupied
            .fetch_or(1 << key.in_block(), Ordering::AcqRel);
        moved();
        buckets.divide_if_crowded(records);
        // Under the lock: who reads the tile after this sees the driver, who read it before sees the count change.
        tile.arrivals.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes a slot away that is where the spot was.
    pub fn leave(&self, spot: Spot, slot: Slot, records: &Records) {
        let key = spot.tile();
        let mut buckets = self.tile(key).buckets.write();
        buckets.remove(spot, slot);
        if buckets.len == 0 {
            self.occupied
                .fetch_and(!(1 << key.in_block()), Ordering::AcqRel);
        }
        buckets.merge_if_sparse(records);
    }
}

impl Tile {
    /// Arrivals so far.
    pub fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Acquire)
    }

    /// Drivers in it.
    pub fn len(&self) -> usize {
        self.buckets.read().len
    }

    /// Moves a slot from spot to spot, both in this tile; `moved` as in [`Block::arrive`].
    pub fn step(&self, from: Spot, to: Spot, slot: Slot, moved: impl FnOnce()) {
        {
            let buckets = self.buckets.read();
            if from.bucket(buckets.level) == to.bucket(buckets.level) {
                // Under the lock, so that nobody divides the tile between the look and the move.
                return moved();
            }
        }
        let mut buckets = self.buckets.write();
        if from.bucket(buckets.level) != to.bucket(buckets.level) {
            buckets.remove(from, slot);
            buckets.insert(to, slot);
            self.arrivals.fetch_add(1, Ordering::AcqRel);
        }
        moved();
    }

    /// The slots in the buckets that `area` reaches and `but` does not; returns the arrivals up to then.
    pub fn read(&self, key: TileKey, area: &Area, but: Option<&Area>, into: &mut Vec<Slot>) -> u64 {
        let buckets = self.buckets.read();
        let arrivals = self.arrivals.load(Ordering::Acquire);
        let Some(wanted) = area.buckets(key, buckets.level) else {
            return arrivals;
        };
        let known = but.and_then(|but| but.buckets(key, buckets.level));
        for number in wanted.numbers() {
            if known.as_ref().is_none_or(|known| !known.contains(number)) {
                buckets.buckets[number].read(into);
            }
        }
        arrivals
    }
}

impl Buckets {
    fn insert(&mut self, spot: Spot, slot: Slot) {
        self.len += 1;
        self.buckets[spot.bucket(self.level)].push(slot);
    }

    fn remove(&mut self, spot: Spot, slot: Slot) {
        let expected = spot.bucket(self.level);
        // One who has just moved on may have been put elsewhere when the tile was divided.
        let elsewhere = (0..self.buckets.len()).filter(|number| *number != expected);
        for number in std::iter::once(expected).chain(elsewhere) {
            if self.buckets[number].remove(slot) {
                self.len -= 1;
                return;
            }
        }
    }

    fn divide_if_crowded(&mut self, records: &Records) {
        while self.len > CROWDED * self.buckets.len() && self.level < LEVEL_MAX {
            self.divide(self.level + 1, records);
        }
    }

    fn merge_if_sparse(&mut self, records: &Records) {
        while self.level > 0 && self.len * SPARSE < self.buckets.len() {
            self.divide(self.level - 1, records);
        }
    }

    fn divide(&mut self, level: u8, records: &Records) {
        let buckets = std::iter::repeat_with(Bucket::default).take(1 << (2 * level));
        let former = std::mem::replace(&mut self.buckets, buckets.collect());
        self.level = level;
        let mut slots = Vec::with_capacity(self.len);
        former.iter().for_each(|bucket| bucket.read(&mut slots));
        for slot in slots {
            let (_, point) = records.get(slot).own_facts();
            self.buckets[Spot::from(point).bucket(level)].push(slot);
        }
    }
}

impl Bucket {
    fn here(&self) -> &[Slot] {
        &self.slots[..self.len as usize]
    }

    fn read(&self, into: &mut Vec<Slot>) {
        into.extend_from_slice(self.here());
        if let Some(more) = &self.more {
            into.extend_from_slice(more);
        }
    }

    fn push(&mut self, slot: Slot) {
        match self.slots.get_mut(self.len as usize) {
            Some(free) => {
                *free = slot;
                self.len += 1;
            }
            None => self.more.get_or_insert_default().push(slot),
        }
    }

    /// Whether it was there.
    fn remove(&mut self, slot: Slot) -> bool {
        if let Some(at) = self.here().iter().position(|known| *known == slot) {
            self.slots[at] = self.spare().unwrap_or_else(|| {
                self.len -= 1;
                self.slots[self.len as usize]
            });
            return true;
        }
        let Some(more) = &mut self.more else {
            return false;
        };
        let Some(at) = more.iter().position(|known| *known == slot) else {
            return false;
        };
        more.swap_remove(at);
        if more.is_empty() {
            self.more = None;
        }
        true
    }

    /// One of those who are not in the line.
    fn spare(&mut self) -> Option<Slot> {
        let more = self.more.as_mut()?;
        let slot = more.pop();
        if more.is_empty() {
            self.more = None;
        }
        slot
    }
}

/// Mixes the one number that a block's key is.
#[derive(Default)]
pub struct BlockHasher(u64);

impl Hasher for BlockHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u16((*byte).into()));
    }

    fn write_u16(&mut self, part: u16) {
        self.0 = (self.0.rotate_left(16) ^ u64::from(part)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 32;
    }
}

#[cfg(test)]
mod tests;
