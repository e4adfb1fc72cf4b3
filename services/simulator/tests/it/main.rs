//! The simulator against a gateway that plays a script: whole rides, cuts in the middle, answers that get lost.

#![expect(clippy::unwrap_used, reason = "tests")]

mod gateway;
mod rides;
