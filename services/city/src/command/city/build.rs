//! `hexcab city build`: computes a city's profile from its data.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use hexcab_cities::{City, build};

use crate::{cli::BuildArguments, say};

/// Builds it and prints what was found.
///
/// # Errors
/// When the data cannot be read or the profile not be written.
pub fn run(arguments: &BuildArguments) -> anyhow::Result<ExitCode> {
    let city = City::load(&arguments.city).with_context(|| format!("--city {}", arguments.city))?;
    if !arguments.data.is_dir() {
        bail!("--data {}: no such folder", arguments.data.display());
    }
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("make {}", arguments.out.display()))?;
    let report = build::build(&city, &arguments.data, &arguments.out, &mut |text| {
        say::step(text)
    })?;
    print!("{report}");
    Ok(ExitCode::SUCCESS)
}
