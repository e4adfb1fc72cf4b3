//! Payment against the real things: Postgres, the sandbox over HTTP, Kafka's protocol. One binary.

#![allow(clippy::unwrap_used, reason = "this is a test, its helpers included")]

mod app;
mod crashes;
mod events;
mod life;
mod rig;
mod sandbox;
mod tampered;
mod unknown;
