//! A day's figures: what riders and drivers got.
//! Invariants: shares are of all requests, not of those served; waits are of riders who were served.
//! Does not: compare; [`compare`](crate::compare) does.

use serde::{Deserialize, Serialize};

use crate::{scene::Trip, sim::Outcome};

/// The figures of a day, or of several together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// How many asked.
    pub requests: u64,
    /// The share picked up.
    pub served_share: f64,
    /// From request to pickup: the mean, in seconds.
    pub wait_mean_s: f64,
    /// Half wait less.
    pub wait_median_s: f64,
    /// Nineteen in twenty wait less.
    pub wait_p95_s: f64,
    /// The share of all requests picked up within five minutes.
    pub within_5_min_share: f64,
    /// The share of all requests picked up within eight minutes.
    pub within_8_min_share: f64,
    /// Driven without a rider for each ride, in metres.
    pub empty_m_a_ride: f64,
    /// Of that, to better places.
    pub moves_m_a_ride: f64,
    /// The share of the way driven that was with a rider.
    pub occupied_distance_share: f64,
    /// The share of the time on the street that was with a rider.
    pub occupied_time_share: f64,
    /// The rides' recorded time that was served, as a share of all.
    pub ride_time_served_share: f64,
    /// How often a rider was given another driver, for each ride.
    pub swaps_a_ride: f64,
    /// Planning a window took less than this in ninety-nine of a hundred, ETA look-ups included, in milliseconds.
    pub window_p99_ms: f64,
}

/// The figures of one simulated day.
pub fn figures(trips: &[Trip], outcome: &Outcome) -> Figures {
    let mut waits: Vec<i64> = outcome
        .fates
        .iter()
        .filter_map(|fate| fate.wait_ms)
        .collect();
    waits.sort_unstable();
    let requests = trips.len().max(1) as f64;
    let rides = waits.len().max(1) as f64;
    let within = |limit_ms: i64| waits.partition_point(|&wait| wait <= limit_ms) as f64 / requests;
    let ride_ms = |trip: &Trip| trip.ride_ms as f64;
    let served_ms: f64 = trips
        .iter()
        .zip(&outcome.fates)
        .filter(|(_, fate)| fate.wait_ms.is_some())
        .map(|(trip, _)| ride_ms(trip))
        .sum();
    let swaps: u32 = outcome.fates.iter().map(|fate| fate.swaps).sum();
    let mut windows = outcome.window_us.clone();
    windows.sort_unstable();
    Figures {
        requests: trips.len() as u64,
        served_share: waits.len() as f64 / requests,
        wait_mean_s: waits.iter().sum::<i64>() as f64 / rides / 1_000.0,
        wait_median_s: seconds(quantile(&waits, 0.5)),
        wait_p95_s: seconds(quantile(&waits, 0.95)),
        within_5_min_share: within(300_000),
        within_8_min_share: within(480_000),
        empty_m_a_ride: outcome.empty_m / rides,
        moves_m_a_ride: outcome.moves_m / rides,
        occupied_distance_share: share(outcome.occupied_m, outcome.occupied_m + outcome.empty_m),
        occupied_time_share: share(outcome.occupied_ms as f64, outcome.online_ms as f64),
        ride_time_served_share: share(served_ms, trips.iter().map(ride_ms).sum()),
        swaps_a_ride: f64::from(swaps) / rides,
        window_p99_ms: f64::from(quantile(&windows, 0.99).unwrap_or(0)) / 1_000.0,
    }
}

/// The mean of several days' figures, each day counting alike.
pub fn mean(all: &[Figures]) -> Figures {
    let count = all.len().max(1) as f64;
    let of = |value: fn(&Figures) -> f64| all.iter().map(value).sum::<f64>() / count;
    Figures {
        requests: all.iter().map(|figures| figures.requests).sum(),
        served_share: of(|it| it.served_share),
        wait_mean_s: of(|it| it.wait_mean_s),
        wait_median_s: of(|it| it.wait_median_s),
        wait_p95_s: of(|it| it.wait_p95_s),
        within_5_min_share: of(|it| it.within_5_min_share),
        within_8_min_share: of(|it| it.within_8_min_share),
        empty_m_a_ride: of(|it| it.empty_m_a_ride),
        moves_m_a_ride: of(|it| it.moves_m_a_ride),
        occupied_distance_share: of(|it| it.occupied_distance_share),
        occupied_time_share: of(|it| it.occupied_time_share),
        ride_time_served_share: of(|it| it.ride_time_served_share),
        swaps_a_ride: of(|it| it.swaps_a_ride),
        window_p99_ms: of(|it| it.window_p99_ms),
    }
}

fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().checked_sub(1)?)).copied()
}

fn seconds(ms: Option<i64>) -> f64 {
    ms.unwrap_or(0) as f64 / 1_000.0
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_of_nothing_is_nothing_and_of_one_is_it() {
        assert_eq!(quantile::<i64>(&[], 0.95), None);
        assert_eq!(quantile(&[7], 0.95), Some(7));
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(
            (quantile(&hundred, 0.5), quantile(&hundred, 0.95)),
            (Some(51), Some(96))
        );
    }

    #[test]
    fn days_count_alike_and_requests_add_up() {
        let day = |requests, served_share| Figures {
            requests,
            served_share,
            ..Figures::default()
        };
        let both = mean(&[day(10, 1.0), day(1_000, 0.5)]);
        assert_eq!((both.requests, both.served_share), (1_010, 0.75));
    }
}
