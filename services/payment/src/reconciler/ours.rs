//! What we know of intents' money at the processor, read from their rows; and whether the ledger says the same.
//!
//! Invariant: what is read of one intent is of one moment.
//! Does not: change anything.

use std::collections::HashMap;

use hexcab_ledger::{Account, Balance};
use hexcab_pg::Pg;
use hexcab_types::{Currency, IntentId};
use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::compare::{Is, OurDispute, OurPayment, OurRefund, Ours};
use crate::{processor::DisputeStatus, store::StoreError};

/// Our side of the books.
#[derive(Debug, Clone)]
pub struct Books {
    pg: Pg,
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    state: String,
    currency: String,
    held_minor: i64,
    captured_minor: i64,
    processor_id: Option<String>,
    busy: bool,
    extras: Json<Vec<Extra>>,
    refunds: Json<Vec<Refund>>,
    disputes: Json<Vec<Dispute>>,
}

#[derive(Debug, Deserialize)]
struct Extra {
    id: Uuid,
    kind: String,
    state: String,
    payment: Option<String>,
    amount: i64,
}

#[derive(Debug, Deserialize)]
struct Refund {
    id: Uuid,
    state: String,
    refund: Option<String>,
    payment: Option<String>,
    amount: i64,
}

#[derive(Debug, Deserialize)]
struct Dispute {
    id: String,
    state: String,
    amount: i64,
}

impl Books {
    /// The books in this database.
    pub const fn new(pg: Pg) -> Self {
        Self { pg }
    }

    pub(super) fn pool(&self) -> &sqlx::PgPool {
        self.pg.pool()
    }

    /// What we know of these intents. Those that are none of ours are left out.
    ///
    /// # Errors
    /// When Postgres refuses or a row cannot be read.
    pub async fn of(&self, intents: &[IntentId]) -> Result<HashMap<IntentId, Ours>, StoreError> {
        let ids: Vec<Uuid> = intents.iter().map(|id| id.uuid()).collect();
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT i.id, i.state, i.currency, i.held_minor, i.captured_minor, i.processor_id,
                    EXISTS (SELECT FROM work w WHERE w.intent = i.id AND w.finished_at IS NULL) AS busy,
                    coalesce((SELECT jsonb_agg(jsonb_build_object('id', x.id, 'kind', x.kind, 'state', x.state,
                                                                  'payment', x.processor_id, 'amount', x.amount_minor))
                              FROM extras x WHERE x.intent = i.id), '[]') AS extras,
                    coalesce((SELECT jsonb_agg(jsonb_build_object('id', r.id, 'state', r.state, 'refund', r.processor_id,
                                                                  'payment', coalesce(x.processor_id, i.processor_id),
                                                                  'amount', r.amount_minor))
                              FROM refunds r LEFT JOIN extras x ON x.id = r.rest WHERE r.intent = i.id), '[]') AS refunds,
                    coalesce((SELECT jsonb_agg(jsonb_build_object('id', d.id, 'state', d.state, 'amount', d.amount_minor))
                              FROM disputes d WHERE d.intent = i.id), '[]') AS disputes
             FROM intents i WHERE i.id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(self.pg.pool())
        .await?;
        rows.into_iter()
            .map(|row| {
                let ours = Ours::try_from(row)?;
                Ok((ours.intent, ours))
            })
            .collect()
    }

    /// What the ledger says of the processor, in each currency: what it holds is pending, what it took is posted.
    ///
    /// # Errors
    /// When Postgres refuses or a row cannot be read.
    pub async fn of_processor(&self) -> Result<Vec<Balance>, StoreError> {
        let mut connection = self.pg.pool().acquire().await?;
        Ok(hexcab_ledger::balances(&mut connection, Account::Processor).await?)
    }

    /// What we know of one intent.
    ///
    /// # Errors
    /// When Postgres refuses or a row cannot be read.
    pub async fn one(&self, intent: IntentId) -> Result<Option<Ours>, StoreError> {
        Ok(self.of(&[intent]).await?.remove(&intent))
    }

