//! The lattice that the index is made of: squares of latitude and longitude, in units of 1e-7 degrees.
//!
//! A *block* (2.9 km of latitude) is 8 × 8 *tiles* (365 m), a tile is 1 to 32 × 32 *buckets* (down to 11 m), as it is
//! crowded. Which square a point is in is a shift, not a projection (2 ns; an H3 cell takes 400), and the squares round a
//! point are bounded exactly: a circle on the sphere lies within a span of latitude and a span of longitude
//! ([`Area::round`]). At the poles the second is all longitudes; at the antimeridian it is in two parts.
//!
//! Does not: know drivers.

use hexcab_types::Point;

use super::sphere::UNITS_PER_RADIAN;

/// Squares below this many bits of a coordinate are tiles.
pub const TILE_BITS: u32 = 15;
/// Squares below this many bits of a coordinate are blocks.
pub const BLOCK_BITS: u32 = 18;
/// A tile is divided in two along each side at most this often.
pub const LEVEL_MAX: u8 = 5;

const SIDE_BITS: u32 = BLOCK_BITS - TILE_BITS;
/// Tiles along the side of a block.
const SIDE: u32 = 1 << SIDE_BITS;
const ROW_MAX: u32 = 1_800_000_000;
/// Columns all round: the last is followed by the first.
const COLUMNS: u32 = 3_600_000_000;

/// A point by row, counted from the south pole, and column, counted eastward from the antimeridian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    row: u32,
    column: u32,
}

/// A tile: [`Spot`] without its last bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileKey {
    row: u32,
    column: u32,
}

/// A block: [`Spot`] without its last bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockKey {
    row: u16,
    column: u16,
}

impl From<Point> for Spot {
    fn from(point: Point) -> Self {
        let column = point.lon_e7().wrapping_add(1_800_000_000) as u32;
        Self {
            row: point.lat_e7().wrapping_add(900_000_000) as u32,
            // 180° east is 180° west.
            column: if column == COLUMNS { 0 } else { column },
        }
    }
}

impl Spot {
    /// The tile it is in.
    pub const fn tile(self) -> TileKey {
        TileKey {
            row: self.row >> TILE_BITS,
            column: self.column >> TILE_BITS,
        }
    }

    /// Its bucket in its tile, when that is divided `level` times.
    pub const fn bucket(self, level: u8) -> usize {
        let bits = TILE_BITS - level as u32;
        let mask = (1 << level) - 1;
        ((((self.row >> bits) & mask) << level) | ((self.column >> bits) & mask)) as usize
    }
}

impl TileKey {
    /// The block it is in.
    pub const fn block(self) -> BlockKey {
        BlockKey {
            row: (self.row >> SIDE_BITS) as u16,
            column: (self.column >> SIDE_BITS) as u16,
        }
    }

    /// Its number in its block.
    pub const fn in_block(self) -> usize {
        (((self.row % SIDE) << SIDE_BITS) | (self.column % SIDE)) as usize
    }
}

impl BlockKey {
    /// The tile of this number.
    pub const fn tile(self, number: u32) -> TileKey {
        TileKey {
            row: ((self.row as u32) << SIDE_BITS) | (number >> SIDE_BITS),
            column: ((self.column as u32) << SIDE_BITS) | (number % SIDE),
        }
    }
}

/// Inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: u32,
    last: u32,
}

impl Span {
    const fn shifted(self, bits: u32) -> Self {
        Self {
            first: self.first >> bits,
            last: self.last >> bits,
        }
    }

    const fn len(self) -> usize {
        (self.last - self.first) as usize + 1
    }

    /// What it has in common with the square of `bits` bits and this number.
    fn within(self, number: u32, bits: u32) -> Option<Self> {
        let first = number << bits;
        let last = first + ((1 << bits) - 1);
        (self.first <= last && first <= self.last).then(|| Self {
            first: self.first.max(first),
            last: self.last.min(last),
        })
    }
}

/// A part of the lattice: rows, and columns in one part or in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    rows: Span,
    columns: Span,
    /// Beyond the antimeridian.
    more: Option<Span>,
}

/// The buckets of a tile that an area reaches: `rows` × `columns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    rows: std::ops::RangeInclusive<u32>,
    columns: std::ops::RangeInclusive<u32>,
    level: u8,
}

