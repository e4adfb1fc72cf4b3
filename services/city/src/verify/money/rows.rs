//! What is read of each book. Does not: judge it.

use anyhow::Context as _;
use sqlx::{FromRow, PgConnection, postgres::PgRow};
use uuid::Uuid;

use crate::verify::Databases;

#[derive(Debug, Clone, FromRow)]
pub struct Trip {
    pub id: Uuid,
    pub rider: Uuid,
    pub state: String,
    pub driver: Option<Uuid>,
    pub currency: String,
    pub payment_method: String,
    pub fare_minor: i64,
    pub tax_minor: i64,
    pub charge_minor: Option<i64>,
    pub driver_due_minor: Option<i64>,
}

impl Trip {
    /// Whether there is money in it at all.
    pub fn costs(&self) -> bool {
        let due = self.charge_minor.max(self.driver_due_minor);
        self.fare_minor > 0 || due > Some(0)
    }

    /// What of the charge is tax: a completed trip's fare has it inside.
    pub fn tax(&self) -> i64 {
        if self.state == "COMPLETED" {
            self.tax_minor.min(self.charge_minor.unwrap_or_default())
        } else {
            0
        }
    }
}

#[derive(Debug, Clone, FromRow)]
pub struct Intent {
    pub id: Uuid,
    pub trip: Uuid,
    pub rider: Uuid,
    pub method: String,
    pub state: String,
    pub currency: String,
    pub amount_minor: i64,
    pub raise_minor: i64,
    pub held_minor: i64,
    pub captured_minor: i64,
    pub rest_minor: i64,
    pub owed_minor: Option<i64>,
    pub processor_id: Option<String>,
    pub charge_minor: Option<i64>,
    pub driver: Option<Uuid>,
    pub driver_due_minor: Option<i64>,
    pub tax_minor: Option<i64>,
}

impl Intent {
    /// Whether the trip's end was entered in the ledger.
    pub fn is_settled(&self) -> bool {
        match self.state.as_str() {
            "DECLINED" => self.owed_minor.is_some(),
            state => !matches!(state, "REQUIRES_HOLD" | "HELD" | "UNKNOWN" | "AWAITS_CASH"),
        }
    }

    /// Whether the processor took something out of its hold.
    pub fn is_captured(&self) -> bool {
        let state = self.state.as_str();
        matches!(state, "CAPTURED" | "PARTLY_REFUNDED" | "REFUNDED")
    }
}

#[derive(Debug, Clone, FromRow)]
pub struct Extra {
    pub id: Uuid,
    pub intent: Uuid,
    pub kind: String,
    pub amount_minor: i64,
    pub driver: Option<Uuid>,
    pub state: String,
    pub processor_id: Option<String>,
}

#[derive(Debug, Clone, FromRow)]
pub struct Refund {
    pub intent: Uuid,
    pub rest: Option<Uuid>,
    pub amount_minor: i64,
    pub driver_minor: i64,
    pub tax_minor: i64,
    pub state: String,
    pub processor_id: Option<String>,
}

#[derive(Debug, Clone, FromRow)]
pub struct Dispute {
    pub id: String,
    pub intent: Uuid,
    pub payment: String,
    pub amount_minor: i64,
    pub state: String,
}

/// What an account got of an intent.
#[derive(Debug, Clone, FromRow)]
pub struct Got {
    pub reference: Uuid,
    pub account: String,
    pub posted: i64,
    pub pending: i64,
}

/// A payment at the processor.
#[derive(Debug, Clone, FromRow)]
pub struct Payment {
    pub id: String,
    pub status: String,
    pub currency: String,
    pub amount: i64,
    pub amount_received: i64,
    pub key: Option<String>,
}

/// A refund at the processor.
#[derive(Debug, Clone, FromRow)]
pub struct PaidBack {
    pub id: String,
    pub payment_intent: String,
    pub amount: i64,
    pub status: String,
    pub key: Option<String>,
}

/// A dispute at the processor.
#[derive(Debug, Clone, FromRow)]
pub struct TakenBack {
    pub id: String,
    pub payment_intent: String,
    pub amount: i64,
    pub status: String,
}