    /// Whose these payments at the processor are, as far as we know.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn owners(
        &self,
        payments: &[String],
    ) -> Result<HashMap<String, IntentId>, StoreError> {
        let rows: Vec<(String, Uuid)> = sqlx::query_as(
            "SELECT processor_id, id FROM intents WHERE processor_id = ANY($1)
             UNION ALL
             SELECT processor_id, intent FROM extras WHERE processor_id = ANY($1)",
        )
        .bind(payments)
        .fetch_all(self.pg.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(payment, intent)| (payment, intent.into()))
            .collect())
    }

    /// What of these intents the ledger says otherwise: the intent and the differences, for people to read.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn ledger_differs(
        &self,
        intents: &[IntentId],
    ) -> Result<Vec<(IntentId, String)>, StoreError> {
        let ids: Vec<Uuid> = intents.iter().map(|id| id.uuid()).collect();
        let rows: Vec<(Uuid, String)> = sqlx::query_as(
            "SELECT i.id, string_agg(format('%s: rows %s/%s, ledger %s/%s', d.account, coalesce(d.posted, 0), coalesce(d.pending, 0),
                                            coalesce(d.booked, 0), coalesce(d.promised, 0)), '; ' ORDER BY d.account)
             FROM unnest($1::uuid[]) AS i (id) CROSS JOIN LATERAL (
                 SELECT account, s.posted, s.pending, l.posted AS booked, l.pending AS promised
                 FROM intent_story(i.id) s FULL JOIN ledger_story(i.id) l USING (account)
                 WHERE (s.posted, s.pending) IS DISTINCT FROM (l.posted, l.pending)) d
             GROUP BY i.id",
        )
        .bind(ids)
        .fetch_all(self.pg.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(intent, said)| (intent.into(), said))
            .collect())
    }
}

impl TryFrom<Row> for Ours {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let unreadable =
            || StoreError::Unreadable(format!("intent {} in state {}", row.id, row.state));
        let intent = IntentId::from(row.id);
        let currency: Currency = row.currency.parse().map_err(|_| unreadable())?;
        let hold = OurPayment {
            is: row.is().ok_or_else(unreadable)?,
            id: row.processor_id,
            key: format!("hexcab-{intent}-hold"),
        };
        let mut payments = vec![hold];
        for extra in row.extras.0 {
            payments.push(extra.payment(intent)?);
        }
        let refunds = row.refunds.0.into_iter().map(|refund| refund.ours(intent));
        let disputes = row.disputes.0.into_iter().map(Dispute::ours);
        Ok(Self {
            intent,
            currency,
            busy: row.busy,
            payments,
            refunds: refunds.collect::<Result<_, _>>()?,
            disputes: disputes.collect::<Result<_, _>>()?,
        })
    }
}

impl Row {
    /// What its hold must be at the processor.
    fn is(&self) -> Option<Is> {
        match self.state.as_str() {
            "REQUIRES_HOLD" | "UNKNOWN" => Some(Is::Open),
            "HELD" => Some(Is::Held(self.held_minor)),
            "CAPTURED" | "PARTLY_REFUNDED" | "REFUNDED" => Some(Is::Taken(self.captured_minor)),
            "VOIDED" if self.processor_id.is_some() => Some(Is::GivenBack),
            "DECLINED" | "CAPTURE_FAILED" => Some(Is::Refused),
            "VOIDED" | "AWAITS_CASH" | "CASH_COLLECTED" | "OWED" => Some(Is::Nothing),
            _ => None,
        }
    }
}

impl Extra {
    fn payment(self, intent: IntentId) -> Result<OurPayment, StoreError> {
        let unreadable =
            || StoreError::Unreadable(format!("extra {} in state {}", self.id, self.state));
        let is = match answer(&self.state).ok_or_else(unreadable)? {
            None => Is::Open,
            Some(true) => Is::Taken(self.amount),
            Some(false) => Is::Refused,
        };
        let key = match self.kind.as_str() {
            "REST" => format!("hexcab-{intent}-charge"),
            "TIP" => format!("hexcab-{intent}-tip-{}", self.id),
            _ => return Err(unreadable()),
        };
        Ok(OurPayment {
            id: self.payment,
            key,
            is,
        })
    }
}

impl Refund {
    fn ours(self, intent: IntentId) -> Result<OurRefund, StoreError> {
        let unreadable =
            || StoreError::Unreadable(format!("refund {} in state {}", self.id, self.state));
        Ok(OurRefund {
            done: answer(&self.state).ok_or_else(unreadable)?,
            payment: self.payment.clone().ok_or_else(unreadable)?,
            key: format!("hexcab-{intent}-refund-{}", self.id),
            id: self.refund,
            amount: self.amount,
        })
    }
}

impl Dispute {
    fn ours(self) -> Result<OurDispute, StoreError> {
        let status = match self.state.as_str() {
            "OPEN" => DisputeStatus::Open,
            "WON" => DisputeStatus::Won,
            "LOST" => DisputeStatus::Lost,
            _ => return Err(StoreError::Unreadable(format!("dispute {}", self.id))),
        };
        Ok(OurDispute {
            id: self.id,
            amount: self.amount,
            status,
        })
    }
}

/// Whether it was done; none while that is not known. None of either for a state that is not known.
fn answer(state: &str) -> Option<Option<bool>> {
    match state {
        "AWAITED" | "UNKNOWN" => Some(None),
        "DONE" => Some(Some(true)),
        "REFUSED" => Some(Some(false)),
        _ => None,
    }
}
