//! Batches of payouts: who is owed what, the batch and its lines, and what the bank did.
//!
//! Who is owed what is read before the transaction, because it looks at every driver; in it, every line's promise locks
//! its driver's account and is checked against it. Where somebody was paid, charged or given a line in between, the whole
//! is tried again.
//!
//! Invariants: nobody is promised more than he is owed, then and now; nobody is in two open batches; the file's hash is
//! kept with the batch.

use std::collections::HashMap;

use hexcab_bus::outbox;
use hexcab_ledger::{GROUP_MAX, Transfer};
use hexcab_types::{Currency, DriverId, Money, PayoutId, Timestamp};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{AskError, RequestKey, Store, StoreError, postgres::submit, requests};
use crate::{
    domain::{
        Refused,
        payout::{Batch, Line, LineState, PayoutRefusal, lines, total},
    },
    events::outgoing::{self, PayoutEvent},
    journal,
};

/// Lines of a batch at most: a bound on how long its transaction takes. Who does not fit is in the next one.
const LINES_MAX: i64 = 2_000;
/// Tries when accounts move in between.
const TRIES: usize = 5;
/// The constraints that say that they did.
const MOVED: [&str; 2] = ["payout_within_owed", "one_open_payout_per_driver"];

/// What an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayoutAsk {
    /// Of every line.
    pub currency: Currency,
    /// What was owed then, city clock; now when absent.
    pub as_of: Option<Timestamp>,
    /// Drivers who are owed less are left for another time; one minor unit when absent.
    pub minimum: Option<Money>,
}

impl Store {
    /// Makes a batch of everybody who is owed enough. The same key gets the same batch for ever.
    ///
    /// # Errors
    /// See [`AskError`]; refusals are kept.
    pub async fn pay_out(&self, key: &RequestKey, ask: PayoutAsk) -> Result<Batch, AskError> {
        for _ in 1..TRIES {
            match self.try_pay_out(key, ask).await {
                Err(AskError::Store(error))
                    if error.constraint().is_some_and(|name| MOVED.contains(&name)) =>
                {
                    tracing::info!("an account moved while its payout was made; it is made again");
                }
                answer => return answer,
            }
        }
        self.try_pay_out(key, ask).await
    }

    async fn try_pay_out(&self, key: &RequestKey, ask: PayoutAsk) -> Result<Batch, AskError> {
        let (now, id) = (self.clock.now(), PayoutId::from(Uuid::now_v7()));
        let as_of = ask.as_of.unwrap_or(now);
        let minimum = ask.minimum.map_or(1, |minimum| minimum.minor);
        let owed = {
            let conn = &mut *self.pg.pool().acquire().await.map_err(StoreError::from)?;
            owed(conn, ask.currency, as_of, minimum).await?
        };
        let made = &batch(id, &ask, (as_of, now), owed);
        let answer = self
            .pg
            .idempotent("payment.pay_out", |mut tx| async move {
                if !requests::claim(&mut tx, key, now).await? {
                    return replay(&mut tx, key).await;
                }
                match made {
                    Ok(batch) => {
                        insert(&mut tx, batch, minimum).await?;
                        let promises: Vec<Transfer> = batch
                            .lines
                            .iter()
                            .map(|line| journal::payout(batch.id, line, now))
                            .collect();
                        submit_all(&mut tx, &promises).await?;
                        let created = PayoutEvent::Created {
                            total: total(batch.currency, &batch.lines).map_err(StoreError::from)?,
                            lines: batch.lines.len(),
                        };
                        tell(&mut tx, batch, &created, now).await?;
                        requests::keep(&mut tx, key, &[batch.id.uuid()]).await?;
                        Ok(Ok(batch.clone()))
                    }
                    Err(refusal) => {
                        requests::refuse(&mut tx, key, *refusal).await?;
                        Ok(Err(*refusal))
                    }
                }
            })
            .await?;
        Ok(answer?)
    }

