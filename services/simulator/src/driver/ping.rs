//! Pings: when the next one is due, and its text. A city of 1,500 drivers at twenty times the speed sends 7,500 a second, so
//! that times are on a grid (one wake-up of the timer serves many drivers) and texts share a buffer.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use chrono::TimeDelta;
use hexcab_types::Timestamp;

use super::machine::Status;
use crate::drive::Motion;

/// How often a driver pings, city time.
const INTERVAL_MS: i64 = 4_000;
/// Into so many moments an interval is divided; drivers are spread over them.
const MOMENTS: u64 = 20;
const BUFFER_BYTES: usize = 2 * 1024;
const PING_BYTES: usize = 192;

/// One driver's pings.
#[derive(Debug)]
pub struct Pinger {
    phase_ms: i64,
    buffer: BytesMut,
}

impl Pinger {
    /// The pings of the driver with this number.
    pub fn new(number: u64) -> Self {
        let phase_ms = (number % MOMENTS) as i64 * (INTERVAL_MS / MOMENTS as i64);
        Self {
            phase_ms,
            buffer: BytesMut::new(),
        }
    }

    /// When the next ping is due: his next moment on the grid.
    pub fn next(&self, now: Timestamp) -> Timestamp {
        let since = (now.timestamp_millis() - self.phase_ms).rem_euclid(INTERVAL_MS);
        let at_ms = now.timestamp_millis() + INTERVAL_MS - since;
        Timestamp::from_timestamp_millis(at_ms)
            .unwrap_or(now + TimeDelta::milliseconds(INTERVAL_MS))
    }

    /// The text of a ping.
    pub fn ping(&mut self, motion: Motion, status: Status, now: Timestamp) -> Bytes {
        if self.buffer.capacity() < PING_BYTES {
            // Takes the same memory again when the pings before are sent.
            self.buffer.reserve(BUFFER_BYTES);
        }
        // A BytesMut grows as needed: writing to it does not fail.
        let _ = write!(
            self.buffer,
            r#"{{"type":"ping","lat":{:.7},"lon":{:.7},"recorded_at_ms":{},"status":"{}","heading_deg":{},"speed_cm_s":{}}}"#,
            motion.at.lat(),
            motion.at.lon(),
            now.timestamp_millis(),
            status.as_str(),
            motion.heading_deg,
            motion.speed_cm_s,
        );
        self.buffer.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use hexcab_types::Point;

    use super::*;

    #[test]
    fn pings_are_four_seconds_apart_on_a_grid_that_spreads_drivers() {
        let now = Timestamp::from_timestamp_millis(1_000_123).unwrap();
        let mut moments = std::collections::BTreeSet::new();
        for number in 0..100 {
            let pinger = Pinger::new(number);
            let next = pinger.next(now);
            assert!(next > now && next - now <= TimeDelta::milliseconds(4_000));
            assert_eq!(pinger.next(next) - next, TimeDelta::milliseconds(4_000));
            moments.insert(next);
        }
        assert_eq!(moments.len(), 20);
    }

    #[test]
    fn a_ping_is_json_as_the_gateway_reads_it() {
        let at = Point::from_degrees(37.7749, -122.4194).unwrap();
        let motion = Motion {
            at,
            heading_deg: 271,
            speed_cm_s: 1_234,
        };
        let now = Timestamp::from_timestamp_millis(1_000_123).unwrap();
        let mut pinger = Pinger::new(3);
        for _ in 0..50 {
            let ping: serde_json::Value =
                serde_json::from_slice(&pinger.ping(motion, Status::EnRoute, now)).unwrap();
            let expected = serde_json::json!({
                "type": "ping", "lat": 37.7749, "lon": -122.4194, "recorded_at_ms": 1_000_123, "status": "en_route",
                "heading_deg": 271, "speed_cm_s": 1_234
            });
            assert_eq!(ping, expected);
        }
    }
}
