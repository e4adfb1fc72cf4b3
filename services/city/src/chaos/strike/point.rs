//! A process that is sent to a crash point: started anew, armed, and watched until it has died of it.
//!
//! Invariant: dropped, the next process is not armed; dies it of something else, it is sent there again. Does not: start it
//! again after its end, its watcher does; call a process back that did not reach it ([`call_back`] does).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{LOOK_EVERY, Observed, events};
use crate::{
    chaos::{evidence::Evidence, points},
    stack::{
        Stack,
        node::Node,
        process::{Life, Process},
        services::Service,
    },
};

/// How long a gentle restart may take, as far as we wait for it.
const RESTART_PATIENCE: Duration = Duration::from_secs(10);
/// How often what a point needs is provided.
const PROVIDE_EVERY: Duration = Duration::from_secs(2);

/// Starts a service anew that is on its way to a crash point, so that it dies of none.
pub async fn call_back(stack: &Stack, service: Service) {
    stack.disarm(service);
    if let Some(process) = stack.process(Node::Service(service)) {
        let _patience = tokio::time::timeout(RESTART_PATIENCE, process.restart()).await;
    }
}

/// A service on its way to a crash point.
pub struct Armed<'a> {
    stack: &'a Stack,
    service: Service,
    point: &'a str,
    /// As the process is told.
    spec: String,
}

impl<'a> Armed<'a> {
    /// Nothing happens yet.
    pub fn new(stack: &'a Stack, service: Service, point: &'a str, nth: u32) -> Self {
        Self {
            stack,
            service,
            point,
            spec: format!("{point}:{nth}"),
        }
    }

    /// Sends it there until it has died of it, this long at most.
    pub async fn until_dead(self, patience: Duration) -> Observed {
        let begun = Instant::now();
        let Some(process) = self.stack.process(Node::Service(self.service)) else {
            return Observed::missed("there is no such process");
        };
        let seen = Evidence::from_now(&self.stack.log(self.service));
        let reached = tokio::time::timeout(patience, self.send(&process, &seen)).await;
        drop(self);
        if reached.is_err() {
            return Observed::missed(format!("not reached within {} s", patience.as_secs()));
        }
        let after = begun.elapsed().as_secs_f64();
        Observed::struck(format!("died of it within {after:.1} s"))
    }

    /// Returns when it has died of it.
    async fn send(&self, process: &Arc<dyn Process>, seen: &Evidence) {
        let reached = format!("crash point {} reached", self.point);
        let needs_poison = points::needs_poison(self.service, self.point);
        let mut provided: Option<Instant> = None;
        let mut armed = self.arm(process).await;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let life = process.life();
            if seen.says(&reached) {
                return;
            }
            if life.restarts > armed.restarts {
                // Another fault killed it before it got there.
                armed = self.arm(process).await;
            }
            if needs_poison && provided.is_none_or(|at| at.elapsed() >= PROVIDE_EVERY) {
                // A broker that is away now is asked again.
                let _away = events::poison(self.stack).await;
                provided = Some(Instant::now());
            }
        }
    }

    /// Starts it anew, gently: its consumer leaves its group, and the next one need not wait for it to be taken for dead.
    async fn arm(&self, process: &Arc<dyn Process>) -> Life {
        self.stack.arm(self.service, &self.spec);
        let before = process.life();
        // One that stands still stops later, and is started armed then.
        let _patience = tokio::time::timeout(RESTART_PATIENCE, process.restart()).await;
        before
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        self.stack.disarm(self.service);
    }
}
