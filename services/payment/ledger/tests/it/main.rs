//! The ledger over a real Postgres, and its rules against a model.

mod contention;
mod guards;
mod life;
mod rig;
mod rules;
