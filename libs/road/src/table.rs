//! The answers of a small table: seconds and metres between the H3 cells of a city, in place of its street graph.
//!
//! Each cell has an *anchor*, a point on one of its streets; the table holds the drive between anchors. A drive between
//! two other points of these cells is scaled from it by great circles: a shorter one in proportion, a longer one by the
//! mean pace for what is longer. So a drive to the next cell that is 200 m long costs 200 m, not the way between centres.
//! Where the table has no entry, and within one cell, it is great circle × detour at a mean speed, both of the table.
//! Invariants: between the same two cells time and length grow with the great circle; 0 m take 0 s.
//! Does not: follow streets; its routes are straight lines.

use std::collections::HashMap;

use hexcab_types::{Cell, Point};

use crate::{
    hours::{HourFactors, HourOfWeek},
    route::{Leg, RoadTimes, Route},
};

/// H3 resolution of the table's cells: about 0.74 km² each.
pub const CELL_RESOLUTION: u8 = 8;

/// How many steps from a known cell a point may lie. Beyond, it is not on this map.
pub const COVERED_STEPS: u32 = 1;

/// Two anchors nearer than this tell little about pace: their drive is mostly the way round the block.
const MEASURABLE_M: f64 = 300.0;

/// Pace of a table that has no entry to take it from: a detour of 1.3 at 7 m/s.
const UNKNOWN_PACE: Pace = Pace {
    seconds: 1.3 / 7.0,
    metres: 1.3,
};

/// Why a table cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TableError {
    /// There are not as many entries as pairs of cells.
    #[error("{cells} cells need {} entries, not {entries}", cells * cells)]
    Size {
        /// How many cells.
        cells: usize,
        /// How many entries.
        entries: usize,
    },
    /// A cell of another resolution than [`CELL_RESOLUTION`].
    #[error("cell {0} is not of resolution 8")]
    Resolution(Cell),
    /// A cell twice.
    #[error("cell {0} stands twice")]
    Repeated(Cell),
    /// A time or length below 0 or not a number.
    #[error("entry from {from} to {to} is below 0 or not a number")]
    Entry {
        /// Origin.
        from: Cell,
        /// Destination.
        to: Cell,
    },
    /// No cell at all.
    #[error("the table has no cells")]
    Empty,
}

/// Seconds and metres of driving for each metre of great circle.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pace {
    seconds: f64,
    metres: f64,
}

/// Travel between cells, and the factors by hour.
pub struct CellTable {
    index: HashMap<Cell, usize>,
    cells: Vec<(Cell, Point)>,
    /// Row by row: from cell i to cell j at `i * cells.len() + j`.
    legs: Vec<Option<Leg>>,
    factors: HourFactors,
    mean: Pace,
    /// Pace within each cell: as to the neighbours.
    local: Vec<Pace>,
}

impl CellTable {
    /// A table of the drives between the anchors of cells, row by row, free of the hour's factor.
    ///
    /// # Errors
    /// When there are no cells, one stands twice or has another resolution, or the entries do not fit.
    pub fn new(
        cells: Vec<(Cell, Point)>,
        legs: Vec<Option<Leg>>,
        factors: HourFactors,
    ) -> Result<Self, TableError> {
        if cells.is_empty() {
            return Err(TableError::Empty);
        }
        if legs.len() != cells.len() * cells.len() {
            return Err(TableError::Size {
                cells: cells.len(),
                entries: legs.len(),
            });
        }
        let mut index = HashMap::with_capacity(cells.len());
        for (i, &(cell, _)) in cells.iter().enumerate() {
            if cell.resolution() != CELL_RESOLUTION {
                return Err(TableError::Resolution(cell));
            }
            if index.insert(cell, i).is_some() {
                return Err(TableError::Repeated(cell));
            }
        }
        let sound = |leg: &Leg| {
            [leg.seconds, leg.metres]
                .iter()
                .all(|amount| amount.is_finite() && *amount >= 0.0)
        };
        if let Some(at) = legs
            .iter()
            .position(|leg| leg.as_ref().is_some_and(|leg| !sound(leg)))
        {
            return Err(TableError::Entry {
                from: cells[at / cells.len()].0,
                to: cells[at % cells.len()].0,
            });
        }
        let mut table = Self {
            index,
            cells,
            legs,
            factors,
            mean: UNKNOWN_PACE,
            local: Vec::new(),
        };
        table.mean = table
            .pace_of(0..table.cells.len(), |_, _| true)
            .unwrap_or(UNKNOWN_PACE);
        table.local = (0..table.cells.len())
            .map(|cell| table.local_pace(cell))
            .collect();
        Ok(table)
    }

