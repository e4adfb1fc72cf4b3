//! The ledger against its model over random operations: every answer and every sum, no difference.
//!
//! The rules themselves (`Book`) are asked 1,000,000 times. The keeper in Postgres some tens of thousands of times, or as
//! often as `HEXCAB_LEDGER_OPERATIONS` says.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use hexcab_ledger::{AccountKey, Book, LedgerError, Outcome, Refusal, Totals, TransferId};
use hexcab_testkit::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::{Connection as _, PgConnection};

use crate::{
    chance::{Chance, Operation},
    model::Model,
    rig::{Rig, at},
};

const BOOK_OPERATIONS: usize = 1_000_000;
const KEEPER_OPERATIONS: usize = 20_000;
/// After so many operations a book begins anew, so that old and young ledgers are both tried.
const WORLD: usize = 10_000;
/// Operations in one transaction of the keeper.
const TRANSACTION: usize = 50;
/// All sums of the keeper are compared after so many transactions.
const COMPARE_EVERY: usize = 20;

/// What was asked and how it was answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Stated(Result<Outcome, Refusal>),
    Limited(Result<(), Refusal>),
    Expired(Vec<TransferId>),
}

/// How often each answer was given.
#[derive(Debug, Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    fn count(&mut self, answer: &Answer) {
        let word = match answer {
            Answer::Stated(Ok(outcome)) => format!("{outcome:?}"),
            Answer::Stated(Err(refusal)) => word(*refusal),
            Answer::Limited(Ok(())) => "Limited".to_owned(),
            Answer::Limited(Err(refusal)) => format!("Limit{}", word(*refusal)),
            Answer::Expired(ids) => {
                *self.0.entry("Expired".to_owned()).or_default() += ids.len();
                return;
            }
        };
        *self.0.entry(word).or_default() += 1;
    }

    /// Every answer of the catalogue was met.
    fn assert_complete(&self, without: &[&str]) {
        for word in [
            "Applied",
            "AlreadyThere",
            "EmptyGroup",
            "GroupTooLarge",
            "DuplicateId",
            "PartlyThere",
            "TransferExists",
            "Amount",
            "SameAccount",
            "Expiry",
            "PendingNotFound",
            "NotPending",
            "AlreadyPosted",
            "AlreadyVoided",
            "PendingCurrency",
            "ExceedsPending",
            "PendingExpired",
            "Overflow",
            "BelowFloor",
            "AboveCeiling",
            "Limited",
            "LimitHotAccount",
            "LimitBelowFloor",
            "LimitAboveCeiling",
            "Expired",
        ] {
            let met = self.0.get(word).copied().unwrap_or_default();
            assert!(met > 0 || without.contains(&word), "{word} was never met");
        }
    }
}

fn word(refusal: Refusal) -> String {
    let text = format!("{refusal:?}");
    text.split('(').next().unwrap_or_default().to_owned()
}

fn ask_model(model: &mut Model, operation: &Operation) -> Answer {
    match operation {
        Operation::State(group) => Answer::Stated(model.state(group)),
        Operation::Limit(key, limits) => Answer::Limited(model.limit(*key, *limits)),
        Operation::Expire(now, most) => {
            let most = usize::try_from(*most).unwrap();
            Answer::Expired(model.run_out(at(*now), most))
        }
    }
}

fn ask_book(book: &mut Book, operation: &Operation) -> Answer {
    match operation {
        Operation::State(group) => Answer::Stated(book.submit(group)),
        Operation::Limit(key, limits) => Answer::Limited(book.set_limits(*key, *limits)),
        Operation::Expire(now, most) => {
            let due = book.due(at(*now), usize::try_from(*most).unwrap());
            let voided = due.iter().map(|(id, _)| {
                let void = hexcab_ledger::expiry(*id, uuid::Uuid::nil(), at(*now));
                assert_eq!(book.submit(&[void]), Ok(Outcome::Applied));
                *id
            });
            Answer::Expired(voided.collect())
        }
    }
}

#[test]
fn a_million_operations_on_a_book_are_answered_as_the_model_says() {
    let (_, mut chance) = hexcab_testkit::seeded("a book against its model");
    let (begun, mut tally) = (Instant::now(), Tally::default());
    let (mut asked, mut facts) = (0, 0);
    while asked < BOOK_OPERATIONS {
        let world = ChaCha8Rng::seed_from_u64(chance.random());
        let mut operations = Chance::new(world, chance.random_bool(0.2));
        let (mut book, mut model) = (Book::default(), Model::default());
        for _ in 0..WORLD.min(BOOK_OPERATIONS - asked) {
            asked += 1;
            let operation = operations.next();
            let (ours, expected) = (
                ask_book(&mut book, &operation),
                ask_model(&mut model, &operation),
            );
            assert_eq!(ours, expected, "operation {asked}: {operation:?}");
            tally.count(&ours);
            remember(&mut operations, &operation, &ours);
            if asked % 500 == 0 {
                assert_eq!(sums(&book), model.accounts(), "after operation {asked}");
            }
        }
        assert_eq!(sums(&book), model.accounts(), "after operation {asked}");
        facts += model.facts();
    }
    println!(
        "{asked} operations on a book ({facts} transfers) without a difference in {:.1} s: {:?}",
        begun.elapsed().as_secs_f64(),
        tally.0
    );
    tally.assert_complete(&[]);
}

