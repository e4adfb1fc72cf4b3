//! How long a drive takes: from one point to another, at an hour of the week. Pure: no clock, no chance, no network.
//!
//! - [`hours`] the hour of the week and how slow traffic is then
//! - [`route`] [`Leg`], [`Route`] and the port [`RoadTimes`] that dispatch, pricing and the simulator ask
//! - [`graph`] a real street graph: contraction hierarchies, snapping, the driven line
//! - [`labels`] the same graph's drives between junctions in well under a microsecond, for windows and evaluations
//! - [`table`] the same answers from a small table between H3 cells, for a city without a street graph
//! - [`rows`] reading CSV files with errors that name file, line and field
//!
//! Times are driving only: boarding, parking and paying are the caller's to add.

pub mod graph;
pub mod hours;
pub mod labels;
pub mod route;
pub mod rows;
pub mod table;

pub use graph::{GraphError, RoadGraph};
pub use hours::{HourFactors, HourOfWeek};
pub use labels::{HubLabels, Spread};
pub use route::{Leg, RoadTimes, Route, RoutePoint};
pub use rows::ReadError;
pub use table::{CELL_RESOLUTION, CellTable, TableError};
