//! The only door for apps: REST/JSON, WebSocket and streaming gRPC. Checks who is calling and how fast, asks the
//! services, and tells riders and drivers what happened. In reading order:
//!
//! - [`config`] what can be set; [`app`] the only wiring
//! - [`auth`] who is calling, [`limits`] how fast; [`status`] every error as problem+json
//! - [`peers`] the services behind the door, with the only [`retry`] between an app and a service
//! - [`http`] REST: riders, drivers, operators; [`views`] the JSON; [`spans`] the trace of a ride through the door
//! - [`session`] who is connected, [`push`] what they are told, [`snapshot`] what they missed
//! - [`driver`] a driver's session, over [`ws`] or [`grpc`]; [`pings`] positions on their way to location
//! - [`positions`] the driver's position for the rider who waits; [`rides`] what is remembered of a trip
//! - [`events`] trip events in, pushes out
//!
//! **Invariant:** nothing durable is kept: a restarted gateway loses no more than its connections.
//! **Invariant:** who acts is taken from the token, never from a message.
//! Does not: decide anything about a trip, a price or a position.

pub mod app;
pub mod auth;
pub mod config;
pub mod driver;
pub mod events;
pub mod gateway;
pub mod grpc;
pub mod http;
pub mod limits;
pub mod peers;
pub mod pings;
pub mod positions;
pub mod push;
pub mod retry;
pub mod rides;
pub mod session;
pub mod snapshot;
pub mod spans;
pub mod status;
pub mod views;
pub mod ws;

pub use app::App;
pub use config::Config;
