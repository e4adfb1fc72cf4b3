//! A process that is sent to a crash point, and watched until one has died of it.
//!
//! Invariant: dropped, no process is on its way there; dies one of something else, the next one is. Does not: start it again
//! after its end, its watcher does.

use std::time::Duration;

use tokio::time::Instant;

use super::{LOOK_EVERY, Observed, events};
use crate::{
    chaos::{evidence::Evidence, points},
    stack::{Stack, services::Service},
};

/// How often what a point needs is provided.
const PROVIDE_EVERY: Duration = Duration::from_secs(2);

/// A service on its way to a crash point.
pub struct Armed<'a> {
    stack: &'a Stack,
    service: Service,
    point: &'a str,
    /// As the process is told.
    order: String,
}

impl<'a> Armed<'a> {
    /// Nothing happens yet.
    pub fn new(stack: &'a Stack, service: Service, point: &'a str, nth: u32) -> Self {
        Self {
            stack,
            service,
            point,
            order: format!("{point}:{nth}"),
        }
    }

    /// Sends it there until it has died of it, this long at most.
    pub async fn until_dead(self, patience: Duration) -> Observed {
        let begun = Instant::now();
        let seen = Evidence::from_now(&self.stack.log(self.service));
        if let Err(error) = self.stack.arm(self.service, &self.order) {
            return Observed::missed(format!("could not be sent: {error}"));
        }
        let reached = tokio::time::timeout(patience, self.watch(&seen)).await;
        drop(self);
        if reached.is_err() {
            return Observed::missed(format!("not reached within {} s", patience.as_secs()));
        }
        let after = begun.elapsed().as_secs_f64();
        Observed::struck(format!("died of it within {after:.1} s"))
    }

    /// Returns when one has died of it.
    async fn watch(&self, seen: &Evidence) {
        let reached = format!("crash point {} reached", self.point);
        let needs_poison = points::needs_poison(self.service, self.point);
        let mut provided: Option<Instant> = None;
        while !seen.says(&reached) {
            if needs_poison && provided.is_none_or(|at| at.elapsed() >= PROVIDE_EVERY) {
                // A broker that is away now is asked again.
                let _away = events::poison(self.stack).await;
                provided = Some(Instant::now());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        self.stack.disarm(self.service);
    }
}
