//! Payment against the real things: Postgres, the sandbox over HTTP, Kafka's protocol. One binary.

mod app;
mod crashes;
mod events;
mod guards;
mod life;
mod model;
mod rig;
mod sandbox;
mod unknown;