    /// Says what the bank did: paid every line but the `failed` ones. The same key gets the same answer for ever.
    ///
    /// # Errors
    /// See [`AskError`]; refusals are kept.
    pub async fn confirm(
        &self,
        key: &RequestKey,
        id: PayoutId,
        failed: &[(DriverId, String)],
    ) -> Result<Batch, AskError> {
        let now = self.clock.now();
        let answer = self
            .pg
            .idempotent::<_, AskError, _, _>("payment.confirm", |mut tx| async move {
                let batch = fetch(&mut tx, id, true).await?.ok_or(AskError::NoPayout)?;
                if !requests::claim(&mut tx, key, now).await? {
                    let made = requests::replay(&mut tx, key).await?;
                    return Ok(made.map(|_| batch));
                }
                match ended(batch, failed, now) {
                    Ok(batch) => {
                        end(&mut tx, &batch, now).await?;
                        requests::keep(&mut tx, key, &[batch.id.uuid()]).await?;
                        Ok(Ok(batch))
                    }
                    Err(refusal) => {
                        requests::refuse(&mut tx, key, refusal.into()).await?;
                        Ok(Err(refusal.into()))
                    }
                }
            })
            .await?;
        Ok(answer?)
    }

    /// A batch with its lines.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn payout(&self, id: PayoutId) -> Result<Option<Batch>, StoreError> {
        fetch(&mut *self.pg.pool().acquire().await?, id, false).await
    }
}

/// What drivers are owed: what they were at `as_of` and still are, those who are in an open batch left out.
async fn owed(
    conn: &mut PgConnection,
    currency: Currency,
    as_of: Timestamp,
    minimum: i64,
) -> Result<Vec<(DriverId, Money)>, StoreError> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT driver, least(available, settled) AS owed FROM (
             SELECT split_part(b.account, '/', 2)::uuid AS driver, b.credits_posted - b.debits_posted - b.debits_pending AS available,
                    b.credits_posted - b.debits_posted - coalesce((
                        SELECT sum(CASE e.side WHEN 'credit' THEN e.posted_minor ELSE -e.posted_minor END) FROM ledger.entries e
                        WHERE e.account = b.account AND e.currency = b.currency AND e.posted_minor > 0 AND e.at >= $2
                    ), 0)::bigint AS settled
             FROM ledger.balances b
             WHERE b.account LIKE 'drivers/%' AND b.currency = $1 AND b.credits_posted - b.debits_posted - b.debits_pending >= $3
         ) AS drivers
         WHERE least(available, settled) >= $3
           AND NOT EXISTS (SELECT FROM payout_lines l WHERE l.driver = drivers.driver AND l.currency = $1 AND l.state = 'PENDING')
         ORDER BY driver LIMIT $4",
    )
    .bind(currency.code())
    .bind(as_of)
    .bind(minimum)
    .bind(LINES_MAX)
    .fetch_all(conn)
    .await?;
    let owed = |(driver, minor): (Uuid, i64)| (driver.into(), Money::new(minor, currency));
    Ok(rows.into_iter().map(owed).collect())
}

fn batch(
    id: PayoutId,
    ask: &PayoutAsk,
    (as_of, now): (Timestamp, Timestamp),
    owed: Vec<(DriverId, Money)>,
) -> Result<Batch, Refused> {
    let one = Money::new(1, ask.currency);
    let minimum = ask.minimum.unwrap_or(one);
    if minimum.currency != ask.currency || minimum.minor <= 0 {
        return Err(PayoutRefusal::Minimum.into());
    }
    if as_of > now {
        return Err(PayoutRefusal::AsOfInFuture.into());
    }
    let mut batch = Batch {
        id,
        currency: ask.currency,
        as_of,
        created_at: now,
        confirmed_at: None,
        sha256: [0; 32],
        lines: lines(owed, minimum.minor),
    };
    if batch.lines.is_empty() {
        return Err(PayoutRefusal::NothingToPayOut.into());
    }
    // A sum that does not fit is refused when the lines are entered.
    let file = batch.file().unwrap_or_default();
    batch.sha256 = Sha256::digest(file.as_bytes()).into();
    Ok(batch)
}

