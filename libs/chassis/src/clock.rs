//! The only source of time. A city's clock may run faster than the machine's, the same in every process of the city.
//!
//! City time rules what a rider or driver would notice: offers, windows, quotes, staleness, surge. Network timeouts,
//! leases and user tokens follow the machine's time and do not come here.

pub(crate) mod skew;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use hexcab_types::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How a clock runs: `system`, or `epoch,base,speed`: when the machine's clock reads `epoch` (milliseconds since 1970)
/// the city's reads `base`, and from there it runs at `speed`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClockConfig {
    epoch_ms: i64,
    base_ms: i64,
    speed: f64,
}

impl ClockConfig {
    /// The city's clock reads `base` now and runs at `speed` from here on.
    ///
    /// # Errors
    /// When the speed is not within 0.01 to 1000.
    pub fn starting_now(base: Timestamp, speed: f64) -> Result<Self, ClockError> {
        Self {
            epoch_ms: machine_now().timestamp_millis(),
            base_ms: base.timestamp_millis(),
            speed,
        }
        .checked()
    }

    /// The clock itself.
    pub fn clock(&self) -> Clock {
        Clock(Kind::Running(*self))
    }

    fn checked(self) -> Result<Self, ClockError> {
        if (0.01..=1000.0).contains(&self.speed) {
            Ok(self)
        } else {
            Err(ClockError(self.to_string()))
        }
    }
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self {
            epoch_ms: 0,
            base_ms: 0,
            speed: 1.0,
        }
    }
}

/// Text that is no clock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a clock: want \"system\" or \"epoch_ms,base_ms,speed\" with a speed of 0.01 to 1000"
)]
pub struct ClockError(String);

impl FromStr for ClockConfig {
    type Err = ClockError;
    fn from_str(text: &str) -> Result<Self, ClockError> {
        if text == "system" {
            return Ok(Self::default());
        }
        let fail = || ClockError(text.to_owned());
        let mut parts = text.split(',').map(str::trim);
        let (Some(epoch), Some(base), Some(speed), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(fail());
        };
        Self {
            epoch_ms: epoch.parse().map_err(|_| fail())?,
            base_ms: base.parse().map_err(|_| fail())?,
            speed: speed.parse().map_err(|_| fail())?,
        }
        .checked()
        .map_err(|_| fail())
    }
}

impl TryFrom<String> for ClockConfig {
    type Error = ClockError;
    fn try_from(text: String) -> Result<Self, ClockError> {
        text.parse()
    }
}

impl fmt::Display for ClockConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            f.write_str("system")
        } else {
            write!(f, "{},{},{}", self.epoch_ms, self.base_ms, self.speed)
        }
    }
}

impl From<ClockConfig> for String {
    fn from(config: ClockConfig) -> String {
        config.to_string()
    }
}

/// A clock; clones read the same time.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Running(ClockConfig),
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// The machine's own time.
    pub fn system() -> Self {
        ClockConfig::default().clock()
    }

    /// A clock that stands still until its [`ManualClock`] moves it: for tests.
    pub fn manual(at: Timestamp) -> (Self, ManualClock) {
        let (sender, _) = watch::channel(at.trunc_subsecs(6));
        let sender = Arc::new(sender);
        (Self(Kind::Manual(sender.clone())), ManualClock(sender))
    }

    /// Now, in whole microseconds.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::Running(config) => {
                let since = machine_now()
                    - DateTime::<Utc>::from_timestamp_millis(config.epoch_ms).unwrap_or_default();
                let micros = since.num_microseconds().unwrap_or(i64::MAX);
                let city_micros = if config.speed == 1.0 {
                    micros
                } else {
                    (micros as f64 * config.speed) as i64
                };
                let base =
                    DateTime::<Utc>::from_timestamp_millis(config.base_ms).unwrap_or_default();
                base + TimeDelta::microseconds(city_micros) + skew::now()
            }
            Kind::Manual(sender) => *sender.borrow(),
        }
    }

    /// City seconds per second of the machine.
    pub fn speed(&self) -> f64 {
        match &self.0 {
            Kind::Running(config) => config.speed,
            Kind::Manual(_) => 1.0,
        }
    }

    /// How long the machine takes for this much city time.
    pub fn to_real(&self, city: Duration) -> Duration {
        city.div_f64(self.speed())
    }

    /// How much city time passes meanwhile.
    pub fn to_city(&self, real: Duration) -> Duration {
        real.mul_f64(self.speed())
    }

    /// Waits for this much city time.
    pub async fn sleep(&self, city: Duration) {
        let until = self.now() + TimeDelta::from_std(city).unwrap_or(TimeDelta::MAX);
        self.sleep_until(until).await;
    }

    /// Waits until the clock reads this.
    pub async fn sleep_until(&self, until: Timestamp) {
        match &self.0 {
            Kind::Running(_) => loop {
                let Ok(left) = (until - self.now()).to_std() else {
                    return;
                };
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(self.to_real(left)).await;
            },
            Kind::Manual(sender) => {
                // The sender lives in this clock, so the wait ends only by reaching the time.
                let _ = sender.subscribe().wait_for(|now| *now >= until).await;
            }
        }
    }
}

/// Moves a [`Clock::manual`].
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<watch::Sender<Timestamp>>);

impl ManualClock {
    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let by = TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
        self.0.send_modify(|now| *now += by);
    }

    /// Sets the clock.
    pub fn set(&self, at: Timestamp) {
        self.0.send_replace(at.trunc_subsecs(6));
    }
}

/// The one place that reads the machine's clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn machine_now() -> Timestamp {
    Utc::now().trunc_subsecs(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_reads_back_from_its_text() {
        for text in ["system", "1000,2000,20"] {
            assert_eq!(text.parse::<ClockConfig>().unwrap().to_string(), text);
        }
        for bad in [
            "", "fast", "1,2", "1,2,3,4", "1,2,0", "1,2,-1", "1,2,NaN", "1,x,1",
        ] {
            assert!(bad.parse::<ClockConfig>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_fast_clock_runs_fast() {
        let config = ClockConfig {
            epoch_ms: machine_now().timestamp_millis() - 1_000,
            base_ms: 0,
            speed: 100.0,
        };
        let read = config.clock().now().timestamp_millis();
        assert!((100_000..160_000).contains(&read), "{read}");
        assert_eq!(
            config.clock().to_real(Duration::from_secs(100)),
            Duration::from_secs(1)
        );
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come() {
        let start = Timestamp::from_timestamp(1_000, 0).unwrap();
        let (clock, hand) = Clock::manual(start);
        let sleeper = clock.sleep(Duration::from_secs(10));
        tokio::pin!(sleeper);
        assert!(futures::poll!(&mut sleeper).is_pending());
        hand.advance(Duration::from_secs(9));
        assert!(futures::poll!(&mut sleeper).is_pending());
        hand.advance(Duration::from_secs(1));
        sleeper.await;
        assert_eq!(clock.now(), start + TimeDelta::seconds(10));
    }
}
