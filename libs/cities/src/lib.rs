//! A city's folder: its rules (`city.toml`) and its figures (`profile/`), built in or read from disk.
//!
//! - [`city`] [`City`]: area, products and fare policies, surge, dispatch and trip rules; the hour of the week
//! - [`profile`] [`Profile`]: what a usual week is like, and drawing rides from it with the caller's chance
//! - [`replay`] the recorded rides and shifts of a data folder, one by one
//! - [`build`] computes a profile from a data folder: `hexcab city build`
//! - [`folder`] where a city's files come from
//!
//! Does not: compute fares or surge (pricing does), read the clock or the environment.

pub mod build;
pub mod city;
pub mod folder;
pub mod profile;
pub mod replay;

use std::{path::Path, sync::Arc};

use hexcab_road::{GraphError, RoadGraph, RoadTimes};

pub use city::{
    Area, City, CityError, DispatchPolicy, DispatchRules, FarePolicy, Product, SurgeRules,
    TripRules,
};
pub use folder::BUILT_IN;
pub use profile::{Profile, ProfileError, Supply};

/// The best road times at hand: the street graph when the data folder has one, else the profile's table.
///
/// # Errors
/// When the data folder has a graph that cannot be read.
pub fn road_times(
    profile: &Profile,
    data_dir: Option<&Path>,
) -> Result<Arc<dyn RoadTimes>, GraphError> {
    match data_dir.filter(|dir| RoadGraph::is_in(dir)) {
        Some(dir) => Ok(Arc::new(RoadGraph::read(dir)?)),
        None => Ok(profile.travel()),
    }
}
