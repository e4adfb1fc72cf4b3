//! The launcher and command line `hexcab`: a whole city on this machine, its evening, and the proof that it went right.
//! In reading order:
//!
//! - [`cli`] what can be said on the command line; [`command`] a command a file
//! - [`stack`] the city: Postgres, broker, spans, sign-in, every service as its own process
//! - [`load`] the simulator's riders and drivers
//! - [`chaos`] faults by seed, and whether the city got over them
//! - [`outboxes`] what is sent again to a broker that lost its data
//! - [`tally`] the spans that were seen; [`rides`] which rides are one connected trace
//! - [`verify`] the invariants, recomputed from the rows of the live databases
//! - [`funnel`] what became of the requests; [`report`] the same as JSON
//! - [`say`] what a person at the terminal is told; [`stop`] when a command is to end
//!
//! **Invariant:** no service is linked: they are processes, and all that is shared is `proto` and `libs`.
//! **Invariant:** nothing outlives the launcher, however it ends.
//! Does not: run a city on several machines.

pub mod chaos;
pub mod cli;
pub mod command;
pub mod funnel;
pub mod load;
pub mod outboxes;
pub mod report;
pub mod rides;
pub mod say;
pub mod stack;
pub mod stop;
pub mod tally;
pub mod verify;
