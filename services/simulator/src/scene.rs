//! What all people of a simulation share: the city, its roads and clock, the platform, chance, and the counts.

use std::sync::Arc;

use hexcab_chassis::Clock;
use hexcab_cities::City;
use hexcab_road::RoadTimes;
use uuid::Uuid;

use crate::{
    api::Api,
    chance::{AnswerRates, Chance, Kind, RiderRates},
    meeting::Meetings,
    tally::Tally,
};

/// What all people share.
pub struct Scene {
    /// The city.
    pub city: City,
    /// How long drives take.
    pub roads: Arc<dyn RoadTimes>,
    /// The city's clock.
    pub clock: Clock,
    /// The platform.
    pub api: Arc<Api>,
    /// All chance but the keys'.
    pub chance: Chance,
    /// The chance of request keys. They must not come again when a simulation with the same seed does.
    pub keys: Chance,
    /// How drivers answer.
    pub answers: AnswerRates,
    /// What riders do.
    pub riders: RiderRates,
    /// A rider leaves after so many city minutes without a car; none is never.
    pub patience: Option<chrono::TimeDelta>,
    /// What people tell each other at the kerb.
    pub meetings: Meetings,
    /// What happened.
    pub tally: Arc<Tally>,
}

impl Scene {
    /// The key of someone's nth command.
    pub fn key(&self, kind: Kind, who: u64, nth: u64) -> Uuid {
        // Streams of keys of riders and drivers are apart.
        let who = who * 2 + u64::from(kind == Kind::DriverId);
        self.keys.id(Kind::Key, who, nth)
    }
}
