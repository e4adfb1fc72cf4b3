//! Location: where every driver is now, and who is near a point. A hint, always available; whose trip it is, is decided
//! by `trip`.
//!
//! In reading order:
//! - [`config`] what can be set
//! - [`app`] the only wiring
//! - [`grpc`] requests → domain → answers, within limits
//! - [`domain`] pings, the index, the search
//! - [`store`] positions kept in ScyllaDB, and read from there; only when it is told where that is
//! - [`status`] every refusal as a gRPC status
//! - [`events`] supply for pricing, counted every few seconds; [`metrics`] what it says about itself in numbers
//!
//! Does not: wait for the store or the broker before taking a ping.

pub mod app;
pub mod config;
pub mod domain;
pub mod events;
pub mod grpc;
pub mod metrics;
mod status;
pub mod store;

pub use app::App;
pub use config::Config;
