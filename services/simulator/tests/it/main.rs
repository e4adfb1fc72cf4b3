//! The simulator against a gateway that plays a script: whole rides, cuts in the middle, answers that get lost.

mod gateway;
mod rides;
