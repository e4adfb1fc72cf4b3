//! What is to be looked at although the processor's lists do not name it: payments, refunds and disputes of ours, and
//! steps and holds that stand still.
//!
//! Does not: compare, or change anything.

use std::time::Duration;

use hexcab_types::{IntentId, Timestamp};
use uuid::Uuid;

use super::{
    finding::{Finding, Kind, Subject},
    ours::Books,
};
use crate::store::StoreError;

/// Rows read at once.
const BATCH: i64 = 500;

/// A payment, or a refund's or dispute's, that we believe to be at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    /// The processor's id of the payment, refund or dispute.
    pub id: String,
    /// The payment to look at.
    pub payment: String,
    /// Whose.
    pub intent: IntentId,
}

impl Books {
    /// Payments that we believe to be at the processor, asked for since `from` or not ended, in the order of their ids.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn believed_payments(
        &self,
        from: Timestamp,
        after: &str,
    ) -> Result<Vec<Believed>, StoreError> {
        let sql = "SELECT id, payment, intent FROM (
                 SELECT i.processor_id AS id, i.processor_id AS payment, i.id AS intent FROM intents i
                 WHERE i.processor_id > $2 AND (i.id >= $1 OR i.state IN ('HELD', 'UNKNOWN'))
                 UNION ALL
                 SELECT x.processor_id, x.processor_id, x.intent FROM extras x
                 WHERE x.processor_id > $2 AND x.id >= $1) AS believed
             ORDER BY id LIMIT $3";
        self.believed(sql, from, after).await
    }

    /// The same of refunds that were given back.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn believed_refunds(
        &self,
        from: Timestamp,
        after: &str,
    ) -> Result<Vec<Believed>, StoreError> {
        let sql = "SELECT r.processor_id AS id, coalesce(x.processor_id, i.processor_id) AS payment, r.intent
             FROM refunds r JOIN intents i ON i.id = r.intent LEFT JOIN extras x ON x.id = r.rest
             WHERE r.processor_id > $2 AND r.id >= $1 ORDER BY r.processor_id LIMIT $3";
        self.believed(sql, from, after).await
    }

    /// Disputes that are not closed.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn believed_disputes(&self, after: &str) -> Result<Vec<Believed>, StoreError> {
        let sql = "SELECT id, payment, intent FROM disputes
             WHERE id > $2 AND state = 'OPEN' AND $1::uuid IS NOT NULL ORDER BY id LIMIT $3";
        self.believed(sql, Timestamp::UNIX_EPOCH, after).await
    }

    async fn believed(
        &self,
        sql: &'static str,
        from: Timestamp,
        after: &str,
    ) -> Result<Vec<Believed>, StoreError> {
        let rows: Vec<(String, String, Uuid)> = sqlx::query_as(sql)
            .bind(earliest(from))
            .bind(after)
            .bind(BATCH)
            .fetch_all(self.pool())
            .await?;
        let believed = rows.into_iter().map(|(id, payment, intent)| Believed {
            id,
            payment,
            intent: intent.into(),
        });
        Ok(believed.collect())
    }

    /// Intents made since `from`, in the order of their ids.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn intents(
        &self,
        from: Timestamp,
        after: Option<IntentId>,
    ) -> Result<Vec<IntentId>, StoreError> {
        let after = after.map_or_else(Uuid::nil, IntentId::uuid);
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM intents WHERE id >= $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(earliest(from))
        .bind(after)
        .bind(BATCH)
        .fetch_all(self.pool())
        .await?;
        Ok(ids.into_iter().map(IntentId::from).collect())
    }

    /// Steps that are begun for longer than this and not answered, and intents whose answer nobody waits for.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn stuck_unknown(&self, longer_than: Duration) -> Result<Vec<Finding>, StoreError> {
        let rows: Vec<(Uuid, String, i32, Option<String>)> = sqlx::query_as(
            "SELECT w.intent, w.step, w.attempts, w.last_error FROM work w
             WHERE w.finished_at IS NULL AND coalesce(w.begun_at, w.created_at) < now() - $1 * interval '1 second'
               AND NOT EXISTS (SELECT FROM work e
                               WHERE e.intent = w.intent AND e.ordinal < w.ordinal AND e.finished_at IS NULL)
             UNION ALL
             SELECT o.intent, o.what, 0, 'nobody asks any more' FROM (
                 SELECT id AS intent, lower(state) AS what FROM intents WHERE state IN ('REQUIRES_HOLD', 'UNKNOWN')
                 UNION ALL SELECT intent, lower(kind) FROM extras WHERE state IN ('AWAITED', 'UNKNOWN')
                 UNION ALL SELECT intent, 'refund' FROM refunds WHERE state IN ('AWAITED', 'UNKNOWN')) AS o
             WHERE NOT EXISTS (SELECT FROM work w WHERE w.intent = o.intent AND w.finished_at IS NULL)",
        )
        .bind(longer_than.as_secs_f64())
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(intent, step, attempts, error)| Finding {
                kind: Kind::StuckUnknown,
                subject: Subject::Intent(intent.into()),
                intent: Some(intent.into()),
                ours: format!("{step}, asked {attempts} times"),
                theirs: error.unwrap_or_else(|| "nothing".to_owned()),
            })
            .collect())
    }

    /// Holds that were placed longer ago than this and that nobody settles.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn stuck_holds(&self, longer_than: Duration) -> Result<Vec<Finding>, StoreError> {
        let rows: Vec<(Uuid, i64, String)> = sqlx::query_as(
            "SELECT i.id, i.held_minor, i.currency FROM intents i JOIN work w ON w.intent = i.id AND w.step = 'hold'
             WHERE i.state = 'HELD' AND w.finished_at < now() - $1 * interval '1 second'
               AND NOT EXISTS (SELECT FROM work o WHERE o.intent = i.id AND o.finished_at IS NULL)",
        )
        .bind(longer_than.as_secs_f64())
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(intent, minor, currency)| Finding {
                kind: Kind::StuckHold,
                subject: Subject::Intent(intent.into()),
                intent: Some(intent.into()),
                ours: format!("held {minor} {currency}"),
                theirs: "nobody settles it".to_owned(),
            })
            .collect())
    }
}

/// The least id that could have been made at this time: ids are UUIDv7, in the order of real time.
fn earliest(from: Timestamp) -> Uuid {
    let millis = u128::try_from(from.timestamp_millis()).unwrap_or_default();
    Uuid::from_u128(millis << 80)
}

#[cfg(test)]
mod tests {
    use hexcab_chassis::Clock;

    use super::*;

    #[test]
    fn ids_are_not_before_the_earliest_of_their_time() {
        let now = Clock::system().now();
        assert!(Uuid::now_v7() >= earliest(now));
        assert!(Uuid::now_v7() < earliest(now + Duration::from_secs(60)));
    }
}
