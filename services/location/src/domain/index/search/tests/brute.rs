//! A look at everybody, by the straight line through the earth: grows with the distance, and knows no squares, cells,
//! poles or meridians. The exact distance decides between those whom the line cannot tell apart.

use hexcab_types::{Point, Timestamp};

use super::super::{Answer, Query};
use crate::domain::Sighting;

/// What rounding may make of a squared line: that of 0.6 m.
const SLACK: f64 = 1e-14;

pub struct Brute<'a> {
    fleet: &'a [Sighting],
    places: Vec<[f64; 3]>,
}

impl<'a> Brute<'a> {
    pub fn new(fleet: &'a [Sighting]) -> Self {
        Self {
            fleet,
            places: fleet.iter().map(|seen| unit(seen.point)).collect(),
        }
    }

    pub fn nearest(&self, query: &Query<'_>, now: Timestamp) -> Vec<Answer> {
        let from = unit(query.point);
        let mut lines: Vec<(f64, &Sighting)> = self
            .fleet
            .iter()
            .zip(&self.places)
            .filter(|(seen, _)| {
                now.timestamp_millis() - seen.recorded_ms <= query.max_age_ms
                    && query.statuses.holds(seen.status.bits())
                    && query.product.is_none_or(|product| product == seen.product)
                    && !query.excluded.contains(&seen.driver)
            })
            .map(|(seen, place)| {
                let line2: f64 = place.iter().zip(from).map(|(a, b)| (a - b) * (a - b)).sum();
                (line2, seen)
            })
            .collect();
        if lines.len() > query.limit {
            let (_, last, _) =
                lines.select_nth_unstable_by(query.limit - 1, |a, b| a.0.total_cmp(&b.0));
            let enough = last.0 + SLACK;
            lines.retain(|(line2, _)| *line2 <= enough);
        }
        let mut answers: Vec<Answer> = lines
            .into_iter()
            .map(|(_, seen)| Answer {
                seen: *seen,
                distance_m: query.point.distance_m(seen.point),
                age_ms: (now.timestamp_millis() - seen.recorded_ms).max(0),
            })
            .filter(|answer| answer.distance_m <= query.radius_m)
            .collect();
        answers.sort_by(|a, b| {
            (a.distance_m.total_cmp(&b.distance_m)).then(a.seen.driver.cmp(&b.seen.driver))
        });
        answers.truncate(query.limit);
        answers
    }
}

fn unit(point: Point) -> [f64; 3] {
    let (sin_lat, cos_lat) = point.lat().to_radians().sin_cos();
    let (sin_lon, cos_lon) = point.lon().to_radians().sin_cos();
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
}
