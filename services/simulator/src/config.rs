//! The command line. It is a tool, so flags are all there is; HEXCAB_* variables are not read.

use std::{path::PathBuf, str::FromStr, time::Duration};

use chrono::{NaiveDateTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use clap::Parser;
use hexcab_chassis::ClockConfig;
use hexcab_types::Timestamp;

use crate::chance::{AnswerRates, RiderRates};

/// Riders and drivers of a real city, through the platform's public API only.
///
/// Requests and drivers are drawn from the city's profile, or (with --data) are the recorded rides and shifts of that
/// window, one by one. All waiting follows the city's clock.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "hexcab-simulator",
    version,
    args_override_self = true,
    after_help = "\
Examples:
  hexcab-simulator --gateway http://127.0.0.1:8080 --sign-in http://127.0.0.1:8081 --for 60m --seed 7 --report r.json
  hexcab-simulator --gateway … --sign-in … --data ../shared/data/sf --from 2008-05-30T17:00 --clock 1700000000000,1212192000000,20

Ends when the window is over and its rides are carried to their end; SIGTERM or Ctrl-C ends it early, with a report.
Exit code 0 unless it could not begin."
)]
pub struct Flags {
    /// Base URL of the gateway
    #[arg(long, value_name = "URL")]
    pub gateway: String,
    /// Base URL of where tokens are issued (POST /v1/tokens)
    #[arg(long, value_name = "URL")]
    pub sign_in: String,
    /// A built-in city's id, or the folder of a city (the one with city.toml)
    #[arg(long, default_value = "sf")]
    pub city: String,
    /// Length of the window in city time: 90s, 60m, 2h
    #[arg(long = "for", value_name = "TIME", default_value = "60m")]
    pub window: Span,
    /// Beginning of the window in the city's local time; decides the hour of the week, and with --data which rides
    #[arg(long, value_name = "YYYY-MM-DDTHH:MM", default_value = "2008-05-30T17:00", value_parser = local_time)]
    pub from: NaiveDateTime,
    /// Drivers at the beginning. Without it: the profile's supply of that hour, or with --data the recorded shifts as
    /// they are; with --data it thins or copies them
    #[arg(long, value_name = "N")]
    pub drivers: Option<usize>,
    /// Demand, as a multiple of what is usual (or recorded)
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = scale)]
    pub demand_scale: f64,
    /// Decides who wants what when, and how people choose
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// Folder of recorded rides and shifts, and the street graph
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The city's clock, as HEXCAB_CLOCK of the services: `system` or `epoch_ms,base_ms,speed`
    #[arg(long, value_name = "SPEC", default_value = "system")]
    pub clock: ClockConfig,
    /// Where to write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Share of offers that drivers accept
    #[arg(long, value_name = "SHARE", default_value_t = 0.90, value_parser = share)]
    pub accept_rate: f64,
    /// Share of offers that drivers decline
    #[arg(long, value_name = "SHARE", default_value_t = 0.07, value_parser = share)]
    pub decline_rate: f64,
    /// Share of offers that drivers let run out; the three shares make 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.03, value_parser = share)]
    pub ignore_rate: f64,
    /// Share of riders who change their minds while they wait
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = share)]
    pub cancel_rate: f64,
    /// A rider leaves when not in the car after so much city time. Without it only the city's own bound ends a search
    #[arg(long, value_name = "TIME")]
    pub patience: Option<Span>,
    /// Share of riders who follow by WebSocket during the ride too; the others look again at its end
    #[arg(long, value_name = "SHARE", default_value_t = 0.25, value_parser = share)]
    pub follow_rate: f64,
    /// Share of riders who pay in cash
    #[arg(long, value_name = "SHARE", default_value_t = 0.10, value_parser = share)]
    pub cash_rate: f64,
    /// Share of riders who keep their driver waiting at the pickup, by one to five minutes
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    pub late_rate: f64,
    /// Share of riders who do not come to the pickup
    #[arg(long, value_name = "SHARE", default_value_t = 0.005, value_parser = share)]
    pub no_show_rate: f64,
    /// Share of riders who give a tip, when they do not pay in cash
    #[arg(long, value_name = "SHARE", default_value_t = 0.20, value_parser = share)]
    pub tip_rate: f64,
    /// How long open rides may go on after the window, in city time
    #[arg(long, value_name = "TIME", default_value = "45m")]
    pub drain: Span,
    /// Which log lines are written to stderr, in `tracing` filter syntax
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    pub log: String,
}

/// A length of city time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub TimeDelta);

/// Text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("want a time such as 90s, 60m or 2h, up to 168h")]
pub struct SpanError;

