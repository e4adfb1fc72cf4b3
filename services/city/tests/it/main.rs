//! The stores of a city as processes: killed, held up, started again, with real relays and consumers on them.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod bench;
mod embedded;
mod local;
