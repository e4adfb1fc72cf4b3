//! Whose money: holds, captures and voids at a processor, and the ledger that says whose it is. In reading order:
//!
//! - [`config`] what the service is told; [`app`] the only wiring
//! - [`domain`] an intent's life; [`ledger`] accounts, transfers, balanced journals: no I/O in either
//! - [`events`] trip events → notices, intent events → the outbox; [`consumer`] takes them in (phase A)
//! - [`worker`] calls the processor without a transaction (phase B) and records its answer (phase C)
//! - [`processor`] the port to whoever moves the money; [`store`] the database
//! - [`grpc`] answers for it, [`status`] says what went wrong
//! - [`webhook`] hints from the processor that something happened there
//! - [`sandbox`] the processor for cities without real money, a process of its own
//!
//! Does not (yet): refunds, payouts, webhooks, reconciling with the processor's books.

pub mod app;
pub mod config;
pub mod consumer;
pub mod domain;
pub mod events;
pub mod grpc;
pub mod ledger;
pub mod processor;
pub mod reconciler;
pub mod sandbox;
pub mod status;
pub mod store;
pub mod webhook;
pub mod worker;
