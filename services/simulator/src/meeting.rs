//! What rider and driver tell each other at the kerb: the start code, and (in a replay) how long the ride really took.
//! The rider has the code from the API; this is only his voice. Nothing here goes round the platform.

use std::collections::HashMap;

use chrono::TimeDelta;
use parking_lot::Mutex;
use uuid::Uuid;

/// What the rider says when he gets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The trip's start code, four digits.
    pub code: String,
    /// How long the recorded ride took, seconds; none when it is not a recorded one.
    pub ride_s: Option<u32>,
    /// How long he keeps the driver waiting, city time.
    pub late: TimeDelta,
}

/// All kerbs of the city.
#[derive(Debug, Default)]
pub struct Meetings {
    waiting: Mutex<HashMap<Uuid, Words>>,
}

impl Meetings {
    /// The rider of this trip stands at the pickup, or will.
    pub fn wait(&self, trip: Uuid, words: Words) {
        self.waiting.lock().insert(trip, words);
    }

    /// The rider of this trip is no longer to be met.
    pub fn leave(&self, trip: Uuid) {
        self.waiting.lock().remove(&trip);
    }

    /// What the rider of this trip says, when he is one of ours.
    pub fn hear(&self, trip: Uuid) -> Option<Words> {
        self.waiting.lock().get(&trip).cloned()
    }
}
