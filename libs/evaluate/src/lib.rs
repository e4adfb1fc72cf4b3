//! How good dispatch is.
pub mod forecast;
pub mod recording;
pub mod scene;
pub mod sim;
