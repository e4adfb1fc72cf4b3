//! Rides through a processor on which everything goes wrong that can, with workers and followers killed in between. When
//! the faults are over everything ends, nobody was charged twice, and the books fit.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use hexcab_chassis::Clock;
use hexcab_payment::{
    config::{Config, WebhookConfig},
    store::Rules,
};
use hexcab_testkit::{ChaCha8Rng, eventually, seeded};
use rand::RngExt as _;
use serde_json::json;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{request, usd};
use crate::{
    process::free_port,
    rig::{Ride, Rig, Sandbox},
    webhooks::Door,
};

/// Rides, and workers on them at any time.
const RIDES: usize = 60;
const WORKERS: usize = 5;
const FOLLOWERS: usize = 2;
/// A worker lives so long at most, milliseconds.
const LIFE_MS: u64 = 700;
/// The lease of a dead one runs out after this.
const LEASE: Duration = Duration::from_millis(800);
/// Longer than the service waits for the processor.
const TOO_LATE_MS: u64 = 700;

/// Whoever works on the rides, killed now and then and replaced.
struct Crowd {
    rig: Arc<Rig>,
    door: Arc<Door>,
    running: JoinSet<()>,
    lives: Vec<AbortHandle>,
    chance: ChaCha8Rng,
    killed: u32,
}

impl Crowd {
    fn new(rig: Arc<Rig>, door: Arc<Door>, chance: ChaCha8Rng) -> Self {
        let mut crowd = Self {
            rig,
            door,
            running: JoinSet::new(),
            lives: Vec::new(),
            chance,
            killed: 0,
        };
        for place in 0..WORKERS + FOLLOWERS {
            let life = crowd.begin(place);
            crowd.lives.push(life);
        }
        crowd
    }

