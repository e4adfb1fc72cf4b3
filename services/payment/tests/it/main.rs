//! Payment against the real things: Postgres, the sandbox over HTTP, Kafka's protocol. One binary.

#![allow(clippy::unwrap_used, reason = "this is a test, its helpers included")]

mod app;
mod crashes;
mod events;
mod life;
mod listener;
mod process;
mod processor;
mod reconcile;
mod rig;
mod sandbox;
mod stripe_mock;
mod tampered;
mod unknown;
mod webhooks;
