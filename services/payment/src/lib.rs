//! Whose money: holds, captures, refunds, tips, payouts and chargebacks, and the ledger that says whose it is. In reading
//! order:
//!
//! - [`config`] what the service is told; [`app`] the only wiring
//! - [`domain`] an intent's life and what people may ask; [`journal`] which transfers of the ledger each event is: no I/O
//!   in either
//! - [`events`] trip events → notices, what happened → the outbox; [`consumer`] takes them in (phase A)
//! - [`worker`] calls the processor without a transaction (phase B) and records its answer (phase C)
//! - [`processor`] the port to whoever moves the money; [`store`] the database
//! - [`grpc`] answers for it, [`status`] says what went wrong
//! - [`webhook`] hints from the processor that something happened there
//! - [`reconciler`] whether the processor's books, ours and the ledger fit
//! - [`sandbox`] the processor for cities without real money, a process of its own
//! - [`crash`] where a chaos run may end the process

pub mod app;
pub mod config;
pub mod consumer;
pub mod crash;
pub mod domain;
pub mod events;
pub mod grpc;
pub mod journal;
pub mod processor;
pub mod reconciler;
pub mod sandbox;
pub mod status;
pub mod store;
pub mod webhook;
pub mod worker;
