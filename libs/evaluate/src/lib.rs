//! How good dispatch is, measured: recorded days lived through again on a simulated clock, by the policy code that runs
//! live, against baselines and against perfect knowledge.
//!
//! - [`recording`] rides and shifts of the data folders, and the days that they make
//! - [`scene`] a day's requests and cabs on the street graph
//! - [`forecast`] what is expected of a day, from the days before it and from nothing else
//! - [`sim`] the day itself: windows, drives, pickups, moves
//! - [`measure`] its figures; [`compare`] two policies side by side; [`bound`] what perfect knowledge could do
//! - [`run`] a question and its answer: days × fleets × seeds × policies
//! - [`page`] the answer as a page with plots
//!
//! Invariants: the same question gets the same answer (window times apart); nothing is told to a policy that it could not
//! know live. Does not: run services, or read the clock but to see how long planning takes.

pub mod bound;
pub mod compare;
pub mod forecast;
pub mod measure;
pub mod page;
pub mod recording;
pub mod run;
pub mod scene;
pub mod sim;

pub use run::{EvaluateError, Ground, Line, Perfect, PolicyChoice, Question, Report};
