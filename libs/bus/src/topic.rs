//! The topics, `hexcab.<name>.v1`.

/// What happened to trips, keyed by city.
pub const TRIP: &str = "hexcab.trip.v1";
/// What happened to money, keyed by trip.
pub const PAYMENT: &str = "hexcab.payment.v1";
/// What dispatch decided, keyed by trip.
pub const DISPATCH: &str = "hexcab.dispatch.v1";
/// Surge snapshots, keyed by city.
pub const SURGE: &str = "hexcab.surge.v1";
/// Free drivers per cell, keyed by city.
pub const SUPPLY: &str = "hexcab.supply.v1";
/// What riders asked for per cell, keyed by city.
pub const DEMAND: &str = "hexcab.demand.v1";
/// All of them.
pub const ALL: [&str; 6] = [TRIP, PAYMENT, DISPATCH, SURGE, SUPPLY, DEMAND];

/// Where the poison of a topic goes.
pub fn dead_letters(topic: &str) -> String {
    format!("{topic}.dlq")
}
