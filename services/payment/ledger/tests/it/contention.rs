//! Many at once: groups of different riders and drivers meet only on the hot accounts, and those are in shards.

use std::time::{Duration, Instant};

use futures::future::join_all;
use hexcab_ledger::{Account, LedgerError, Outcome, Transfer};
use hexcab_pg::{Pg, PgConfig, PgFailure as _};
use sqlx::AssertSqlSafe;

use crate::rig::{Rig, driver, pend, post, post_pending, rider};

const CONNECTIONS: u32 = 16;
/// Rides of each writer, where hot accounts are in shards and where they are not.
const RIDES_EACH: u32 = 60;
const RIDES_EACH_ON_ONE: u32 = 10;

/// What a crowd of writers came to.
#[derive(Debug, Default, Clone, Copy)]
struct Run {
    groups: u32,
    /// 40001 because a row had been changed by another transaction.
    rows: u32,
    /// 40001 because of reads and writes crossing, and deadlocks.
    crossings: u32,
    took: Duration,
}

impl Run {
    fn per_second(self) -> f64 {
        f64::from(self.groups) / self.took.as_secs_f64()
    }
}

/// Every writer submits its groups one after the other, each in a SERIALIZABLE transaction of its own, again until it
/// is applied. Nothing is paused, so that what collides collides.
async fn crowd(pg: &Pg, work: &[Vec<Vec<Transfer>>]) -> Run {
    let begun = Instant::now();
    let runs = join_all(work.iter().map(|groups| async move {
        let mut run = Run::default();
        for group in groups {
            run.groups += 1;
            while let Err(error) = once(pg, group).await {
                let failure = error.pg().expect("postgres");
                assert!(failure.is_serialization(), "{error:?}");
                if failure.message().unwrap().contains("concurrent") {
                    run.rows += 1;
                } else {
                    run.crossings += 1;
                }
            }
        }
        run
    }))
    .await;
    let mut sum = Run {
        took: begun.elapsed(),
        ..Run::default()
    };
    for run in runs {
        sum.groups += run.groups;
        sum.rows += run.rows;
        sum.crossings += run.crossings;
    }
    sum
}

async fn once(pg: &Pg, group: &[Transfer]) -> Result<(), LedgerError> {
    let mut tx = pg
        .pool()
        .begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE")
        .await?;
    let outcome = hexcab_ledger::submit(&mut tx, group).await?;
    assert_eq!(outcome, Outcome::Applied);
    Ok(tx.commit().await?)
}

/// Rides of different riders and drivers: each writer's holds, and the captures of these.
fn rides(offset: u32, each: u32) -> [Vec<Vec<Vec<Transfer>>>; 2] {
    let mut holds = Vec::new();
    let mut captures = Vec::new();
    for writer in 0..CONNECTIONS {
        let (mut his_holds, mut his_captures) = (Vec::new(), Vec::new());
        for ride in 0..each {
            let n = u128::from(offset + writer * each + ride);
            let (rider, driver) = (rider(n), driver(n));
            let hold = pend(Account::Processor, rider, 2_500);
            his_holds.push(vec![hold]);
            his_captures.push(vec![
                post_pending(&hold, 2_000),
                post(rider, driver, 1_400),
                post(rider, Account::Tax, 150),
                post(rider, Account::Revenue, 450),
            ]);
        }
        holds.push(his_holds);
        captures.push(his_captures);
    }
    [holds, captures]
}

async fn crowded(subject: &str) -> (Rig, Pg) {
    let rig = Rig::start(subject).await;
    let config = PgConfig {
        max_connections: CONNECTIONS,
        acquire_timeout_ms: 30_000,
        lock_timeout_ms: 30_000,
        statement_timeout_ms: 30_000,
        ..rig.db.config()
    };
    let pg = Pg::connect(&config, "crowd").await.unwrap();
    (rig, pg)
}

async fn shards(pg: &Pg, count: u32) {
    let sql = format!("UPDATE ledger.settings SET hot_shards = {count}");
    sqlx::query(AssertSqlSafe(sql))
        .execute(pg.pool())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_of_different_riders_hardly_ever_meet() {
    let (rig, pg) = crowded("crowd").await;
    let [holds, captures] = rides(0, RIDES_EACH);
    let held = crowd(&pg, &holds).await;
    let sharded = crowd(&pg, &captures).await;
    shards(&pg, 1).await;
    let [more_holds, more_captures] = rides(1_000_000, RIDES_EACH_ON_ONE);
    let held_on_one = crowd(&pg, &more_holds).await;
    let on_one = crowd(&pg, &more_captures).await;
    for (what, run) in [
        ("holds, 1,024 shards", held),
        ("captures, 1,024 shards", sharded),
        ("holds, 1 shard", held_on_one),
        ("captures, 1 shard", on_one),
    ] {
        println!(
            "{what}: {} on {CONNECTIONS} connections, {:.0}/s, {} 40001 on rows, {} on crossings",
            run.groups,
            run.per_second(),
            run.rows,
            run.crossings
        );
    }
    // Of 16 at once, a group meets another on its shard with a chance of 15 in 1,024, or a little more when others
    // commit twice meanwhile; nothing else may make it run again.
    assert!(sharded.rows * 100 <= sharded.groups * 8, "{sharded:?}");
    assert_eq!((held.crossings, sharded.crossings), (0, 0));
    assert!(on_one.rows > on_one.groups, "without shards: {on_one:?}");
    assert_eq!(rig.violations().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_and_captures_at_once_do_not_cross() {
    let (rig, pg) = crowded("crowd_mixed").await;
    let [holds, captures] = rides(0, RIDES_EACH);
    crowd(&pg, &holds).await;
    let [more_holds, _] = rides(1_000_000, RIDES_EACH);
    let mixed: Vec<Vec<Vec<Transfer>>> = captures
        .into_iter()
        .zip(more_holds)
        .map(|(captures, holds)| {
            captures
                .into_iter()
                .zip(holds)
                .flat_map(|(capture, hold)| [capture, hold])
                .collect()
        })
        .collect();
    let run = crowd(&pg, &mixed).await;
    println!(
        "holds and captures: {} on {CONNECTIONS} connections, {:.0}/s, {} 40001 on rows, {} on crossings",
        run.groups,
        run.per_second(),
        run.rows,
        run.crossings
    );
    assert!(run.rows * 100 <= run.groups * 8, "{run:?}");
    assert_eq!(run.crossings, 0);
    assert_eq!(rig.violations().await, []);
}
