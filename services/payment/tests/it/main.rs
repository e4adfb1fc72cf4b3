//! Payment against the real things: Postgres, the sandbox over HTTP, Kafka's protocol. One binary.

#![allow(clippy::unwrap_used, reason = "this is a test, its helpers included")]

mod app;
mod cash;
mod crashes;
mod disputes;
mod events;
mod failures;
mod guards;
mod life;
mod listener;
mod lives;
mod migrate;
mod payouts;
mod process;
mod processor;
mod raises;
mod reconcile;
mod refunds;
mod rig;
mod sandbox;
mod statements;
mod stripe_mock;
mod tampered;
mod tips;
mod unknown;
mod webhooks;
