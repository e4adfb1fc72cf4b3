//! Rows beside an intent: `extras`, `refunds` and `disputes`.

use hexcab_types::{ChargeId, Currency, IntentId, Money, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{
    Answer, Extra, ExtraKind, Intent, ProcessorId, Refund,
    dispute::{Dispute, DisputeState},
    refund::Of,
};

/// Everything beside one intent, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beside {
    /// Charges beside the hold.
    pub extras: Vec<Extra>,
    /// Refunds, refused ones included.
    pub refunds: Vec<Refund>,
    /// Disputes, closed ones included.
    pub disputes: Vec<Dispute>,
}

#[derive(sqlx::FromRow)]
struct ExtraRow {
    id: Uuid,
    kind: String,
    amount_minor: i64,
    driver: Option<Uuid>,
    state: String,
    processor_id: Option<String>,
    code: Option<String>,
    created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct RefundRow {
    id: Uuid,
    rest: Option<Uuid>,
    rest_processor_id: Option<String>,
    amount_minor: i64,
    driver_minor: i64,
    tax_minor: i64,
    clawback: bool,
    reason: String,
    operator: Uuid,
    state: String,
    processor_id: Option<String>,
    code: Option<String>,
    created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct DisputeRow {
    id: String,
    payment: String,
    amount_minor: i64,
    reason: String,
    state: String,
    opened_at: Timestamp,
    closed_at: Option<Timestamp>,
}

impl ExtraRow {
    fn extra(self, currency: Currency) -> Result<Extra, StoreError> {
        let unreadable =
            || StoreError::Unreadable(format!("extra {} in state {}", self.id, self.state));
        let kind = match (self.kind.as_str(), self.driver) {
            ("REST", None) => ExtraKind::Rest,
            ("TIP", Some(driver)) => ExtraKind::Tip {
                driver: driver.into(),
            },
            _ => return Err(unreadable()),
        };
        let answer = answer(&self.state, self.processor_id.clone(), self.code.clone());
        Ok(Extra {
            id: self.id.into(),
            kind,
            amount: Money::new(self.amount_minor, currency),
            answer: answer.ok_or_else(unreadable)?,
            created_at: self.created_at,
        })
    }
}

impl RefundRow {
    fn refund(self, currency: Currency) -> Result<Refund, StoreError> {
        let unreadable =
            || StoreError::Unreadable(format!("refund {} in state {}", self.id, self.state));
        let money = |minor| Money::new(minor, currency);
        let of = match (self.rest, self.rest_processor_id.clone()) {
            (None, None) => Of::Capture,
            (Some(charge), Some(id)) => Of::Rest {
                charge: ChargeId::from(charge),
                processor_id: ProcessorId(id),
            },
            (None, Some(_)) | (Some(_), None) => return Err(unreadable()),
        };
        let answer = answer(&self.state, self.processor_id.clone(), self.code.clone());
        Ok(Refund {
            id: self.id.into(),
            of,
            amount: money(self.amount_minor),
            driver_part: money(self.driver_minor),
            tax_part: money(self.tax_minor),
            clawback: self.clawback,
            answer: answer.ok_or_else(unreadable)?,
            reason: self.reason,
            operator: self.operator.into(),
            created_at: self.created_at,
        })
    }
}

impl DisputeRow {
    fn dispute(self, currency: Currency) -> Result<Dispute, StoreError> {
        let state = match self.state.as_str() {
            "OPEN" => DisputeState::Open,
            "WON" => DisputeState::Won,
            "LOST" => DisputeState::Lost,
            _ => return Err(StoreError::Unreadable(format!("dispute {}", self.id))),
        };
        Ok(Dispute {
            id: self.id,
            payment: ProcessorId(self.payment),
            amount: Money::new(self.amount_minor, currency),
            reason: self.reason,
            state,
            opened_at: self.opened_at,
            closed_at: self.closed_at,
        })
    }
}

fn answer(state: &str, processor_id: Option<String>, code: Option<String>) -> Option<Answer> {
    match (state, processor_id, code) {
        ("AWAITED", None, None) => Some(Answer::Awaited),
        ("UNKNOWN", None, None) => Some(Answer::Unknown),
        ("DONE", Some(id), None) => Some(Answer::Done {
            processor_id: ProcessorId(id),
        }),
        ("REFUSED", None, Some(code)) => Some(Answer::Refused { code }),
        _ => None,
    }
}

/// Everything beside an intent.
pub async fn of(conn: &mut PgConnection, intent: &Intent) -> Result<Beside, StoreError> {
    Ok(Beside {
        extras: extras(conn, intent).await?,
        refunds: refunds(conn, intent).await?,
        disputes: disputes(conn, intent).await?,
    })
}

async fn extras(conn: &mut PgConnection, intent: &Intent) -> Result<Vec<Extra>, StoreError> {
    let rows: Vec<ExtraRow> = sqlx::query_as(
        "SELECT id, kind, amount_minor, driver, state, processor_id, code, created_at FROM extras
         WHERE intent = $1 ORDER BY created_at, id",
    )
    .bind(intent.id.uuid())
    .fetch_all(conn)
    .await?;
    let currency = intent.amount.currency;
    rows.into_iter().map(|row| row.extra(currency)).collect()
}

async fn refunds(conn: &mut PgConnection, intent: &Intent) -> Result<Vec<Refund>, StoreError> {
    let rows: Vec<RefundRow> = sqlx::query_as(
        "SELECT r.id, r.rest, x.processor_id AS rest_processor_id, r.amount_minor, r.driver_minor, r.tax_minor, r.clawback,
                r.reason, r.operator, r.state, r.processor_id, r.code, r.created_at
         FROM refunds r LEFT JOIN extras x ON x.id = r.rest WHERE r.intent = $1 ORDER BY r.created_at, r.id",
    )
    .bind(intent.id.uuid())
    .fetch_all(conn)
    .await?;
    let currency = intent.amount.currency;
    rows.into_iter().map(|row| row.refund(currency)).collect()
}

async fn disputes(conn: &mut PgConnection, intent: &Intent) -> Result<Vec<Dispute>, StoreError> {
    let rows: Vec<DisputeRow> = sqlx::query_as(
        "SELECT id, payment, amount_minor, reason, state, opened_at, closed_at FROM disputes
         WHERE intent = $1 ORDER BY opened_at, id",
    )
    .bind(intent.id.uuid())
    .fetch_all(conn)
    .await?;
    let currency = intent.amount.currency;
    rows.into_iter().map(|row| row.dispute(currency)).collect()
}

/// A new charge beside the hold.
pub async fn insert_extra(
    conn: &mut PgConnection,
    intent: IntentId,
    extra: &Extra,
) -> Result<(), StoreError> {
    let (kind, driver) = match extra.kind {
        ExtraKind::Rest => ("REST", None),
        ExtraKind::Tip { driver } => ("TIP", Some(driver.uuid())),
    };
    sqlx::query(
        "INSERT INTO extras (id, intent, kind, amount_minor, driver, state, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(extra.id.uuid())
    .bind(intent.uuid())
    .bind(kind)
    .bind(extra.amount.minor)
    .bind(driver)
    .bind(extra.answer.as_str())
    .bind(extra.created_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// A new refund.
pub async fn insert_refund(
    conn: &mut PgConnection,
    intent: IntentId,
    refund: &Refund,
) -> Result<(), StoreError> {
    let rest = match &refund.of {
        Of::Capture => None,
        Of::Rest { charge, .. } => Some(charge.uuid()),
    };
    sqlx::query(
        "INSERT INTO refunds (id, intent, rest, amount_minor, driver_minor, tax_minor, clawback, reason, operator, state, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(refund.id.uuid())
    .bind(intent.uuid())
    .bind(rest)
    .bind(refund.amount.minor)
    .bind(refund.driver_part.minor)
    .bind(refund.tax_part.minor)
    .bind(refund.clawback)
    .bind(&refund.reason)
    .bind(refund.operator.uuid())
    .bind(refund.answer.as_str())
    .bind(refund.created_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Which table an answer is kept in.
#[derive(Debug, Clone, Copy)]
pub enum Asked {
    /// `extras`
    Extra(Uuid),
    /// `refunds`
    Refund(Uuid),
}

/// What the processor said.
pub async fn save_answer(
    conn: &mut PgConnection,
    asked: Asked,
    answer: &Answer,
) -> Result<(), StoreError> {
    let (sql, id) = match asked {
        Asked::Extra(id) => (
            "UPDATE extras SET state = $2, processor_id = $3, code = $4 WHERE id = $1",
            id,
        ),
        Asked::Refund(id) => (
            "UPDATE refunds SET state = $2, processor_id = $3, code = $4 WHERE id = $1",
            id,
        ),
    };
    let (processor_id, code) = match answer {
        Answer::Done { processor_id } => (Some(processor_id.0.as_str()), None),
        Answer::Refused { code } => (None, Some(code.as_str())),
        Answer::Awaited | Answer::Unknown => (None, None),
    };
    sqlx::query(sql)
        .bind(id)
        .bind(answer.as_str())
        .bind(processor_id)
        .bind(code)
        .execute(conn)
        .await?;
    Ok(())
}

/// A dispute as it is now: a new row, or a known one closed.
pub async fn save_dispute(
    conn: &mut PgConnection,
    intent: IntentId,
    dispute: &Dispute,
) -> Result<(), StoreError> {
    let sql = match dispute.state {
        DisputeState::Open => {
            "INSERT INTO disputes (id, intent, payment, amount_minor, reason, state, opened_at, closed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        }
        DisputeState::Won | DisputeState::Lost => {
            "UPDATE disputes SET state = $6, closed_at = $8
             WHERE (id, intent, payment, amount_minor, reason, opened_at) = ($1, $2, $3, $4, $5, $7)"
        }
    };
    let saved = sqlx::query(sql)
        .bind(&dispute.id)
        .bind(intent.uuid())
        .bind(&dispute.payment.0)
        .bind(dispute.amount.minor)
        .bind(&dispute.reason)
        .bind(dispute.state.as_str())
        .bind(dispute.opened_at)
        .bind(dispute.closed_at)
        .execute(conn)
        .await?;
    if saved.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::Unreadable(format!(
            "dispute {} is not what it was",
            dispute.id
        )))
    }
}