/// The batch after the bank did what it did.
fn ended(
    batch: Batch,
    failed: &[(DriverId, String)],
    now: Timestamp,
) -> Result<Batch, PayoutRefusal> {
    if batch.confirmed_at.is_some() {
        return Err(PayoutRefusal::Closed);
    }
    let mut reasons: HashMap<DriverId, &String> = failed.iter().map(|(d, why)| (*d, why)).collect();
    if reasons.len() != failed.len() {
        return Err(PayoutRefusal::NoSuchLine);
    }
    let lines = batch
        .lines
        .into_iter()
        .map(|line| Line {
            state: match reasons.remove(&line.driver) {
                Some(reason) => LineState::Failed {
                    reason: reason.clone(),
                },
                None => LineState::Paid,
            },
            ..line
        })
        .collect();
    if !reasons.is_empty() {
        return Err(PayoutRefusal::NoSuchLine);
    }
    Ok(Batch {
        confirmed_at: Some(now),
        lines,
        ..batch
    })
}

async fn end(conn: &mut PgConnection, batch: &Batch, now: Timestamp) -> Result<(), StoreError> {
    let (mut paid, mut failed): (Vec<Line>, Vec<Line>) = (Vec::new(), Vec::new());
    for line in &batch.lines {
        match line.state {
            LineState::Paid => paid.push(line.clone()),
            LineState::Failed { .. } => failed.push(line.clone()),
            LineState::Pending => {}
        }
    }
    let (sent, kept) = (
        total(batch.currency, &paid)?,
        total(batch.currency, &failed)?,
    );
    save_end(conn, batch).await?;
    let paid_ids = paid.iter().map(|line| (line, true));
    let all = paid_ids.chain(failed.iter().map(|line| (line, false)));
    let mut group: Vec<Transfer> = all
        .map(|(line, made)| journal::paid(batch.id, line, made, now))
        .collect();
    if sent.minor > 0 {
        group.push(journal::sent(batch.id, sent, now));
    }
    submit_all(conn, &group).await?;
    let confirmed = PayoutEvent::Confirmed {
        paid: sent,
        paid_lines: paid.len(),
        failed: kept,
        failed_lines: failed.len(),
    };
    tell(conn, batch, &confirmed, now).await
}

/// Every transfer, in groups that fit.
async fn submit_all(conn: &mut PgConnection, transfers: &[Transfer]) -> Result<(), StoreError> {
    for group in transfers.chunks(GROUP_MAX) {
        submit(conn, group).await?;
    }
    Ok(())
}

async fn tell(
    conn: &mut PgConnection,
    batch: &Batch,
    event: &PayoutEvent,
    now: Timestamp,
) -> Result<(), StoreError> {
    outbox::append(conn, &outgoing::of_payout(batch, event, now)).await?;
    Ok(())
}

async fn replay(
    conn: &mut PgConnection,
    key: &RequestKey,
) -> Result<Result<Batch, Refused>, AskError> {
    let made = match requests::replay(conn, key).await? {
        Ok(made) => made,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let id = made.first().copied().ok_or(AskError::NoPayout)?;
    let batch = fetch(conn, id.into(), false)
        .await?
        .ok_or(AskError::NoPayout)?;
    Ok(Ok(as_made(batch)))
}

/// The batch as it was when it was made.
fn as_made(batch: Batch) -> Batch {
    let lines = batch.lines.into_iter().map(|line| Line {
        state: LineState::Pending,
        ..line
    });
    Batch {
        confirmed_at: None,
        lines: lines.collect(),
        ..batch
    }
}

async fn insert(conn: &mut PgConnection, batch: &Batch, minimum: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO payouts (id, currency, as_of, minimum_minor, line_count, total_minor, sha256, state, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'OPEN', $8)",
    )
    .bind(batch.id.uuid())
    .bind(batch.currency.code())
    .bind(batch.as_of)
    .bind(minimum)
    .bind(i32::try_from(batch.lines.len()).unwrap_or(i32::MAX))
    .bind(total(batch.currency, &batch.lines)?.minor)
    .bind(batch.sha256.as_slice())
    .bind(batch.created_at)
    .execute(&mut *conn)
    .await?;
    let column = |of: fn(&Line) -> i64| batch.lines.iter().map(of).collect::<Vec<i64>>();
    let uuids = |of: &dyn Fn(&Line) -> Uuid| batch.lines.iter().map(of).collect::<Vec<Uuid>>();
    sqlx::query(
        "INSERT INTO payout_lines (payout, number, driver, currency, amount_minor, transfer, state)
         SELECT $1, number, driver, $2, amount, transfer, 'PENDING'
         FROM unnest($3::bigint[], $4::uuid[], $5::bigint[], $6::uuid[]) AS l (number, driver, amount, transfer)",
    )
    .bind(batch.id.uuid())
    .bind(batch.currency.code())
    .bind(column(|line| line.number.into()))
    .bind(uuids(&|line| line.driver.uuid()))
    .bind(column(|line| line.amount.minor))
    .bind(uuids(&|line| journal::payout_id(batch.id, line).uuid()))
    .execute(conn)
    .await?;
    Ok(())
}

