//! The real gateway over HTTP, WebSocket and gRPC, with a real broker and peers that say what a test wants.

mod auth;
mod driver_ws;
mod grpc;
mod house;
mod operator;
mod peers;
mod rest;
mod rider_ws;
mod tracing_rules;
