//! The rules of pricing: integers in, integers out.
//!
//! - [`fare`] what a ride costs, line by line
//! - [`quote`] a price for one ride, and why there is none
//! - [`surge`] multipliers per cell from demand and supply
//!
//! Knows no SQL, Kafka, protobuf or clock: `now` and new ids are arguments.

pub mod fare;
pub mod quote;
pub mod surge;

use hexcab_types::{Cell, Point};

/// The H3 resolution of surge cells.
pub const SURGE_RESOLUTION: u8 = 8;

/// The surge cell of a point.
pub fn surge_cell(point: Point) -> Cell {
    point
        .cell(SURGE_RESOLUTION)
        .expect("every point on earth has a cell of every resolution")
}
