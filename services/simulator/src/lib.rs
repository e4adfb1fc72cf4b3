//! Riders and drivers of a real city, who know the platform by its public API only: they sign in, speak REST and WebSocket,
//! drive along streets, change their minds, and come back when something dies.
//!
//! In reading order:
//! - [`config`] the flags; [`app`] from flags to report
//! - [`demand`] who wants to go where, [`supply`] who drives and when, [`chance`] all choices, from one seed
//! - [`scene`] what everyone shares; [`rider`] and [`driver`], a task each; [`drive`] where someone is along a route;
//!   [`meeting`] what two people say at the kerb
//! - [`api`] the platform from outside
//! - [`tally`] counts, [`report`] the JSON, [`progress`] the line meanwhile; [`limits`] open files
//!
//! **Invariant:** nothing here knows a service, a topic or a table, and no span is made here: a ride's trace is the
//! platform's own.

pub mod api;
pub mod app;
pub mod chance;
pub mod config;
pub mod demand;
pub mod drive;
pub mod driver;
pub mod limits;
pub mod meeting;
pub mod progress;
pub mod report;
pub mod rider;
pub mod scene;
pub mod supply;
pub mod tally;
