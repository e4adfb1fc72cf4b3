//! How fast a user may call: a token bucket each.

use std::{num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::{auth::User, config::RateConfig, status::Problem};

/// How often buckets that are full again are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// The buckets of all users who called lately.
pub struct RateLimits {
    buckets: DefaultKeyedRateLimiter<User>,
    clock: governor::clock::DefaultClock,
}

impl RateLimits {
    /// Empty hands. A rate of 0 counts as 1.
    pub fn new(config: &RateConfig) -> Self {
        let positive = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota =
            Quota::per_second(positive(config.per_second)).allow_burst(positive(config.burst));
        Self {
            buckets: RateLimiter::keyed(quota),
            clock: governor::clock::DefaultClock::default(),
        }
    }

    /// Counts a request of this user.
    ///
    /// # Errors
    /// 429 RATE_LIMITED with the time to come back.
    pub fn count(&self, user: User) -> Result<(), Problem> {
        self.buckets.check_key(&user).map_err(|early| {
            let wait = early.wait_time_from(self.clock.now());
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "RATE_LIMITED",
                "too many requests from this user",
            )
            .retry_after(wait)
        })
    }

    /// Forgets users who have not called lately, until shutdown.
    ///
    /// # Errors
    /// Never; the signature is a task's.
    pub async fn keep_small(&self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while shutdown
            .run_until_cancelled(tokio::time::sleep(FORGET_EVERY))
            .await
            .is_some()
        {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hexcab_types::{DriverId, RiderId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn one_users_haste_is_not_anothers() {
        let limits = RateLimits::new(&RateConfig {
            per_second: 1,
            burst: 2,
        });
        let id = Uuid::from_u128(7);
        let (hasty, other) = (
            User::Rider(RiderId::from(id)),
            User::Driver(DriverId::from(id)),
        );
        limits.count(hasty).unwrap();
        limits.count(hasty).unwrap();
        let refused = limits.count(hasty).unwrap_err();
        assert_eq!(
            (refused.status.as_u16(), refused.reason.as_str()),
            (429, "RATE_LIMITED")
        );
        assert!(refused.retry_after.is_some());
        limits.count(other).unwrap();
    }
}
