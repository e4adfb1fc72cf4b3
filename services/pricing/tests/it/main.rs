//! Pricing as a whole: the real `App` over gRPC, on real Postgres and a real broker, by a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "all of this is a test")]

mod city;
mod demand;
mod guards;
mod migrate;
mod nonsense;
mod quotes;
mod surge;