impl Area {
    /// The smallest area that holds everything within this angle of a point.
    pub fn round(center: Point, angle: f64) -> Self {
        let Spot { row, column } = center.into();
        let up = reach(angle);
        let rows = Span {
            first: row.saturating_sub(up),
            last: row.saturating_add(up).min(ROW_MAX),
        };
        let all_round = Self {
            rows,
            columns: Span {
                first: 0,
                last: COLUMNS - 1,
            },
            more: None,
        };
        if rows.first == 0 || rows.last == ROW_MAX {
            return all_round;
        }
        // The meridian that touches the circle: sin(width) = sin(angle) / cos(latitude).
        let sine = angle.sin() / center.lat().to_radians().cos();
        if sine >= 1.0 || !sine.is_finite() {
            return all_round;
        }
        let aside = reach(sine.asin());
        if aside >= COLUMNS / 2 {
            return all_round;
        }
        let (first, last) = (
            i64::from(column) - i64::from(aside),
            i64::from(column) + i64::from(aside),
        );
        let span = |first: i64, last: i64| Span {
            first: first as u32,
            last: last as u32,
        };
        let round = i64::from(COLUMNS);
        let (columns, more) = if first < 0 {
            (span(0, last), Some(span(first + round, round - 1)))
        } else if last >= round {
            (span(first, round - 1), Some(span(0, last - round)))
        } else {
            (span(first, last), None)
        };
        Self {
            rows,
            columns,
            more,
        }
    }

    fn parts(&self) -> impl Iterator<Item = Span> + Clone + use<> {
        std::iter::once(self.columns).chain(self.more)
    }

    /// How many blocks it reaches.
    pub fn blocks_len(&self) -> usize {
        let columns: usize = self
            .parts()
            .map(|part| part.shifted(BLOCK_BITS).len())
            .sum();
        self.rows.shifted(BLOCK_BITS).len() * columns
    }

    /// The blocks it reaches. One that both parts reach comes twice; [`Self::tiles`] says which of its tiles.
    pub fn blocks(&self) -> impl Iterator<Item = BlockKey> + use<> {
        let rows = self.rows.shifted(BLOCK_BITS);
        let all = self.parts();
        (rows.first..=rows.last).flat_map(move |row| {
            all.clone().flat_map(move |part| {
                let part = part.shifted(BLOCK_BITS);
                (part.first..=part.last).map(move |column| BlockKey {
                    row: row as u16,
                    column: column as u16,
                })
            })
        })
    }

    /// The tiles of a block that it reaches, as bits.
    pub fn tiles(&self, block: BlockKey) -> u64 {
        let Some(rows) = self.rows.within(block.row.into(), BLOCK_BITS) else {
            return 0;
        };
        let rows = rows.shifted(TILE_BITS);
        let mut row_bits = 0_u64;
        for part in self.parts() {
            if let Some(columns) = part.within(block.column.into(), BLOCK_BITS) {
                let columns = columns.shifted(TILE_BITS);
                let ones = (1_u64 << columns.len()) - 1;
                row_bits |= ones << (columns.first % SIDE);
            }
        }
        (rows.first..=rows.last).fold(0, |bits, row| bits | (row_bits << ((row % SIDE) * SIDE)))
    }

    /// The buckets of a tile that it reaches.
    pub fn buckets(&self, tile: TileKey, level: u8) -> Option<Buckets> {
        let bits = TILE_BITS - u32::from(level);
        let mask = (1 << level) - 1;
        let cut = |span: Span| {
            let span = span.shifted(bits);
            (span.first & mask)..=(span.last & mask)
        };
        let rows = self.rows.within(tile.row, TILE_BITS)?;
        let mut columns: Option<Span> = None;
        for part in self
            .parts()
            .filter_map(|part| part.within(tile.column, TILE_BITS))
        {
            // Two parts in one tile: all round the pole but for a sliver, which is read as well.
            columns = Some(columns.map_or(part, |known| Span {
                first: known.first.min(part.first),
                last: known.last.max(part.last),
            }));
        }
        Some(Buckets {
            rows: cut(rows),
            columns: cut(columns?),
            level,
        })
    }
}

impl Buckets {
    /// Their numbers.
    pub fn numbers(&self) -> impl Iterator<Item = usize> + use<> {
        let (columns, level) = (self.columns.clone(), self.level);
        self.rows.clone().flat_map(move |row| {
            columns
                .clone()
                .map(move |column| ((row << level) | column) as usize)
        })
    }

    /// Whether a bucket is among them.
    pub fn contains(&self, number: usize) -> bool {
        let number = number as u32;
        self.rows.contains(&(number >> self.level))
            && self.columns.contains(&(number & ((1 << self.level) - 1)))
    }
}

/// An angle in units of 1e-7 degrees, rounded up.
fn reach(angle: f64) -> u32 {
    (angle * UNITS_PER_RADIAN).ceil() as u32 + 1
}

#[cfg(test)]
mod tests;
