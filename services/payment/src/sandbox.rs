//! The sandbox processor: a payment processor of our own with the shape of Stripe's PaymentIntents, and faults on
//! demand. A process of its own (`hexcab-payment-sandbox`) with a database of its own; no money moves.
//!
//! - [`config`] what it is told; [`app`] its wiring
//! - [`api`] the HTTP API: PaymentIntents under `/v1`, faults under `/sandbox`, `/healthz`
//! - [`operation`] form fields → what is asked; [`answer`] what is said, in Stripe's JSON
//! - [`book`] what it keeps: payments, and its answers by idempotency key
//! - [`faults`] what goes wrong on demand
//!
//! Invariants: a payment is captured or canceled at most once; an idempotency key has one answer; payment and answer
//! are kept in one transaction.
//! Does not: share code with the payment service beyond this package; the service knows it by HTTP only.

pub mod answer;
pub mod api;
pub mod app;
pub mod book;
pub mod config;
pub mod faults;
pub mod operation;

pub use app::App;
pub use config::Config;
