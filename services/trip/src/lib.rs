//! The trip service: the life of a trip. The only writer of a trip's state, of its offers and of their deadlines.
//!
//! In reading order:
//! - [`config`] what it can be told, [`app`] how its parts hang together
//! - [`grpc`] request → command → response, [`status`] every error → `tonic::Status`
//! - [`domain`] trips, commands, events, refusals and the one table that decides
//! - [`store`] keeps trips in Postgres: one SERIALIZABLE transaction a command
//! - [`events`] what is told on topic `hexcab.trip.v1`, and what payment's events do here; [`wire`] trips as protos
//! - [`sweeper`] carries deadlines out
//!
//! **Invariants** I1 to I9 (DESIGN section 4), each guarded in `domain` and again in `migrations/`.
//! Does not: choose drivers, know where they are, or touch money.

pub mod app;
pub mod config;
pub mod domain;
pub mod events;
pub mod grpc;
pub mod status;
pub mod store;
pub mod sweeper;
pub mod wire;
