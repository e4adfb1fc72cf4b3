//! The sandbox processor: a payment processor of our own with the shape of Stripe's PaymentIntents, Refunds, Disputes,
//! Events and webhooks, and faults on demand. A process of its own (`hexcab-payment-sandbox`) with a database of its
//! own; no money moves.
//!
//! - [`config`] what it is told; [`app`] its wiring
//! - [`api`] the HTTP API: Stripe's under `/v1`; faults, disputes and other things that befall a processor under
//!   `/sandbox`; `/healthz`
//! - [`operation`] form fields → what is asked; [`answer`] what is said, [`shape`] in Stripe's JSON
//! - [`book`] what it keeps: payments, refunds, disputes, events, and its answers by idempotency key
//! - [`webhooks`] tells the events until they are taken; [`faults`] what goes wrong on demand
//!
//! Invariants: a payment is captured or canceled at most once; no more is given back than was taken; an idempotency key
//! has one answer; a change, its answer and its event are kept in one transaction; what was begun is finished even when
//! the caller has gone.
//! Does not: share code with the payment service beyond this package; the service knows it by HTTP only.

pub mod answer;
pub mod api;
pub mod app;
pub mod book;
pub mod config;
pub mod faults;
pub mod operation;
pub mod shape;
pub mod webhooks;

pub use app::{App, migrate_database};
pub use config::Config;
