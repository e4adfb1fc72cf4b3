//! Who should pick up whom: open requests are gathered for a window, matched together, and offered. In reading order:
//!
//! - [`config`] what the service is told; [`app`] the only wiring
//! - [`domain`] the book of a city (who waits, who is busy), plans, decisions: no I/O, no clock
//! - [`desk`] a city at work: its rules, its book, its decisions, shared by the parts below
//! - [`events`] trip events → book; partitions taken and given up
//! - [`dispatcher`] the loop: gather → [`window`]: search → plan → offer
//! - [`resync`] the book against trip's own list: at the start, now and then, and when something does not fit
//! - [`peers`] trip and location; [`wire`] protos ↔ domain; [`grpc`] answers for it; [`status`] what went wrong
//!
//! Invariants: nothing here is durable and nothing depends on it being right: an offer counts when trip takes it, at the
//! version that was seen (I1, I8 are trip's to guard). Every open request is in the next window, or is about to be
//! looked up; it leaves the book only by a newer version of the trip (I9).
//!
//! Does not: expire requests or offers (trip's deadlines do), exchange drivers, reposition.

pub mod app;
pub mod config;
pub mod desk;
pub mod dispatcher;
pub mod domain;
pub mod events;
pub mod grpc;
pub mod peers;
pub mod resync;
pub mod status;
pub mod window;
pub mod wire;
