//! What every service stands on: configuration, the city's clock, a gRPC server and client with their layers,
//! health, reflection, tasks and shutdown. In reading order:
//!
//! - [`config`] defaults < TOML file < `HEXCAB_*` < flags; [`Secret`] values that never print
//! - [`Clock`] the only source of time
//! - [`GrpcServer`], [`Readiness`], [`Tasks`], [`serve`]: the life of a process
//! - [`client`] channels to peers; [`deadline`] how long a call may still take; [`status`] errors with a reason
//! - [`crash`] places where a chaos run may end the process
//! - [`token`] EdDSA tokens of users and quotes
//!
//! Nothing is process-wide: everything is passed in, so a test can run two replicas side by side.

pub mod client;
mod clock;
pub mod config;
pub mod crash;
pub mod deadline;
mod readiness;
mod secret;
mod server;
mod shutdown;
pub mod status;
mod tasks;
pub mod token;

pub use clock::{Clock, ClockConfig, ManualClock};
pub use readiness::{Component, Readiness};
pub use secret::Secret;
pub use server::{BoundServer, GrpcServer, ServerConfig};
pub use shutdown::{serve, shutdown_signal, start_unless};
pub use tasks::Tasks;
