//! Who is in an H3 cell: the squares round it are read, and each driver's own cell decides.

use hexcab_types::{Cell, DriverId};

use super::{
    CityNumber, FleetIndex, SHARDS, lattice::Area, records::Slot, roster::Hash, sphere::angle_of_m,
};
use crate::domain::{HOME_RESOLUTION, Sighting};

/// Records looked at in one step.
const STEP: usize = 512;

/// Those who may be in a cell, still to be looked at.
#[derive(Debug, Default)]
pub struct Found(Vec<Slot>);

impl Found {
    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FleetIndex {
    /// Adds those who may be in a cell, of r9 or coarser.
    pub fn find_in(&self, city: CityNumber, cell: Cell, found: &mut Found) {
        let area = Area::round(cell.center(), angle_of_m(reach_m(cell)));
        self.place(city).blocks().within(&area, |block| {
            block.tiles_of(block.occupied_in(&area), |key, tile| {
                tile.read(key, &area, None, &mut found.0);
            });
        });
    }

    /// Shows some of them, with the r9 cell that each is in.
    pub fn show_some(&self, found: &mut Found, mut show: impl FnMut(CityNumber, &Sighting, Cell)) {
        let from = found.0.len().saturating_sub(STEP);
        for slot in found.0.drain(from..) {
            let record = self.records.get(slot);
            if let Some((city, seen)) = record.read() {
                show(city, &seen, self.homes.cell_of(seen.point, record.home()));
            }
        }
    }

    /// The newest sighting of a driver, his city, and the r9 cell he is in.
    pub fn whereabouts(&self, driver: DriverId) -> Option<(CityNumber, Sighting, Cell)> {
        let hash = Hash::of(driver);
        let shard = self.shards[hash.shard(SHARDS)].lock();
        let record = self
            .records
            .get(shard.roster.find(hash, driver, &self.records)?);
        let (city, seen) = record.read()?;
        Some((city, seen, self.homes.cell_of(seen.point, record.home())))
    }
}

/// How far from a cell's centre a driver may be whose r9 cell is in it: to its farthest corner, and a child's width more,
/// as children reach over their parent's border.
fn reach_m(cell: Cell) -> f64 {
    let center = cell.center();
    let corner_m = cell
        .h3()
        .boundary()
        .iter()
        .filter_map(|corner| hexcab_types::Point::from_degrees(corner.lat(), corner.lng()).ok())
        .map(|corner| center.distance_m(corner))
        .fold(0.0, f64::max);
    if cell.resolution() == HOME_RESOLUTION {
        corner_m + 1.0
    } else {
        corner_m * 1.4
    }
}