    /// The cells with their anchors, in the table's order.
    pub fn cells(&self) -> &[(Cell, Point)] {
        &self.cells
    }

    /// The factors by hour.
    pub fn factors(&self) -> &HourFactors {
        &self.factors
    }

    /// The entry between two cells' anchors, free of the hour's factor.
    pub fn between(&self, from: Cell, to: Cell) -> Option<Leg> {
        self.entry(*self.index.get(&from)?, *self.index.get(&to)?)
    }

    /// How much longer than the great circle a drive is on average.
    pub fn detour(&self) -> f64 {
        self.mean.metres
    }

    /// Mean driving speed in metres a second, at the factor 1.
    pub fn speed_m_s(&self) -> f64 {
        self.mean.metres / self.mean.seconds
    }

    fn entry(&self, from: usize, to: usize) -> Option<Leg> {
        if from == to {
            None
        } else {
            self.legs[from * self.cells.len() + to]
        }
    }

    /// Mean pace of the measurable entries from these cells that are wanted.
    fn pace_of(
        &self,
        from: impl Iterator<Item = usize>,
        wanted: impl Fn(usize, usize) -> bool,
    ) -> Option<Pace> {
        let (mut straight, mut seconds, mut metres) = (0.0, 0.0, 0.0);
        for i in from {
            for j in (0..self.cells.len()).filter(|&j| wanted(i, j)) {
                let apart = self.cells[i].1.distance_m(self.cells[j].1);
                if let Some(leg) = self.entry(i, j).filter(|_| apart >= MEASURABLE_M) {
                    straight += apart;
                    seconds += leg.seconds;
                    metres += leg.metres;
                }
            }
        }
        (straight > 0.0 && seconds > 0.0 && metres > 0.0).then(|| Pace {
            seconds: seconds / straight,
            metres: metres / straight,
        })
    }

    fn local_pace(&self, cell: usize) -> Pace {
        let near: Vec<usize> = self.cells[cell]
            .0
            .disk(1)
            .filter_map(|near| self.index.get(&near).copied())
            .collect();
        self.pace_of(std::iter::once(cell), |_, to| near.contains(&to))
            .unwrap_or(self.mean)
    }

    /// The cell of a point: known with its index, or covered by being next to a known one.
    fn place(&self, point: Point) -> Option<Option<usize>> {
        let cell = point.cell(CELL_RESOLUTION).ok()?;
        let known = self.index.get(&cell).copied();
        (known.is_some()
            || cell
                .disk(COVERED_STEPS)
                .any(|near| self.index.contains_key(&near)))
        .then_some(known)
    }

    fn leg_at_factor_one(&self, from: Point, to: Point) -> Option<Leg> {
        let (origin, destination) = (self.place(from)?, self.place(to)?);
        let straight = from.distance_m(to);
        let at = |pace: Pace| Leg {
            seconds: straight * pace.seconds,
            metres: straight * pace.metres,
        };
        let (Some(i), Some(j)) = (origin, destination) else {
            return Some(at(self.mean));
        };
        if i == j {
            return Some(at(self.local[i]));
        }
        let Some(entry) = self.entry(i, j) else {
            return Some(at(self.mean));
        };
        Some(self.scaled(entry, self.cells[i].1.distance_m(self.cells[j].1), straight))
    }

