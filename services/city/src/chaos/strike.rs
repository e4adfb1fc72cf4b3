//! Does one fault to a running city, holds it for its time, lifts it, and says what was seen.
//!
//! - [`events`] deliveries that nobody needs; [`point`] a process sent to its crash point
//!
//! Invariant: a fault that lasts is a guard: dropped, for whatever reason, it is lifted (but for the processor's, which are
//! lifted by asking it, at the end and by [`lift_all`]). Does not: wait for its turn ([`super::run`] does), judge.

pub mod events;
mod point;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hexcab_proxy::{Mode, Proxy, Trap};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{evidence::Evidence, fault::Fault};
use crate::stack::{
    Stack,
    node::{Link, Node},
    process::{self, Process},
    services::Service,
};

/// How long something that was struck is watched until it is well again, for the record.
const RECOVERY: Duration = Duration::from_secs(30);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the sandbox may take to take in a rule.
const RULE_TIMEOUT: Duration = Duration::from_secs(5);
/// What a transaction ends with, as Postgres is told.
const COMMIT: &[u8] = b"COMMIT";

/// What became of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Whether it took place.
    pub struck: bool,
    /// What was seen, for a person.
    pub what: String,
}

impl Observed {
    fn struck(what: impl Into<String>) -> Self {
        Self {
            struck: true,
            what: what.into(),
        }
    }

    fn missed(what: impl Into<String>) -> Self {
        Self {
            struck: false,
            what: what.into(),
        }
    }
}

/// Does the fault, holds it this long, lifts it. `seed` decides what chance decides while it goes on.
pub async fn strike(stack: &Stack, fault: &Fault, lasts: Duration, seed: u64) -> Observed {
    match fault {
        Fault::Kill { node } => kill(stack, *node).await,
        Fault::Pause { node } => pause(stack, *node, lasts).await,
        Fault::Cut { link } => disturb(stack, *link, Mode::Refuse, lasts).await,
        Fault::Slow { link, latency_ms } => {
            let latency = Duration::from_millis(*latency_ms);
            disturb(stack, *link, Mode::Slow(latency), lasts).await
        }
        Fault::HalfOpen { link, forgotten } => {
            let observed = disturb(stack, *link, Mode::HalfOpen, lasts).await;
            if *forgotten && let Some(proxy) = stack.links().proxy(*link) {
                proxy.cut();
            }
            observed
        }
        Fault::LostCommit { link } => lose_commit(stack, *link, lasts).await,
        Fault::ClockStep { service, seconds } => step_clock(stack, *service, *seconds, lasts).await,
        Fault::Processor { kind, rate } => misprocess(stack, kind, *rate, lasts).await,
        Fault::Echo { newest } => tell(events::echo(stack, *newest, seed).await),
        Fault::Republish { since_s } => tell(events::send_again(stack, *since_s).await),
        Fault::Poison => tell(events::poison(stack).await),
        Fault::CrashPoint {
            service,
            point,
            nth,
        } => {
            let armed = point::Armed::new(stack, *service, point, *nth);
            armed.until_dead(lasts).await
        }
    }
}

/// Whatever a fault left behind is gone: links pass, clocks are right, nobody stands still, the processor behaves.
///
/// # Errors
/// When the processor's sandbox cannot be asked; it is up by then.
pub async fn lift_all(stack: &Stack) -> anyhow::Result<()> {
    for link in stack.links().all() {
        if let Some(proxy) = stack.links().proxy(link) {
            proxy.set(Mode::Pass);
            proxy.disarm();
        }
    }
    for service in Service::ALL {
        drop(SteppedClock(stack.clock_file(service)));
        stack.disarm(service);
    }
    for node in stack.nodes() {
        if let Some(process) = stack.process(node) {
            process.suffer(process::Fault::Continue);
        }
    }
    stack
        .until_well(&[Node::Service(Service::Sandbox)], RECOVERY)
        .await;
    forget_rules(stack)
        .await
        .context("lift the processor's faults")
}

/// How long it takes until a service is well again that died of its crash point, watched this long at most.
pub async fn recovered(stack: &Stack, service: Service, patience: Duration) -> String {
    let (begun, patience) = (Instant::now(), patience.min(RECOVERY));
    let well = stack.until_well(&[Node::Service(service)], patience).await;
    let took = begun.elapsed().as_secs_f64();
    match well {
        None => format!(", well after {took:.1} s"),
        Some(complaint) => format!(", not well after {took:.1} s: {complaint}"),
    }
}

fn tell(done: anyhow::Result<String>) -> Observed {
    match done {
        Ok(what) => Observed::struck(what),
        Err(error) => Observed::missed(format!("{error:#}")),
    }
}

async fn kill(stack: &Stack, node: Node) -> Observed {
    let Some(process) = stack.process(node) else {
        return Observed::missed("there is no such process");
    };
    if !process.suffer(process::Fault::Kill) {
        return Observed::missed("it was not running");
    }
    let back = well_again(stack, node, process.life().pid).await;
    Observed::struck(format!("killed, {back}"))
}

