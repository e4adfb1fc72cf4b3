//! The trip service from the inside and from the outside; one binary.
//!
//! - `table`, `drawing`, `offers`, `rides`: the domain alone: every state and command, and each rule
//! - `walks`, `world`: random histories against the invariants, in memory and on Postgres
//! - `keeping`, `races`, `guards`: the store on real Postgres, alone, at once, and by raw SQL that goes round the code
//! - `at_once`: the way of one round trip, and what its memory may not decide
//! - `contention`, `unknown`: a crowd through two replicas, checked by `linearize`; connections cut at any byte
//! - `migrate`: who makes the tables, and who waits for them
//! - `deadlines`, `api`, `lives`, `telling`: the sweeper, every RPC, events out and in

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod api;
mod at_once;
mod contention;
mod deadlines;
mod drawing;
mod fixture;
mod guards;
mod keeper;
mod keeping;
mod linearize;
mod lives;
mod migrate;
mod offers;
mod races;
mod replicas;
mod rides;
mod table;
mod telling;
mod unknown;
mod walks;
mod world;
