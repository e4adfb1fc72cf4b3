//! Who should pick up whom: a window of open requests and their candidates goes in, a plan comes out.
//!
//! - [`window`] what a policy is given and what it answers
//! - [`mod@policy`] the [`Policy`] trait, its options, and the policies by name: [`Nearest`], [`Batched`], [`Swaps`], [`Chained`]
//! - [`mod@reposition`] where drivers without a rider should wait: a policy of its own
//! - [`assignment`] exact minimum-cost assignment on a sparse graph, which knows no trips or drivers
//!
//! Invariants, for every policy and every input: a driver is in at most one pair and a trip in at most one; each trip
//! of the window is either paired or unassigned; an excluded driver is never paired with the trip that excludes him;
//! the same window gives the same plan, in whatever order its requests and candidates are listed.
//!
//! Does not: find drivers, route, read a clock, send offers. ETAs, ages and waiting times are arguments, so dispatch
//! and the evaluation run the same code. Whether a driver is really free is decided by `trip`.

pub mod assignment;
pub mod policy;
pub mod reposition;
mod row;
pub mod window;

pub use policy::{
    Batched, Chained, Nearest, Options, POLICIES, Policy, PolicyError, Swaps, policy,
};
pub use window::{Candidate, OpenRequest, Pair, Plan, Window};
