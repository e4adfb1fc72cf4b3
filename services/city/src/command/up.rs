//! `hexcab up`: a whole city until Ctrl-C.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chrono::{NaiveDateTime, TimeZone as _};
use hexcab_chassis::{Clock, ClockConfig};
use hexcab_cities::City;
use hexcab_pg::embedded::Durability;
use hexcab_types::Timestamp;

use crate::{
    cli::UpArguments,
    say,
    stack::{Options, Stack},
    stop::Stop,
};

/// How a time without a zone may be written.
const LOCAL_FORMATS: [&str; 3] = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"];

/// Starts the city, keeps it up, stops it.
///
/// # Errors
/// When it does not come up.
pub async fn run(arguments: UpArguments, stop: Stop) -> anyhow::Result<ExitCode> {
    let options = options(&arguments, arguments.speed.unwrap_or(1.0), None)?;
    let stack = Stack::start(options, &stop).await?;
    say::title("hexcab: the city is up; Ctrl-C stops it");
    stop.cancelled().await;
    stack.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// What was asked for, checked. Without a speed and a time it is the machine's clock; `usual` is the time to begin at
/// when none was given.
///
/// # Errors
/// When the city, the time, the speed or the data folder cannot be used.
pub fn options(
    arguments: &UpArguments,
    speed: f64,
    usual: Option<&str>,
) -> anyhow::Result<Options> {
    let city = City::load(&arguments.city).with_context(|| format!("--city {}", arguments.city))?;
    if let Some(data) = &arguments.data
        && !data.is_dir()
    {
        bail!("--data {}: no such folder", data.display());
    }
    let from = arguments
        .from
        .as_deref()
        .or(usual)
        .map(|text| parse_time(text, &city))
        .transpose()?;
    let clock = match from {
        None if speed == 1.0 => ClockConfig::default(),
        None => ClockConfig::starting_now(Clock::system().now(), speed)?,
        Some(from) => ClockConfig::starting_now(from, speed)?,
    };
    let data = arguments
        .data
        .as_ref()
        .map(|data| data.canonicalize())
        .transpose()?;
    Ok(Options {
        stores: arguments.stores,
        dir: arguments.dir.clone(),
        ports: arguments.ports,
        otlp: arguments.otlp.clone().filter(|url| !url.is_empty()),
        clock,
        city: arguments.city.clone(),
        data,
        durability: if arguments.no_fsync {
            Durability::Test
        } else {
            Durability::Durable
        },
        faults: false,
    })
}

/// A time as people write it: RFC 3339, or without a zone, then in the city's.
fn parse_time(text: &str, city: &City) -> anyhow::Result<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let local = LOCAL_FORMATS
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let local = local
        .with_context(|| format!("--from {text}: want 2008-05-30T17:00 or an RFC 3339 time"))?;
    let zoned = city.time_zone.from_local_datetime(&local).earliest();
    let zoned = zoned
        .with_context(|| format!("--from {text}: there is no such time in {}", city.time_zone))?;
    Ok(zoned.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_the_citys() {
        let city = City::load("sf").unwrap();
        let time = |text| parse_time(text, &city).map(|time| time.to_rfc3339());
        assert_eq!(
            time("2008-05-30T17:00").unwrap(),
            "2008-05-31T00:00:00+00:00"
        );
        assert_eq!(
            time("2008-05-30T17:00:00Z").unwrap(),
            "2008-05-30T17:00:00+00:00"
        );
        assert!(
            time("yesterday")
                .unwrap_err()
                .to_string()
                .contains("RFC 3339")
        );
        assert!(
            time("2008-03-09T02:30")
                .unwrap_err()
                .to_string()
                .contains("no such time")
        );
    }
}