    /// The entry of two anchors `apart`, for two points `straight` metres apart.
    fn scaled(&self, entry: Leg, apart: f64, straight: f64) -> Leg {
        if straight <= apart {
            let share = if apart > 0.0 { straight / apart } else { 0.0 };
            Leg {
                seconds: entry.seconds * share,
                metres: entry.metres * share,
            }
        } else {
            let more = straight - apart;
            Leg {
                seconds: entry.seconds + more * self.mean.seconds,
                metres: entry.metres + more * self.mean.metres,
            }
        }
    }
}

impl RoadTimes for CellTable {
    fn leg(&self, from: Point, to: Point, hour: HourOfWeek) -> Option<Leg> {
        let leg = self.leg_at_factor_one(from, to)?;
        Some(Leg {
            seconds: leg.seconds * self.factors.of(hour),
            ..leg
        })
    }

    fn legs_to(&self, from: &[Point], to: Point, hour: HourOfWeek) -> Vec<Option<Leg>> {
        from.iter()
            .map(|&start| self.leg(start, to, hour))
            .collect()
    }

    fn route(&self, from: Point, to: Point, hour: HourOfWeek) -> Option<Route> {
        Some(Route::straight(from, to, self.leg(from, to, hour)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: HourOfWeek = HourOfWeek::of_day(1, 9);

    fn point(lat: f64, lon: f64) -> Point {
        Point::from_degrees(lat, lon).unwrap()
    }

    fn centre() -> Point {
        point(37.7749, -122.4194)
    }

    /// The cells round a centre, each drive 1.25 times its great circle at 10 m/s; `known` says which pairs there are.
    fn table(steps: u32, known: impl Fn(usize, usize) -> bool) -> CellTable {
        let mut cells: Vec<Cell> = centre().cell(8).unwrap().disk(steps).collect();
        cells.sort();
        let cells: Vec<_> = cells
            .into_iter()
            .map(|cell| (cell, cell.center()))
            .collect();
        let mut legs = Vec::new();
        for (i, from) in cells.iter().enumerate() {
            for (j, to) in cells.iter().enumerate() {
                let metres = from.1.distance_m(to.1) * 1.25;
                legs.push(known(i, j).then_some(Leg {
                    seconds: metres / 10.0,
                    metres,
                }));
            }
        }
        CellTable::new(cells, legs, HourFactors::flat()).unwrap()
    }

    #[test]
    fn detour_and_speed_come_from_the_table() {
        let table = table(2, |_, _| true);
        assert!((table.detour() - 1.25).abs() < 1e-9);
        assert!((table.speed_m_s() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_short_drive_into_the_next_cell_costs_its_own_length() {
        let table = table(2, |_, _| true);
        let (a, b) = (
            centre().cell(8).unwrap(),
            centre().cell(8).unwrap().disk(1).nth(3).unwrap(),
        );
        let (from, to) = (
            a.center().toward(b.center(), 0.4),
            a.center().toward(b.center(), 0.6),
        );
        assert_ne!(from.cell(8), to.cell(8));
        let leg = table.leg(from, to, HOUR).unwrap();
        assert!(
            (leg.metres - from.distance_m(to) * 1.25).abs() < 1.0,
            "{leg:?}"
        );
        assert!(
            leg.seconds < table.between(a, b).unwrap().seconds / 3.0,
            "{leg:?}"
        );
    }

    #[test]
    fn a_missing_pair_is_driven_at_the_mean_pace() {
        let table = table(2, |i, j| i + j < 20);
        let (from, to) = (table.cells()[17].1, table.cells()[18].1);
        assert_eq!(
            table.between(table.cells()[17].0, table.cells()[18].0),
            None
        );
        let leg = table.leg(from, to, HOUR).unwrap();
        assert!(
            (leg.metres - from.distance_m(to) * 1.25).abs() < 1e-6,
            "{leg:?}"
        );
    }

    #[test]
    fn an_empty_table_still_knows_a_pace() {
        let leg = table(1, |_, _| false)
            .leg(
                centre(),
                centre().toward(point(37.78, -122.4194), 0.5),
                HOUR,
            )
            .unwrap();
        assert!(leg.seconds > 0.0 && leg.seconds.is_finite());
    }

    #[test]
    fn next_to_the_table_is_covered_and_farther_is_not() {
        let table = table(1, |_, _| true);
        let near = centre().cell(8).unwrap().disk(2).last().unwrap().center();
        assert!(table.leg(near, centre(), HOUR).is_some());
        assert_eq!(table.leg(point(37.62, -122.38), centre(), HOUR), None);
        assert_eq!(table.route(centre(), point(0.0, 0.0), HOUR), None);
        assert_eq!(
            table.legs_to(&[centre(), point(0.0, 0.0)], centre(), HOUR)[1],
            None
        );
    }

    #[test]
    fn a_table_that_cannot_be_is_refused() {
        let cell = centre().cell(8).unwrap();
        let at = (cell, cell.center());
        let leg = |seconds| {
            Some(Leg {
                seconds,
                metres: 1.0,
            })
        };
        let refusal = |cells, legs| CellTable::new(cells, legs, HourFactors::flat()).err();
        assert_eq!(refusal(vec![], vec![]), Some(TableError::Empty));
        assert_eq!(
            refusal(vec![at], vec![]),
            Some(TableError::Size {
                cells: 1,
                entries: 0
            })
        );
        assert_eq!(
            refusal(vec![at, at], vec![None; 4]),
            Some(TableError::Repeated(cell))
        );
        assert_eq!(
            refusal(vec![at], vec![leg(-1.0)]),
            Some(TableError::Entry {
                from: cell,
                to: cell
            })
        );
        assert_eq!(
            refusal(vec![at], vec![leg(f64::NAN)]),
            Some(TableError::Entry {
                from: cell,
                to: cell
            })
        );
        let coarse = cell.parent(7).unwrap();
        assert_eq!(
            refusal(vec![(coarse, at.1)], vec![None]),
            Some(TableError::Resolution(coarse))
        );
    }

    #[test]
    fn an_hour_of_slow_traffic_takes_longer_but_is_no_longer() {
        let cells: Vec<_> = centre()
            .cell(8)
            .unwrap()
            .disk(1)
            .map(|cell| (cell, cell.center()))
            .collect();
        let text = HourOfWeek::all().fold("hour_of_week,time_factor\n".to_owned(), |text, hour| {
            format!(
                "{text}{},{}\n",
                hour.get(),
                if hour == HOUR { 1.5 } else { 1.0 }
            )
        });
        let factors =
            HourFactors::read(crate::rows::Rows::from_text("speed.csv", &text).unwrap()).unwrap();
        let table = CellTable::new(
            cells.clone(),
            vec![None; cells.len() * cells.len()],
            factors,
        )
        .unwrap();
        let leg = |hour| table.leg(cells[0].1, cells[1].1, hour).unwrap();
        assert!((leg(HOUR).seconds / leg(HourOfWeek::of_day(0, 0)).seconds - 1.5).abs() < 1e-9);
        assert_eq!(leg(HOUR).metres, leg(HourOfWeek::of_day(0, 0)).metres);
    }

    proptest! {
        #[test]
        fn times_are_finite_and_routes_agree_with_legs(
            a in (37.77_f64..37.78, -122.43_f64..-122.41),
            b in (37.77_f64..37.78, -122.43_f64..-122.41),
        ) {
            let table = table(2, |i, j| (i * 7 + j) % 3 != 0);
            let (from, to) = (point(a.0, a.1), point(b.0, b.1));
            let leg = table.leg(from, to, HOUR).unwrap();
            prop_assert!(leg.seconds.is_finite() && leg.seconds >= 0.0 && leg.metres >= from.distance_m(to) * 0.99);
            prop_assert_eq!(table.route(from, to, HOUR).unwrap().leg(), leg);
            prop_assert_eq!(table.legs_to(&[from], to, HOUR), vec![Some(leg)]);
        }
    }
}