async fn save_end(conn: &mut PgConnection, batch: &Batch) -> Result<(), StoreError> {
    let (numbers, failures): (Vec<i32>, Vec<Option<String>>) = batch
        .lines
        .iter()
        .map(|line| match &line.state {
            LineState::Failed { reason } => (line.number, Some(reason.clone())),
            LineState::Paid | LineState::Pending => (line.number, None),
        })
        .unzip();
    sqlx::query(
        "UPDATE payout_lines l SET state = CASE WHEN e.failure IS NULL THEN 'PAID' ELSE 'FAILED' END, failure = e.failure
         FROM unnest($2::integer[], $3::text[]) AS e (number, failure) WHERE l.payout = $1 AND l.number = e.number",
    )
    .bind(batch.id.uuid())
    .bind(numbers)
    .bind(failures)
    .execute(&mut *conn)
    .await?;
    sqlx::query("UPDATE payouts SET state = 'CONFIRMED', confirmed_at = $2 WHERE id = $1")
        .bind(batch.id.uuid())
        .bind(batch.confirmed_at)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Head {
    currency: String,
    as_of: Timestamp,
    created_at: Timestamp,
    confirmed_at: Option<Timestamp>,
    sha256: Vec<u8>,
}

/// A batch with its lines; locked for its end.
async fn fetch(
    conn: &mut PgConnection,
    id: PayoutId,
    to_end: bool,
) -> Result<Option<Batch>, StoreError> {
    let sql = if to_end {
        "SELECT currency, as_of, created_at, confirmed_at, sha256 FROM payouts WHERE id = $1 FOR UPDATE"
    } else {
        "SELECT currency, as_of, created_at, confirmed_at, sha256 FROM payouts WHERE id = $1"
    };
    let head: Option<Head> = sqlx::query_as(sql)
        .bind(id.uuid())
        .fetch_optional(&mut *conn)
        .await?;
    let Some(head) = head else { return Ok(None) };
    let unreadable = || StoreError::Unreadable(format!("payout {id}"));
    let currency: Currency = head.currency.parse().map_err(|_| unreadable())?;
    let rows: Vec<(i32, Uuid, i64, String, Option<String>)> = sqlx::query_as(
        "SELECT number, driver, amount_minor, state, failure FROM payout_lines WHERE payout = $1 ORDER BY number",
    )
    .bind(id.uuid())
    .fetch_all(conn)
    .await?;
    let lines = rows
        .into_iter()
        .map(|(number, driver, minor, state, failure)| {
            let state = match (state.as_str(), failure) {
                ("PENDING", None) => LineState::Pending,
                ("PAID", None) => LineState::Paid,
                ("FAILED", Some(reason)) => LineState::Failed { reason },
                _ => return Err(unreadable()),
            };
            Ok(Line {
                number,
                driver: driver.into(),
                amount: Money::new(minor, currency),
                state,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(Some(Batch {
        id,
        currency,
        as_of: head.as_of,
        created_at: head.created_at,
        confirmed_at: head.confirmed_at,
        sha256: head.sha256.try_into().map_err(|_| unreadable())?,
        lines,
    }))
}
