//! A ledger of its own for each test, and short words for transfers.

use std::time::Duration;

use hexcab_ledger::{
    Account, Action, Code, LedgerError, Limits, Movement, Outcome, Refusal, Transfer, TransferId,
};
use hexcab_pg::Pg;
use hexcab_testkit::TestDb;
use hexcab_types::{Currency, DriverId, Money, RiderId, Timestamp};
use uuid::Uuid;

pub struct Rig {
    pub db: TestDb,
    pub pg: Pg,
}

impl Rig {
    pub async fn start(subject: &str) -> Self {
        let db = TestDb::create(&format!("ledger_{subject}")).await;
        let pg = db.connect().await;
        hexcab_ledger::migrate(&pg).await.expect("migrate");
        Self { db, pg }
    }

    pub async fn submit(&self, group: &[Transfer]) -> Result<Outcome, LedgerError> {
        self.pg
            .serializable("test.submit", |mut tx| async move {
                hexcab_ledger::submit(&mut tx, group).await
            })
            .await
    }

    /// Submits what must be refused.
    pub async fn refused(&self, group: &[Transfer]) -> Refusal {
        match self.submit(group).await {
            Err(LedgerError::Refused(refusal)) => refusal,
            other => panic!("{other:?} of {group:?}"),
        }
    }

    pub async fn set_limits(&self, account: Account, limits: Limits) -> Result<(), LedgerError> {
        self.pg
            .serializable("test.set_limits", |mut tx| async move {
                hexcab_ledger::set_limits(&mut tx, account, Currency::Usd, limits).await
            })
            .await
    }

    pub async fn expire(&self, now: Timestamp, most: u32) -> Vec<TransferId> {
        self.pg
            .serializable("test.expire", |mut tx| async move {
                hexcab_ledger::expire_due(&mut tx, now, most).await
            })
            .await
            .expect("expire")
    }

    /// Credits minus debits in dollars, and what is promised against and for the account.
    pub async fn usd(&self, account: Account) -> [i64; 3] {
        let mut conn = self.pg.pool().acquire().await.unwrap();
        let balance = hexcab_ledger::balance(&mut conn, account, Currency::Usd)
            .await
            .unwrap();
        let totals = balance.totals;
        [totals.net(), totals.debits_pending, totals.credits_pending]
    }

    pub async fn violations(&self) -> Vec<hexcab_ledger::Violation> {
        let mut conn = self.pg.pool().acquire().await.unwrap();
        hexcab_ledger::violations(&mut conn).await.unwrap()
    }
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

pub fn rider(n: u128) -> Account {
    Account::Rider(RiderId::from(Uuid::from_u128(0x0010_0000 + n)))
}

pub fn driver(n: u128) -> Account {
    Account::Driver(DriverId::from(Uuid::from_u128(0x0020_0000 + n)))
}

pub const fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd)
}

pub const fn movement(debit: Account, credit: Account, minor: i64) -> Movement {
    Movement {
        debit,
        credit,
        amount: usd(minor),
    }
}

/// A transfer with an id of its own.
pub fn transfer(action: Action) -> Transfer {
    Transfer {
        id: TransferId::from(Uuid::now_v7()),
        action,
        code: Code::Adjustment,
        reference: Uuid::from_u128(7),
        at: at(0),
    }
}

pub fn post(debit: Account, credit: Account, minor: i64) -> Transfer {
    transfer(Action::Post(movement(debit, credit, minor)))
}

pub fn pend(debit: Account, credit: Account, minor: i64) -> Transfer {
    transfer(Action::Pend {
        movement: movement(debit, credit, minor),
        expires_after: None,
    })
}

pub fn pend_for(debit: Account, credit: Account, minor: i64, seconds: u64) -> Transfer {
    transfer(Action::Pend {
        movement: movement(debit, credit, minor),
        expires_after: Some(Duration::from_secs(seconds)),
    })
}

pub fn post_pending(pending: &Transfer, minor: i64) -> Transfer {
    transfer(Action::PostPending {
        pending: pending.id,
        amount: usd(minor),
    })
}

pub fn void(pending: &Transfer) -> Transfer {
    transfer(Action::VoidPending {
        pending: pending.id,
    })
}