    fn begin(&mut self, place: usize) -> AbortHandle {
        let never = CancellationToken::new();
        if place < WORKERS {
            let worker = self.rig.worker();
            self.running.spawn(async move {
                loop {
                    if !matches!(worker.work_once().await, Ok(true)) {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            })
        } else {
            let follower = self.door.follower.clone();
            self.running.spawn(async move {
                let _ = follower.run(never).await;
            })
        }
    }

    /// Somebody dies, whatever he was doing, and another takes his place.
    fn kill_one(&mut self) {
        let place = self.chance.random_range(0..self.lives.len());
        self.lives[place].abort();
        self.lives[place] = self.begin(place);
        self.killed += 1;
    }
}

/// Faults of every kind, on everything they can befall.
async fn faults(sandbox: &Sandbox) {
    for (kind, rate) in [
        ("timeout_after", 0.05),
        ("timeout_before", 0.05),
        ("error_500", 0.06),
        ("error_500_kept", 0.03),
        ("slow", 0.05),
        ("decline", 0.05),
        ("webhook_duplicate", 0.2),
        ("webhook_reorder", 0.2),
        ("webhook_wrong_signature", 0.1),
        ("webhook_stale", 0.1),
        ("webhook_lost", 0.1),
    ] {
        sandbox
            .fault(json!({"kind": kind, "rate": rate, "delay_ms": TOO_LATE_MS}))
            .await;
    }
    for on in ["capture", "refund"] {
        sandbox
            .fault(json!({"kind": "decline", "on": on, "rate": 0.1}))
            .await;
    }
    for kind in ["error_500", "timeout_before"] {
        sandbox
            .fault(json!({"kind": kind, "on": "read", "rate": 0.05, "delay_ms": TOO_LATE_MS}))
            .await;
    }
}

/// How a ride ends.
async fn live(rig: &Rig, ride: &Ride, chance: &mut ChaCha8Rng) {
    match chance.random_range(0..10) {
        0 => rig.tell(&ride.cancelled(0)).await,
        1 => rig.tell(&ride.cancelled(500)).await,
        2 => rig.tell(&ride.expired()).await,
        3 => rig.tell(&ride.no_show(600, 300)).await,
        waited => {
            if waited > 7 {
                rig.tell(&ride.started(400)).await;
            }
            let charge = [2_000, 1_500, 2_300, 2_400][chance.random_range(0..4)];
            rig.tell(&ride.completed(charge)).await;
        }
    }
}

/// What people want of a ride that was lived: some of it is refused, because nothing was taken.
async fn want(rig: &Rig, ride: &Ride, chance: &mut ChaCha8Rng) {
    if chance.random_bool(0.5) {
        let ask = hexcab_payment::domain::refund::Ask {
            amount: chance.random_bool(0.5).then(|| usd(700)),
            clawback: chance.random_bool(0.5),
            reason: "late".into(),
            operator: uuid::Uuid::now_v7().into(),
        };
        let _ = rig.store.refund(&request(), ride.trip, &ask).await;
    }
    if chance.random_bool(0.4) {
        let key = request();
        let _ = rig.store.tip(&key, ride.trip, ride.rider, usd(300)).await;
    }
}

/// A chargeback of something that was taken.
async fn dispute_one(rig: &Rig, chance: &mut ChaCha8Rng) {
    let taken: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM payment_intents p WHERE status = 'succeeded' AND capture_method = 'manual'
           AND NOT EXISTS (SELECT FROM disputes WHERE payment_intent = p.id)
           AND NOT EXISTS (SELECT FROM refunds WHERE payment_intent = p.id) ORDER BY seq",
    )
    .fetch_all(rig.sandbox.pg.pool())
    .await
    .unwrap();
    if taken.is_empty() {
        return;
    }
    let payment = &taken[chance.random_range(0..taken.len())];
    let url = format!("{}/sandbox/disputes", rig.sandbox.url());
    let _ = reqwest::Client::new()
        .post(url)
        .json(&json!({"payment_intent": payment}))
        .send()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rides_through_every_fault_with_workers_killed_end_with_books_that_fit() {
    hexcab_testkit::telemetry();
    let (_, mut chance) = seeded("faulted");
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let sandbox = Sandbox::telling(Some(format!("http://{listen}/webhooks"))).await;
    let rules = Rules {
        lease: LEASE,
        ..Config::default().rules()
    };
    let rig = Arc::new(Rig::with(sandbox, Clock::system(), rules).await);
    let config = WebhookConfig {
        listen,
        ..WebhookConfig::default()
    };
    let door = Arc::new(Door::with(&rig, config).await);
    faults(&rig.sandbox).await;

    let (_, seed) = seeded("crowd");
    let mut crowd = Crowd::new(rig.clone(), door.clone(), seed);
    let rides: Vec<Ride> = (0..RIDES).map(|_| Ride::new()).collect();
    for ride in &rides {
        rig.tell(&ride.requested()).await;
    }
    for (number, ride) in rides.iter().enumerate() {
        live(&rig, ride, &mut chance).await;
        let lived = &rides[chance.random_range(0..=number)];
        want(&rig, lived, &mut chance).await;
        let life = chance.random_range(LIFE_MS / 20..LIFE_MS / 4);
        tokio::time::sleep(Duration::from_millis(life)).await;
        crowd.kill_one();
        if chance.random_bool(0.2) {
            dispute_one(&rig, &mut chance).await;
        }
    }
    let url = format!("{}/sandbox/faults", rig.sandbox.url());
    reqwest::Client::new().delete(url).send().await.unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while rig.outstanding().await > 0 {
        assert!(
            tokio::time::Instant::now() < until,
            "everything ends within 60 s"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What was late is told, and what was lost is found.
    eventually(|| async {
        let pending: i64 =
            sqlx::query_scalar("SELECT count(*) FROM deliveries WHERE delivered_at IS NULL")
                .fetch_one(rig.sandbox.pg.pool())
                .await
                .unwrap();
        (pending == 0).then_some(())
    })
    .await;
    let run = rig.reconcile().await;
    assert_eq!(rig.open().await, [], "{} were killed", crowd.killed);
    assert!(crowd.killed as usize >= RIDES);
    assert_eq!(rig.ledger_violations().await, []);
    println!("{:?}; {} killed", run.tally, crowd.killed);
    assert!(run.tally.refunds > 0 && run.tally.disputes > 0);

    // Nobody was charged twice: of every key that made something one is held or taken at most.
    let twice: Vec<(String, i64)> = sqlx::query_as(
        "SELECT metadata->>'key', count(*) FROM payment_intents WHERE status IN ('requires_capture', 'succeeded')
         GROUP BY 1 HAVING count(*) > 1
         UNION ALL SELECT metadata->>'key', count(*) FROM refunds WHERE status = 'succeeded' GROUP BY 1 HAVING count(*) > 1",
    )
    .fetch_all(rig.sandbox.pg.pool())
    .await
    .unwrap();
    assert_eq!(twice, []);
    let states: Vec<(String, i64)> =
        sqlx::query_as("SELECT state, count(*) FROM intents GROUP BY 1 ORDER BY 1")
            .fetch_all(rig.pg.pool())
            .await
            .unwrap();
    let states: BTreeMap<String, i64> = states.into_iter().collect();
    println!("{states:?}");
    for state in ["REQUIRES_HOLD", "UNKNOWN", "HELD"] {
        assert!(!states.contains_key(state), "every ride ended: {states:?}");
    }
}