fn remember(chance: &mut Chance, operation: &Operation, answer: &Answer) {
    if let (Operation::State(group), Answer::Stated(Ok(Outcome::Applied))) = (operation, answer) {
        chance.applied(group);
    }
}

fn sums(book: &Book) -> HashMap<AccountKey, Totals> {
    book.accounts()
        .filter(|(_, totals)| *totals != Totals::default())
        .collect()
}

#[tokio::test]
async fn random_operations_on_postgres_are_answered_as_the_model_says() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how often is the caller's choice"
    )]
    let operations = std::env::var("HEXCAB_LEDGER_OPERATIONS")
        .ok()
        .map_or(KEEPER_OPERATIONS, |count| count.parse().expect("a number"));
    let rig = Rig::start("model").await;
    let (_, rng) = hexcab_testkit::seeded("the ledger in Postgres against its model");
    let (mut chance, mut model) = (Chance::new(rng, false), Model::default());
    let (begun, mut tally) = (Instant::now(), Tally::default());
    let mut conn = rig.pg.pool().acquire().await.unwrap();
    let (mut asked, mut transactions) = (0, 0);
    while asked < operations {
        let mut tx = conn
            .begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE")
            .await
            .unwrap();
        for _ in 0..TRANSACTION.min(operations - asked) {
            asked += 1;
            let operation = chance.next();
            let ours = ask_keeper(&mut tx, &operation).await;
            let expected = ask_model(&mut model, &operation);
            assert_eq!(ours, expected, "operation {asked}: {operation:?}");
            tally.count(&ours);
            remember(&mut chance, &operation, &ours);
        }
        tx.commit().await.unwrap();
        transactions += 1;
        if transactions % COMPARE_EVERY == 0 || asked == operations {
            compare(&mut conn, &model).await;
        }
    }
    println!(
        "{asked} operations on Postgres ({} transfers) without a difference in {:.1} s: {:?}",
        model.facts(),
        begun.elapsed().as_secs_f64(),
        tally.0
    );
    tally.assert_complete(&["Overflow"]);
    sqlx::query("SET statement_timeout = 0")
        .execute(&mut *conn)
        .await
        .unwrap();
    assert_eq!(hexcab_ledger::violations(&mut conn).await.unwrap(), []);
}

/// A refusal leaves the transaction as it was and usable; only one that Postgres itself may find is rolled back.
async fn ask_keeper(conn: &mut PgConnection, operation: &Operation) -> Answer {
    match operation {
        Operation::State(group) => {
            let mut tx = conn.begin().await.unwrap();
            let answer = refusal_of(hexcab_ledger::submit(&mut tx, group).await);
            if answer == Err(Refusal::PartlyThere) {
                tx.rollback().await.unwrap();
            } else {
                tx.commit().await.unwrap();
            }
            Answer::Stated(answer)
        }
        Operation::Limit((account, currency), limits) => {
            let answer = hexcab_ledger::set_limits(conn, *account, *currency, *limits).await;
            Answer::Limited(refusal_of(answer))
        }
        Operation::Expire(now, most) => Answer::Expired(
            hexcab_ledger::expire_due(conn, at(*now), *most)
                .await
                .unwrap(),
        ),
    }
}

fn refusal_of<T>(answer: Result<T, LedgerError>) -> Result<T, Refusal> {
    answer.map_err(|error| match error {
        LedgerError::Refused(refusal) => refusal,
        LedgerError::Pg(_) | LedgerError::Unreadable(_) => panic!("{error:?}"),
    })
}

/// Every sum, as it is kept and as it follows from the entries.
async fn compare(conn: &mut PgConnection, model: &Model) {
    let expected = model.accounts();
    let kept = hexcab_ledger::trial_balance(conn).await.unwrap();
    for (currency, totals) in &kept.totals {
        assert_eq!(totals.debits_posted, totals.credits_posted, "{currency}");
        assert_eq!(totals.debits_pending, totals.credits_pending, "{currency}");
    }
    let kept: HashMap<AccountKey, Totals> = kept
        .accounts
        .iter()
        .map(|balance| ((balance.account, balance.currency), balance.totals))
        .filter(|(_, totals)| *totals != Totals::default())
        .collect();
    assert_eq!(kept, expected);
}
