//! Location as a whole: the real `App` over gRPC, by a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "all of this is a test")]

mod city;
mod nearby;
mod nonsense;
mod pings;
mod store;
mod supply;
mod track;
mod watch;
