//! How a driver drove since he last set out for a rider: a leg to the rider and a leg with him, each with the distance and
//! a thinned line.
//!
//! Invariants: no position that was accurate is farther from the line than the leg's tolerance; a leg has at most
//! [`LINE_MAX`] points, for which the tolerance grows with a long drive; the distance is that of the positions, not that of
//! the line. Inaccurate positions are left out, and so is a step shorter than [`STEP_M`]: a car that waits does not drive.
//!
//! Does not: decide what a ride costs. It is a record of what the app sent.

use hexcab_types::{EARTH_RADIUS_M, Point};

use super::{Sighting, Status};

/// Points of a leg's line.
pub const LINE_MAX: usize = 200;
/// Positions that may wait for the line to turn.
const PENDING_MAX: usize = 32;
/// How far a position may be from the line at first, metres.
const TOLERANCE_M: f64 = 10.0;
/// Steps below this are not driven, metres.
const STEP_M: f64 = 5.0;

/// How a driver drove.
#[derive(Debug, Clone, Default)]
pub struct Track {
    legs: Vec<Leg>,
}

/// A part of a track, between two changes of status.
#[derive(Debug, Clone)]
pub struct Leg {
    /// What the driver did.
    pub status: Status,
    /// When it began, milliseconds since 1970 of the city's clock.
    pub start_ms: i64,
    /// The newest position.
    pub end_ms: i64,
    /// Driven, metres.
    pub distance_m: f64,
    /// How far a position may be from the line, metres.
    pub tolerance_m: f64,
    kept: Vec<Point>,
    /// Since the last point kept; the last of them is the newest position.
    pending: Vec<Point>,
}

impl Track {
    /// Adds a newer sighting; `before` is the status of the one before. Only of a driver on his way to or with a rider.
    pub fn add(&mut self, before: Option<Status>, seen: &Sighting) {
        let sets_out =
            seen.status == Status::EnRoute && before.is_none_or(|before| before != Status::EnRoute);
        if sets_out {
            self.legs.clear();
        }
        match self.legs.last_mut() {
            Some(leg) if leg.status == seen.status => leg.add(seen),
            Some(_) | None => {
                let from = self.legs.last().and_then(Leg::end);
                let mut leg = Leg::new(seen, from);
                leg.add(seen);
                self.legs.push(leg);
            }
        }
    }

    /// Its legs, in the order driven.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The newest position in it, milliseconds since 1970; 0 when empty.
    pub fn end_ms(&self) -> i64 {
        self.legs.last().map_or(0, |leg| leg.end_ms)
    }

    /// Whether a status is one in which a driver is tracked.
    pub const fn covers(status: Status) -> bool {
        match status {
            Status::EnRoute | Status::OnTrip => true,
            Status::Available | Status::Offline => false,
        }
    }
}

impl Leg {
    /// A leg from where the leg before ended.
    fn new(seen: &Sighting, from: Option<Point>) -> Self {
        Self {
            status: seen.status,
            start_ms: seen.recorded_ms,
            end_ms: seen.recorded_ms,
            distance_m: 0.0,
            tolerance_m: TOLERANCE_M,
            kept: from.into_iter().collect(),
            pending: Vec::new(),
        }
    }

    /// The thinned line, to the newest position.
    pub fn line(&self) -> Vec<Point> {
        let end = self.pending.last();
        self.kept.iter().chain(end).copied().collect()
    }

    fn end(&self) -> Option<Point> {
        self.pending.last().or(self.kept.last()).copied()
    }

    fn add(&mut self, seen: &Sighting) {
        self.end_ms = seen.recorded_ms;
        if seen.inaccurate {
            return;
        }
        let Some(end) = self.end() else {
            self.kept.push(seen.point);
            return;
        };
        let step_m = end.distance_m(seen.point);
        if step_m < STEP_M {
            return;
        }
        self.distance_m += step_m;
        self.extend(seen.point);
        if self.kept.len() >= LINE_MAX {
            self.thin();
        }
    }

    fn extend(&mut self, point: Point) {
        let anchor = self.kept[self.kept.len() - 1];
        let straight = self.pending.len() < PENDING_MAX
            && self
                .pending
                .iter()
                .all(|passed| off_m(*passed, anchor, point) <= TOLERANCE_M);
        if !straight && let Some(turn) = self.pending.pop() {
            self.kept.push(turn);
            self.pending.clear();
        }
        self.pending.push(point);
    }

    /// Leaves out points of the line until half of the room is free.
    fn thin(&mut self) {
        let mut more_m = self.tolerance_m;
        while self.kept.len() > LINE_MAX / 2 {
            self.kept = thinned(&self.kept, more_m);
            self.tolerance_m += more_m;
            more_m *= 2.0;
        }
    }
}

/// The line without points that are nearer than `tolerance_m` to what is left.
fn thinned(line: &[Point], tolerance_m: f64) -> Vec<Point> {
    let mut left = vec![line[0]];
    let mut from = 0;
    for to in 1..line.len() {
        let straight = line[from + 1..to]
            .iter()
            .all(|passed| off_m(*passed, line[from], line[to]) <= tolerance_m);
        if !straight {
            from = to - 1;
            left.push(line[from]);
        }
    }
    left.push(line[line.len() - 1]);
    left
}

/// How far a point is off the line between two others, metres; on a plane, which over a few kilometres is right to
/// decimetres.
fn off_m(point: Point, from: Point, to: Point) -> f64 {
    let cos = from.lat().to_radians().cos();
    let plane = |of: Point| {
        let mut lon = of.lon() - from.lon();
        if lon.abs() > 180.0 {
            lon -= 360.0_f64.copysign(lon);
        }
        let x = lon.to_radians() * cos * EARTH_RADIUS_M;
        let y = (of.lat() - from.lat()).to_radians() * EARTH_RADIUS_M;
        (x, y)
    };
    let ((px, py), (tx, ty)) = (plane(point), plane(to));
    let length2 = tx * tx + ty * ty;
    let along = if length2 > 0.0 {
        ((px * tx + py * ty) / length2).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (px - tx * along).hypot(py - ty * along)
}

#[cfg(test)]
mod tests;
