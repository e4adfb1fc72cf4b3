//! Days in a small town laid out as a grid, and, where the data is there, in San Francisco.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

mod days;
mod san_francisco;
mod town;
