//! The real gateway over HTTP, WebSocket and gRPC, with a real broker and peers that say what a test wants.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test panics where a fact is missing"
)]

mod auth;
mod driver_ws;
mod grpc;
mod house;
mod operator;
mod peers;
mod rest;
mod rider_ws;
mod tracing_rules;
