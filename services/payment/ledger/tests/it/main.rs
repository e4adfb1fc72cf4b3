//! The ledger over a real Postgres, and its rules against a model.

#![allow(clippy::unwrap_used, reason = "this is a test, its helpers included")]

mod against_model;
mod chance;
mod contention;
mod guards;
mod life;
mod model;
mod races;
mod reads;
mod rig;
mod rights;
mod rules;
mod wrong;
