//! The ledger of payment: who owes whom how much, and every movement that made it so.
//!
//! The model is TigerBeetle's: accounts, and immutable transfers between two of them. A transfer posts money, promises it
//! (pending), or ends a promise: posts it, wholly or partly, or voids it. Transfers that belong together are one group.
//!
//! - [`Account`], [`Code`], [`Transfer`], [`TransferId`] what a caller states
//! - [`submit`] states a group in the caller's open SERIALIZABLE transaction: all of it or nothing, once
//! - [`expire_due`] voids promises whose time is over; [`set_limits`] says how far an account may go
//! - [`balance`], [`trial_balance`], [`statement`], [`fetch`], [`of_reference`], [`violations`] read
//! - [`Book`] the rules themselves, pure; the keeper in Postgres decides with the same ones
//! - [`migrate`] the schema `ledger`, its triggers and the rights of the service's role
//!
//! # Invariants
//! Transfers are append only (no function changes one; triggers; no right to). Every transfer moves the same amount on
//! both sides, so that every currency sums to zero (a deferred constraint trigger; `ledger.violations`). A promise is
//! resolved at most once, within its amount, before it expires. Limits hold on what a group leaves, promises counted.
//! Each of these stands in [`Book`] and once more in the schema.
//!
//! # Signs
//! A balance is credits minus debits: what we owe somebody is positive, what somebody owes us negative. The processor's
//! balance is what it owes us (negative on an ordinary day), a rider's below zero is his debt, a driver's below zero is
//! the commission that he owes of cash rides.
//!
//! # A ride
//! ```
//! use hexcab_ledger::{Account, Action, Book, Code, Movement, Outcome, Transfer, TransferId};
//! # use hexcab_types::{Currency, DriverId, Money, RiderId};
//! # use std::time::Duration;
//! # let usd = |minor| Money::new(minor, Currency::Usd);
//! # let intent = uuid::Uuid::from_u128(1);
//! # let (rider, driver) = (RiderId::from(uuid::Uuid::from_u128(2)), DriverId::from(uuid::Uuid::from_u128(3)));
//! # let at = hexcab_types::Timestamp::from_timestamp(0, 0).unwrap();
//! # let mut ledger = Book::default();
//! let (rider, driver) = (Account::Rider(rider), Account::Driver(driver));
//! let step = |step: &str, code, action| Transfer {
//!     id: TransferId::derive(intent, step), // of what is done, never of the attempt
//!     action,
//!     code,
//!     reference: intent,
//!     at,
//! };
//! // Phase A of the hold: the processor will owe us what the rider promised.
//! let hold = step("hold", Code::Hold, Action::Pend {
//!     movement: Movement { debit: Account::Processor, credit: rider, amount: usd(2_500) },
//!     expires_after: Some(Duration::from_secs(7 * 24 * 3_600)),
//! });
//! // `hexcab_ledger::submit(&mut tx, &[hold]).await?` in Postgres; a book has the same rules.
//! assert_eq!(ledger.submit(&[hold]), Ok(Outcome::Applied));
//!
//! // Phase C of the capture: it came true, and the charge is the driver's, the tax office's and ours. The rider ends
//! // where he began. A platform part below zero is the same movement the other way round.
//! let part = |credit, minor| Action::Post(Movement { debit: rider, credit, amount: usd(minor) });
//! let capture = [
//!     step("capture", Code::Capture, Action::PostPending { pending: hold.id, amount: usd(2_000) }),
//!     step("driver_share", Code::DriverShare, part(driver, 1_400)),
//!     step("tax", Code::Tax, part(Account::Tax, 150)),
//!     step("platform_fee", Code::PlatformFee, part(Account::Revenue, 450)),
//! ];
//! assert_eq!(ledger.submit(&capture), Ok(Outcome::Applied));
//! assert_eq!(ledger.submit(&capture), Ok(Outcome::AlreadyThere));
//! let net = |account| ledger.totals((account, Currency::Usd)).net();
//! assert_eq!([Account::Processor, rider, driver, Account::Tax, Account::Revenue].map(net), [-2_000, 0, 1_400, 150, 450]);
//! ```
//!
//! # Flows
//! | what happens | debit → credit |
//! |---|---|
//! | hold; raise of a hold | pending `processor → rider` (a raise is a second one) |
//! | capture | post it, and `rider → driver`, `rider → platform:tax`, `rider → platform:revenue` in one group |
//! | hold released, declined | void it |
//! | charge without a hold: declined or failed capture | void it, and the capture's last three: the rider owes |
//! | debt paid later | `processor → rider`; given up: `platform:losses → rider` |
//! | cancellation, no-show, waiting fee | as a capture, with that code |
//! | tip | `processor → rider` and `rider → driver` in one group |
//! | cash ride | the capture's last three, and `driver → rider` of the whole fare (cash collected): what the driver is left with below zero is the commission and tax he owes |
//! | refund | whose it was `→ rider`; then pending `rider → processor`, posted when the processor has confirmed |
//! | payout | pending `driver → platform:payouts` per driver; posted when the bank took the file, and `platform:payouts → bank`; sent back: `bank → driver` |
//! | processor pays us | `bank → processor`; what it kept: `platform:fees → processor` |
//! | chargeback | `processor:disputes → processor`, fee `platform:fees → processor`; won: `processor → processor:disputes`; lost: `platform:losses` or `rider → processor:disputes` |
//!
//! # In SQL
//! The service's role (`hexcab_payment`) may INSERT into `ledger.transfers` and SELECT everything of the schema `ledger`:
//! `transfers`, `entries` (two lines a transfer), `pendings` (open promises), `balances` (by shard) and the views
//! `trial_balance(account, currency, debits_posted, credits_posted, debits_pending, credits_pending)` and
//! `violations(rule, subject)`, which has no row when all is well. Other tables may look at `ledger.transfers` by `id`
//! or `reference` in a deferred trigger, but should not reference it by a foreign key: see `migrations/0001_transfers.sql`.
//!
//! # Does not
//! Know intents, the processor, or the clock; begin transactions; convert currencies.