impl FromStr for Span {
    type Err = SpanError;
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let (digits, unit_s) = match text.char_indices().next_back().ok_or(SpanError)? {
            (at, 's') => (&text[..at], 1),
            (at, 'm') => (&text[..at], 60),
            (at, 'h') => (&text[..at], 3_600),
            _ => return Err(SpanError),
        };
        let count: u32 = digits.parse().map_err(|_| SpanError)?;
        let seconds = u64::from(count) * unit_s;
        if (1..=168 * 3_600).contains(&seconds) {
            TimeDelta::from_std(Duration::from_secs(seconds))
                .map(Self)
                .map_err(|_| SpanError)
        } else {
            Err(SpanError)
        }
    }
}

impl Flags {
    /// Flags that do not contradict each other, or what is wrong with them.
    ///
    /// # Errors
    /// When the shares of answers do not make 1.
    pub fn checked(self) -> Result<Self, String> {
        let sum = self.accept_rate + self.decline_rate + self.ignore_rate;
        if (sum - 1.0).abs() > 1e-6 {
            return Err(format!(
                "--accept-rate, --decline-rate and --ignore-rate make {sum:.3}, not 1"
            ));
        }
        Ok(self)
    }

    /// The beginning of the window as an instant: the earlier one where a clock change makes two.
    ///
    /// # Errors
    /// When the local time does not exist, because clocks skip it.
    pub fn from_in(&self, zone: Tz) -> Result<Timestamp, String> {
        let at = zone.from_local_datetime(&self.from).earliest();
        at.map(|at| at.to_utc())
            .ok_or_else(|| format!("--from {}: no such time in {zone}", self.from))
    }

    /// How drivers answer.
    pub const fn answers(&self) -> AnswerRates {
        AnswerRates {
            accept: self.accept_rate,
            decline: self.decline_rate,
        }
    }

    /// What riders do.
    pub const fn riders(&self) -> RiderRates {
        RiderRates {
            cancel: self.cancel_rate,
            follow: self.follow_rate,
            cash: self.cash_rate,
            late: self.late_rate,
            no_show: self.no_show_rate,
            tip: self.tip_rate,
        }
    }
}

fn local_time(text: &str) -> Result<NaiveDateTime, String> {
    ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .ok_or_else(|| "want local time as 2008-05-30T17:00".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    number(text, 0.0, 1.0)
}

fn scale(text: &str) -> Result<f64, String> {
    number(text, 0.0, 100.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let wrong = || format!("want a number from {least} to {most}");
    let number: f64 = text.parse().map_err(|_| wrong())?;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: [&str; 5] = [
        "hexcab-simulator",
        "--gateway",
        "http://g",
        "--sign-in",
        "http://s",
    ];

    fn flags(more: &[&str]) -> Result<Flags, String> {
        let parsed =
            Flags::try_parse_from(NEEDED.iter().chain(more)).map_err(|error| error.to_string())?;
        parsed.checked()
    }

    #[test]
    fn the_defaults_are_a_friday_evening_in_san_francisco() {
        let flags = flags(&[]).unwrap();
        assert_eq!(flags.window, Span(TimeDelta::minutes(60)));
        assert_eq!(flags.drain, Span(TimeDelta::minutes(45)));
        let from = flags.from_in(Tz::America__Los_Angeles).unwrap();
        assert_eq!(from, "2008-05-31T00:00:00Z".parse::<Timestamp>().unwrap());
        assert_eq!(flags.drivers, None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (flag, value) in [
            ("--for", "60"),
            ("--for", "0m"),
            ("--for", "-5m"),
            ("--for", "200h"),
            ("--for", "m"),
            ("--from", "yesterday"),
            ("--demand-scale", "-1"),
            ("--demand-scale", "NaN"),
            ("--cancel-rate", "1.5"),
            ("--clock", "fast"),
            ("--drivers", "-3"),
        ] {
            let arg = format!("{flag}={value}");
            assert!(flags(&[&arg]).is_err(), "{arg}");
        }
        assert!(flags(&["--accept-rate=0.5"]).unwrap_err().contains("not 1"));
        assert!(
            flags(&[
                "--accept-rate=0.5",
                "--decline-rate=0.25",
                "--ignore-rate=0.25"
            ])
            .is_ok()
        );
    }

    #[test]
    fn a_local_time_that_clocks_skip_is_refused() {
        let flags = flags(&["--from=2008-03-09T02:30"]).unwrap();
        assert!(
            flags
                .from_in(Tz::America__Los_Angeles)
                .unwrap_err()
                .contains("no such time")
        );
    }
}
