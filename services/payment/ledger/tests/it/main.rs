//! The ledger over a real Postgres, and its rules against a model.

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
