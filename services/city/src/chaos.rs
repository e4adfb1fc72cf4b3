//! Faults on a running city, by seed, and whether it got over them. In reading order:
//!
//! - [`points`] every crash point in the code, and what dying there proves
//! - [`fault`] what can go wrong; [`schedule`] what goes wrong when, from a seed
//!
//! Invariant: whatever ends a run, every fault is lifted first. Does not: judge a city's rows ([`crate::verify`] does).

pub mod fault;
pub mod points;
pub mod schedule;