mod account;
mod balance;
mod book;
mod code;
mod error;
mod keeper;
mod reads;
mod refusal;
mod rows;
mod statement;
mod transfer;

use hexcab_pg::{Pg, PgError};

pub use account::{Account, AccountError, Side};
pub use balance::{Limits, Totals};
pub use book::{AccountKey, Book, Decision, Fate, Line, Pending, Verdict, expiry};
pub use code::{Code, CodeError};
pub use error::LedgerError;
pub use keeper::{expire_due, set_limits, submit};
pub use reads::{Balance, TrialBalance, Violation, balance, balances, trial_balance, violations};
pub use refusal::Refusal;
pub use rows::{Recorded, fetch, of_reference, resolution};
pub use statement::{
    Cursor, CursorError, PAGE_MAX, Page, Period, Statement, StatementLine, statement,
};
pub use transfer::{AMOUNT_MAX_MINOR, Action, GROUP_MAX, Movement, Transfer, TransferId};

/// The role that the service runs under (`Pg::connect_as`): it may add transfers and change nothing.
pub const ROLE: &str = "hexcab_payment";

/// What became of a group that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// It had been applied before: nothing was done.
    AlreadyThere,
}

/// Creates the schema `ledger` in the service's database, as the owner. Its migrations are counted apart from the
/// service's.
///
/// # Errors
/// When they cannot be applied.
pub async fn migrate(pg: &Pg) -> Result<(), PgError> {
    pg.migrate(&migrator()).await
}

/// The migrations behind [`migrate`].
pub fn migrator() -> sqlx::migrate::Migrator {
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.dangerous_set_table_name("_hexcab_ledger_migrations");
    migrator
}