async fn pause(stack: &Stack, node: Node, lasts: Duration) -> Observed {
    let Some(process) = stack.process(node) else {
        return Observed::missed("there is no such process");
    };
    if !process.suffer(process::Fault::Stop) {
        return Observed::missed("it was not running");
    }
    let still = Paused(process);
    tokio::time::sleep(lasts).await;
    drop(still);
    let back = well_again(stack, node, None).await;
    Observed::struck(format!("stood still, {back}"))
}

/// How long it takes until it is well, and another process than this one.
async fn well_again(stack: &Stack, node: Node, before: Option<u32>) -> String {
    let begun = Instant::now();
    if before.is_some() {
        let another = async {
            while stack
                .process(node)
                .is_some_and(|process| process.life().pid == before)
            {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let _still_there = tokio::time::timeout(RECOVERY, another).await;
    }
    let left = RECOVERY.saturating_sub(begun.elapsed());
    match stack.until_well(&[node], left).await {
        None => format!("well after {:.1} s", begun.elapsed().as_secs_f64()),
        Some(complaint) => format!("not well after {} s: {complaint}", RECOVERY.as_secs()),
    }
}

async fn disturb(stack: &Stack, link: Link, mode: Mode, lasts: Duration) -> Observed {
    let Some(proxy) = stack.links().proxy(link) else {
        return Observed::missed("there is no proxy on it");
    };
    let disturbed = Disturbed(proxy);
    proxy.set(mode);
    tokio::time::sleep(lasts).await;
    drop(disturbed);
    Observed::struck("disturbed, then let through")
}

async fn lose_commit(stack: &Stack, link: Link, lasts: Duration) -> Observed {
    let Some(proxy) = stack.links().proxy(link) else {
        return Observed::missed("there is no proxy on it");
    };
    let begun = Instant::now();
    proxy.trap(Trap::BeforeReply(COMMIT.to_vec()));
    while !proxy.is_sprung() && begun.elapsed() < lasts {
        tokio::time::sleep(LOOK_EVERY.min(lasts)).await;
    }
    let sprung = proxy.is_sprung();
    proxy.disarm();
    if sprung {
        let after = begun.elapsed().as_secs_f64();
        Observed::struck(format!("a reply to COMMIT was lost within {after:.1} s"))
    } else {
        Observed::missed("nothing was committed over it")
    }
}

async fn step_clock(stack: &Stack, service: Service, seconds: i64, lasts: Duration) -> Observed {
    let (file, seen) = (
        stack.clock_file(service),
        Evidence::from_now(&stack.log(service)),
    );
    if let Err(error) = std::fs::write(&file, seconds.to_string()) {
        return Observed::missed(format!("could not write {}: {error}", file.display()));
    }
    let stepped = SteppedClock(file);
    tokio::time::sleep(lasts).await;
    drop(stepped);
    if seen.says(&format!("off by {seconds} s")) {
        Observed::struck("stepped, and stepped back")
    } else {
        Observed::missed("the process did not notice: it was not running")
    }
}

async fn misprocess(stack: &Stack, kind: &str, rate: f64, lasts: Duration) -> Observed {
    if let Err(error) = set_rule(stack, json!({ "kind": kind, "rate": rate })).await {
        return Observed::missed(format!("{error:#}"));
    }
    tokio::time::sleep(lasts).await;
    match forget_rules(stack).await {
        Ok(()) => Observed::struck("in force, then forgotten"),
        // It was killed meanwhile, or will be asked again at the end.
        Err(error) => Observed::struck(format!("in force; {error:#}")),
    }
}

/// The rules that the processor's sandbox goes by.
///
/// # Errors
/// When it does not answer.
pub async fn rules(stack: &Stack) -> anyhow::Result<Vec<Value>> {
    let answer = ask_sandbox(stack, Method::GET, None).await?;
    answer.json().await.context("read the sandbox's rules")
}

/// One more.
///
/// # Errors
/// When it does not answer.
pub async fn set_rule(stack: &Stack, rule: Value) -> anyhow::Result<()> {
    ask_sandbox(stack, Method::POST, Some(rule)).await.map(drop)
}

async fn forget_rules(stack: &Stack) -> anyhow::Result<()> {
    ask_sandbox(stack, Method::DELETE, None).await.map(drop)
}

async fn ask_sandbox(
    stack: &Stack,
    method: Method,
    body: Option<Value>,
) -> anyhow::Result<Response> {
    let file = stack.file();
    let sandbox = &file.services[Service::Sandbox.name()].grpc;
    let mut request = reqwest::Client::new()
        .request(method, format!("{sandbox}/sandbox/faults"))
        .timeout(RULE_TIMEOUT);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.context("ask the sandbox")?;
    answer
        .error_for_status()
        .context("set a rule of the sandbox")
}

/// Goes on when dropped.
struct Paused(Arc<dyn Process>);

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.suffer(process::Fault::Continue);
    }
}

/// Passes again when dropped.
struct Disturbed<'a>(&'a Proxy);

impl Drop for Disturbed<'_> {
    fn drop(&mut self) {
        self.0.set(Mode::Pass);
    }
}

/// Is right again when dropped.
struct SteppedClock(std::path::PathBuf);

impl Drop for SteppedClock {
    fn drop(&mut self) {
        let _was_right = std::fs::remove_file(&self.0);
    }
}
