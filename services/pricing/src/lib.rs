//! Pricing: what a ride costs, signed upfront, and how prices follow demand cell by cell.
//!
//! In reading order:
//! - [`config`] what can be set
//! - [`app`] the only wiring
//! - [`grpc`] requests → quotes and surge → answers
//! - [`domain`] fares, quotes, surge: integers in, integers out
//! - [`market`] one city as this process sees it now: rules, roads, newest surge, newest supply
//! - [`quoting`] the one way to a quote
//! - [`surging`] the task that computes surge each interval
//! - [`events`] trips and supply in, surge and demand out
//! - [`store`] quotes, fare versions, demand and snapshots in Postgres
//! - [`status`] every refusal as a gRPC status
//!
//! Does not: take money, know whether a quote was used (the trip does).

pub mod app;
pub mod config;
pub mod domain;
pub mod events;
pub mod grpc;
pub mod market;
pub mod quoting;
pub mod status;
pub mod store;
pub mod surging;

pub use app::App;
pub use config::Config;
