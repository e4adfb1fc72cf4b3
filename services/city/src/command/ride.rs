//! `hexcab ride`: one ride with one rider and one driver, through the public API, each step as it happens.
//!
//! - [`apps`] the rider's and the driver's app; [`story`] the ride, step by step
//!
//! Without a running city it starts one for the ride. Does not: simulate; the driver is wherever the story wants him.

mod apps;
mod story;

use std::process::ExitCode;

use anyhow::Context as _;
use hexcab_chassis::{Clock, ClockConfig};
use hexcab_pg::embedded::Durability;

use crate::{
    cli::RideArguments,
    say,
    stack::{Options, Stack, folder::CityFile, services::WantedPorts},
    stop::Stop,
};

/// Where the ride takes place.
struct Place {
    gateway: String,
    sign_in: String,
    control: Option<String>,
    city: String,
    clock: Clock,
}

/// Takes the ride.
///
/// # Errors
/// When a step is refused or nothing happens for too long.
pub async fn run(arguments: RideArguments, stop: Stop) -> anyhow::Result<ExitCode> {
    if let (Some(gateway), Some(sign_in)) = (&arguments.gateway, &arguments.sign_in) {
        say_unused(&arguments);
        let (gateway, sign_in) = (gateway.clone(), sign_in.clone());
        let place = Place {
            gateway,
            sign_in,
            control: None,
            city: "sf".into(),
            clock: Clock::system(),
        };
        story::tell(&place, &stop).await?;
        return Ok(ExitCode::SUCCESS);
    }
    match CityFile::find(arguments.city.dir.as_deref()) {
        Ok((_, city)) => {
            say_unused(&arguments);
            story::tell(&place(&city)?, &stop).await?;
        }
        Err(error) if arguments.city.dir.is_some() => return Err(error),
        Err(_) => in_an_own_city(&arguments, &stop).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A city that runs already sends its spans where it was told when it was started.
fn say_unused(arguments: &RideArguments) {
    if let Some(otlp) = collector(arguments) {
        say::warn(format_args!(
            "--otlp {otlp} (or OTEL_EXPORTER_OTLP_ENDPOINT) is not used: this ride takes place in a city that runs already; \
             start one with `hexcab up --otlp {otlp}`"
        ));
    }
}

fn collector(arguments: &RideArguments) -> Option<String> {
    arguments.otlp.clone().filter(|url| !url.is_empty())
}

fn place(city: &CityFile) -> anyhow::Result<Place> {
    let clock: ClockConfig = city.clock.parse().context("read the city's clock")?;
    Ok(Place {
        gateway: city.gateway.clone(),
        sign_in: city.sign_in.clone(),
        control: Some(city.control.clone()),
        city: city.city.clone(),
        clock: clock.clock(),
    })
}

async fn in_an_own_city(arguments: &RideArguments, stop: &Stop) -> anyhow::Result<()> {
    say::step("no city is running; starting one for this ride");
    let options = Options {
        stores: arguments.stores,
        dir: None,
        ports: WantedPorts::default(),
        otlp: collector(arguments),
        clock: ClockConfig::default(),
        city: "sf".to_owned(),
        data: None,
        durability: Durability::Durable,
        faults: false,
    };
    let stack = Stack::start(options, stop).await?;
    let told = match place(&stack.file()) {
        Ok(place) => story::tell(&place, stop).await,
        Err(error) => Err(error),
    };
    stack.stop().await;
    told
}
