//! The ledger over a real Postgres, and its rules against a model.

mod life;
mod rig;
