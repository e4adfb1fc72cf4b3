//! Who comes at the same time: one wins, the others are told.

use futures::future::join_all;
use hexcab_ledger::{Account, LedgerError, Limits, Outcome, Refusal, Transfer};
use hexcab_pg::{Pg, PgConfig};
use hexcab_types::Currency;

use crate::rig::{Rig, at, driver, pend, pend_for, post, post_pending, rider, void};

const AT_ONCE: u32 = 8;
/// A race that is always won by the same one proves little: it is run so often.
const ROUNDS: u32 = 12;

async fn starting_line(subject: &str) -> (Rig, Pg) {
    let rig = Rig::start(subject).await;
    let config = PgConfig {
        max_connections: AT_ONCE,
        acquire_timeout_ms: 30_000,
        lock_timeout_ms: 30_000,
        statement_timeout_ms: 30_000,
        ..rig.db.config()
    };
    let pg = Pg::connect(&config, "race").await.unwrap();
    (rig, pg)
}

/// Submits all groups at once, each again while others win by chance only.
async fn race(pg: &Pg, groups: &[Vec<Transfer>]) -> Vec<Result<Outcome, Refusal>> {
    let answers = groups.iter().map(async |group| {
        loop {
            let answer = pg
                .serializable("race", |mut tx| async move {
                    hexcab_ledger::submit(&mut tx, group).await
                })
                .await;
            match answer {
                Ok(outcome) => return Ok(outcome),
                Err(LedgerError::Refused(refusal)) => return Err(refusal),
                Err(LedgerError::Pg(hexcab_pg::PgError::Contended { .. })) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    join_all(answers).await
}

fn applied(answers: &[Result<Outcome, Refusal>]) -> usize {
    let wins = answers
        .iter()
        .filter(|answer| **answer == Ok(Outcome::Applied));
    wins.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_is_ended_by_one_of_many() {
    let (rig, pg) = starting_line("race_end").await;
    for round in 0..ROUNDS {
        let hold = pend(Account::Processor, rider(1), 100);
        rig.submit(&[hold]).await.unwrap();
        let groups: Vec<Vec<Transfer>> = (0..AT_ONCE)
            .map(|n| match n % 2 {
                0 => vec![post_pending(&hold, 60), post(rider(1), driver(1), 60)],
                _ => vec![void(&hold)],
            })
            .collect();
        let answers = race(&pg, &groups).await;
        assert_eq!(applied(&answers), 1, "round {round}: {answers:?}");
        let loser = if answers.iter().step_by(2).any(|answer| answer.is_ok()) {
            Refusal::AlreadyPosted(hold.id)
        } else {
            Refusal::AlreadyVoided(hold.id)
        };
        for answer in answers.iter().filter(|answer| answer.is_err()) {
            assert_eq!(*answer, Err(loser), "round {round}");
        }
    }
    assert_eq!(rig.violations().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_state_at_once_is_applied_once() {
    let (rig, pg) = starting_line("race_once").await;
    for round in 0..ROUNDS {
        let group = vec![
            post(rider(1), driver(1), 10),
            pend(Account::Processor, rider(1), 10),
        ];
        let answers = race(&pg, &vec![group; AT_ONCE as usize]).await;
        assert_eq!(applied(&answers), 1, "round {round}: {answers:?}");
        assert!(
            answers.iter().all(Result::is_ok),
            "round {round}: {answers:?}"
        );
    }
    assert_eq!(rig.usd(driver(1)).await, [i64::from(ROUNDS) * 10, 0, 0]);
    assert_eq!(rig.violations().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_do_not_take_more_than_there_is() {
    let (rig, pg) = starting_line("race_limit").await;
    rig.set_limits(driver(1), Limits::DEBITS_MUST_NOT_EXCEED_CREDITS)
        .await
        .unwrap();
    for round in 0..ROUNDS {
        rig.submit(&[post(rider(1), driver(1), 100)]).await.unwrap();
        let groups: Vec<Vec<Transfer>> = (0..AT_ONCE)
            .map(|n| match n % 2 {
                0 => vec![post(driver(1), Account::Payouts, 50)],
                _ => vec![pend(driver(1), Account::Payouts, 50)],
            })
            .collect();
        let answers = race(&pg, &groups).await;
        assert_eq!(applied(&answers), 2, "round {round}: {answers:?}");
        let below = Refusal::BelowFloor(driver(1), Currency::Usd);
        assert!(answers.iter().all(|a| a.is_ok() || *a == Err(below)));
        let [net, promised, _] = rig.usd(driver(1)).await;
        assert_eq!(net, promised, "round {round}");
    }
    assert_eq!(rig.violations().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_and_a_capture_do_not_both_happen() {
    let (rig, pg) = starting_line("race_expiry").await;
    for round in 0..ROUNDS {
        let hold = pend_for(Account::Processor, rider(1), 100, 10);
        rig.submit(&[hold]).await.unwrap();
        // The capture's process has a clock that is late: for it there is time left.
        let capture = [vec![post_pending(&hold, 60)]];
        let (answers, expired) = futures::join!(race(&pg, &capture), expire(&pg));
        let captured = applied(&answers) == 1;
        assert_ne!(captured, expired == [hold.id], "round {round}: {answers:?}");
    }
    assert_eq!(rig.violations().await, []);
}

async fn expire(pg: &Pg) -> Vec<hexcab_ledger::TransferId> {
    loop {
        let ended = pg
            .serializable("expire", |mut tx| async move {
                hexcab_ledger::expire_due(&mut tx, at(20), 100).await
            })
            .await;
        if let Ok(ended) = ended {
            return ended;
        }
    }
}