/// All books.
#[derive(Debug, Clone)]
pub struct Books {
    pub trips: Vec<Trip>,
    pub intents: Vec<Intent>,
    pub extras: Vec<Extra>,
    pub refunds: Vec<Refund>,
    pub disputes: Vec<Dispute>,
    /// What the ledger says that accounts got, by reference.
    pub got: Vec<Got>,
    /// Accounts of drivers and of the processor: account, currency, balance.
    pub drivers: Vec<(String, String, i64)>,
    pub processor: Vec<(String, i64)>,
    /// Payouts made: driver, currency, amount.
    pub paid: Vec<(Uuid, String, i64)>,
    pub payments: Vec<Payment>,
    pub paid_back: Vec<PaidBack>,
    pub taken_back: Vec<TakenBack>,
}

impl Books {
    /// Reads them: the processor first, since what it has done is recorded later elsewhere.
    pub async fn read(databases: &mut Databases) -> anyhow::Result<Self> {
        let sandbox = &mut databases.sandbox;
        let payments = all(
            sandbox,
            "SELECT id, status, upper(currency) AS currency, amount, amount_received, metadata->>'key' AS key FROM payment_intents",
        )
        .await?;
        let paid_back = all(
            sandbox,
            "SELECT id, payment_intent, amount, status, metadata->>'key' AS key FROM refunds",
        )
        .await?;
        let taken_back = all(
            sandbox,
            "SELECT id, payment_intent, amount, status FROM disputes",
        )
        .await?;
        let payment = &mut databases.payment;
        Ok(Self {
            payments,
            paid_back,
            taken_back,
            intents: all(
                payment,
                "SELECT id, trip, rider, method, state, currency, amount_minor, raise_minor, held_minor, captured_minor, rest_minor,
                        owed_minor, processor_id, charge_minor, driver, driver_due_minor, tax_minor FROM intents",
            )
            .await?,
            extras: all(payment, "SELECT id, intent, kind, amount_minor, driver, state, processor_id FROM extras").await?,
            refunds: all(
                payment,
                "SELECT intent, rest, amount_minor, driver_minor, tax_minor, state, processor_id FROM refunds",
            )
            .await?,
            disputes: all(payment, "SELECT id, intent, payment, amount_minor, state FROM disputes").await?,
            got: all(
                payment,
                "SELECT t.reference, line.account::text AS account,
                        sum(line.sign * CASE t.kind WHEN 'pending' THEN 0 ELSE t.amount_minor END)::bigint AS posted,
                        sum(line.sign * CASE t.kind WHEN 'pending' THEN t.amount_minor ELSE -coalesce(t.pending_minor, 0) END)::bigint AS pending
                 FROM ledger.transfers t CROSS JOIN LATERAL (VALUES (t.debit, -1), (t.credit, 1)) AS line (account, sign)
                 GROUP BY t.reference, line.account",
            )
            .await?,
            drivers: all(
                payment,
                "SELECT account::text, currency::text, sum(CASE side WHEN 'credit' THEN posted_minor ELSE -posted_minor END)::bigint
                 FROM ledger.entries WHERE account LIKE 'drivers/%' GROUP BY account, currency",
            )
            .await?,
            // What was settled with our bank is between it and the processor.
            processor: all(
                payment,
                "SELECT e.currency::text, sum(CASE e.side WHEN 'credit' THEN e.posted_minor ELSE -e.posted_minor END)::bigint
                 FROM ledger.entries e JOIN ledger.transfers t ON t.id = e.transfer
                 WHERE e.account = 'processor' AND t.code NOT IN ('settlement', 'processor_fee', 'dispute_fee', 'debt_payment')
                 GROUP BY e.currency",
            )
            .await?,
            paid: all(payment, "SELECT driver, currency, amount_minor FROM payout_lines WHERE state = 'PAID'").await?,
            trips: all(
                &mut databases.trip,
                "SELECT id, rider, state, driver, currency, payment_method, fare_minor, tax_minor, charge_minor, driver_due_minor FROM trips",
            )
            .await?,
        })
    }
}

async fn all<T>(database: &mut PgConnection, sql: &'static str) -> anyhow::Result<Vec<T>>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let rows = sqlx::query_as(sql).fetch_all(database).await;
    rows.with_context(|| format!("read {sql}"))
}
