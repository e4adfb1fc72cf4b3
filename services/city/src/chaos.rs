//! Faults on a running city, by seed, and whether it got over them. In reading order:
//!
//! - [`points`] every crash point in the code, and what dying there proves
//! - [`fault`] what can go wrong; [`schedule`] what goes wrong when, from a seed
//!
//! - [`strike`] does one; [`evidence`] what a process says of it; [`run`] does all of them at their times
//! - [`operator`] what else goes on with money meanwhile
//! - [`backlog`] what the city still has to do from before they were lifted; [`report`] the verdict;
//!   [`summary`] that of many runs
//!
//! Invariant: whatever ends a run, every fault is lifted first. Does not: judge a city's rows ([`crate::verify`] does).

pub mod backlog;
mod evidence;
pub mod fault;
pub mod operator;
pub mod points;
pub mod report;
pub mod run;
pub mod schedule;
pub mod strike;
pub mod summary;
