//! `hexcab ledger`: the trial balance, and a driver's statement.
//!
//! Does not: add anything up but the totals at the end, which are zero or the ledger is wrong.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context as _, bail};
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use hexcab_chassis::client::Channel;
use hexcab_proto::{
    common::v1 as common,
    convert,
    payment::v1::{
        AccountBalance, DriverStatement, GetDriverStatementRequest, GetTrialBalanceRequest,
        StatementKind, StatementLine, payment_service_client::PaymentServiceClient,
    },
};
use hexcab_types::{Currency, DriverId, Money, Timestamp};
use serde_json::{Value, json};

use super::payment;
use crate::{
    cli::{LedgerArguments, LedgerCommand},
    stack::folder::CityFile,
};

/// Prints what was asked for; exit 1 when a trial balance does not sum to zero.
///
/// # Errors
/// When no city runs, payment does not answer, or it refuses.
pub async fn run(arguments: LedgerArguments) -> anyhow::Result<ExitCode> {
    let (_, city) = CityFile::find(arguments.city.dir.as_deref())?;
    let client = PaymentServiceClient::new(payment::channel(&city)?);
    match arguments.command {
        LedgerCommand::Balance { all } => balance(client, all, arguments.json).await,
        LedgerCommand::Statement { account, from, to } => {
            let request = request(&account, from.as_deref(), to.as_deref())?;
            statement(client, request, arguments.json).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn balance(
    mut client: PaymentServiceClient<Channel>,
    all: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let request = GetTrialBalanceRequest { summed: !all };
    let answer = client
        .get_trial_balance(request)
        .await
        .map_err(payment::refused)?;
    let accounts = read(&answer.into_inner().accounts)?;
    let totals = totals(&accounts)?;
    if json {
        println!(
            "{}",
            serde_json::to_string_pretty(&balance_json(&accounts, &totals))?
        );
    } else {
        println!("{}", balance_table(&accounts, &totals));
    }
    let even = totals
        .values()
        .all(|(posted, pending)| (posted.minor, pending.minor) == (0, 0));
    Ok(if even {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// An account in one currency: name, posted, pending.
type Account = (String, Money, Money);
/// By currency: posted, pending.
type Totals = BTreeMap<Currency, (Money, Money)>;

fn read(accounts: &[AccountBalance]) -> anyhow::Result<Vec<Account>> {
    let account = |one: &AccountBalance| {
        let posted = money(one.posted.as_ref(), "posted")?;
        Ok((
            one.account.clone(),
            posted,
            money(one.pending.as_ref(), "pending")?,
        ))
    };
    accounts.iter().map(account).collect()
}

fn totals(accounts: &[Account]) -> anyhow::Result<Totals> {
    let mut totals = Totals::new();
    for (account, posted, pending) in accounts {
        let zero = Money::zero(posted.currency);
        let sums = totals.entry(posted.currency).or_insert((zero, zero));
        let added = (sums.0.plus(*posted), sums.1.plus(*pending));
        *sums = match added {
            (Ok(posted), Ok(pending)) => (posted, pending),
            (Err(error), _) | (_, Err(error)) => {
                return Err(error).with_context(|| format!("add {account} up"));
            }
        };
    }
    Ok(totals)
}

fn balance_table(accounts: &[Account], totals: &Totals) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["account", "posted", "pending"]);
    for (account, posted, pending) in accounts {
        table.add_row([account.clone(), posted.to_string(), pending.to_string()]);
    }
    for (currency, (posted, pending)) in totals {
        let total = format!("total {currency}");
        table.add_row([total, posted.to_string(), pending.to_string()]);
    }
    align(table, &[1, 2])
}

fn balance_json(accounts: &[Account], totals: &Totals) -> Value {
    let account = |(account, posted, pending): &Account| json!({"account": account, "posted": posted, "pending": pending});
    let total = |(currency, (posted, pending)): (&Currency, &(Money, Money))| json!({"currency": currency, "posted": posted, "pending": pending});
    json!({
        "accounts": accounts.iter().map(account).collect::<Vec<_>>(),
        "totals": totals.iter().map(total).collect::<Vec<_>>(),
    })
}

fn request(
    account: &str,
    from: Option<&str>,
    to: Option<&str>,
) -> anyhow::Result<GetDriverStatementRequest> {
    let driver = DriverId::from_name(account).context("whose statement")?;
    let time = |text: Option<&str>, flag: &str| match text {
        None => Ok(None),
        Some(text) => {
            let time: Timestamp = text
                .parse()
                .with_context(|| format!("{flag} {text}: want an RFC 3339 time"))?;
            anyhow::Ok(Some(convert::to_timestamp(time)))
        }
    };
    Ok(GetDriverStatementRequest {
        driver: driver.name(),
        from_time: time(from, "--from")?,
        to_time: time(to, "--to")?,
    })
}

async fn statement(
    mut client: PaymentServiceClient<Channel>,
    request: GetDriverStatementRequest,
    json: bool,
) -> anyhow::Result<()> {
    let driver = request.driver.clone();
    let answer = client
        .get_driver_statement(request)
        .await
        .map_err(payment::refused)?
        .into_inner();
    let statements: Vec<Read> = answer
        .statements
        .iter()
        .map(Read::of)
        .collect::<Result<_, _>>()?;
    if json {
        let all: Vec<Value> = statements.iter().map(Read::json).collect();
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({"account": driver, "statements": all}))?
        );
        return Ok(());
    }
    if statements.is_empty() {
        bail!("{driver} has no account");
    }
    for statement in &statements {
        println!("{}", statement.table());
    }
    Ok(())
}

/// A statement as it is printed.
struct Read {
    opening: Money,
    closing: Money,
    lines: Vec<Line>,
}

struct Line {
    at: Timestamp,
    what: &'static str,
    about: String,
    amount: Money,
    balance: Money,
}

impl Read {
    fn of(statement: &DriverStatement) -> anyhow::Result<Self> {
        Ok(Self {
            opening: money(statement.opening.as_ref(), "opening")?,
            closing: money(statement.closing.as_ref(), "closing")?,
            lines: statement
                .lines
                .iter()
                .map(Line::of)
                .collect::<Result<_, _>>()?,
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_header(["time", "what", "about", "amount", "balance"]);
        let edge = |what: &str, balance: Money| {
            let none = String::new;
            [none(), what.to_owned(), none(), none(), balance.to_string()]
        };
        table.add_row(edge("opening", self.opening));
        for line in &self.lines {
            table.add_row([
                line.at.format("%Y-%m-%d %H:%M:%S").to_string(),
                line.what.to_owned(),
                line.about.clone(),
                line.amount.to_string(),
                line.balance.to_string(),
            ]);
        }
        table.add_row(edge("closing", self.closing));
        align(table, &[3, 4])
    }

    fn json(&self) -> Value {
        let line = |line: &Line| json!({"time": line.at, "what": line.what, "about": line.about, "amount": line.amount, "balance": line.balance});
        let lines: Vec<Value> = self.lines.iter().map(line).collect();
        json!({"opening": self.opening, "closing": self.closing, "lines": lines})
    }
}

impl Line {
    fn of(line: &StatementLine) -> anyhow::Result<Self> {
        Ok(Self {
            at: convert::timestamp(line.post_time, "post_time")?,
            what: what(line.kind()),
            about: format!("{}{}", line.trip, line.payout),
            amount: money(line.amount.as_ref(), "amount")?,
            balance: money(line.balance.as_ref(), "balance")?,
        })
    }
}

const fn what(kind: StatementKind) -> &'static str {
    match kind {
        StatementKind::Unspecified => "?",
        StatementKind::Earning => "earning",
        StatementKind::Cash => "cash collected",
        StatementKind::Tip => "tip",
        StatementKind::Clawback => "clawback",
        StatementKind::Payout => "payout",
        StatementKind::Adjustment => "adjustment",
    }
}

fn money(amount: Option<&common::Money>, field: &str) -> anyhow::Result<Money> {
    convert::money(amount.cloned(), field).context("read payment's answer")
}

/// The columns of amounts, to the right.
fn align(mut table: Table, columns: &[usize]) -> Table {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, posted: i64, pending: i64, currency: Currency) -> Account {
        let money = |minor| Money::new(minor, currency);
        (name.to_owned(), money(posted), money(pending))
    }

    #[test]
    fn totals_are_by_currency_and_stand_at_the_end() {
        let accounts = [
            account("processor", -2_000, -300, Currency::Usd),
            account("drivers/x", 1_400, 0, Currency::Usd),
            account("platform:revenue", 600, 300, Currency::Usd),
            account("bank", 5, 0, Currency::Jpy),
        ];
        let totals = totals(&accounts).unwrap();
        let of = |currency| {
            totals
                .get(&currency)
                .map(|(posted, pending)| (posted.minor, pending.minor))
        };
        assert_eq!(of(Currency::Usd), Some((0, 0)));
        assert_eq!(of(Currency::Jpy), Some((5, 0)));
        let text = balance_table(&accounts, &totals).to_string();
        let last: Vec<&str> = text.lines().rev().skip(1).take(2).collect();
        assert!(
            last[0].contains("total JPY") && last[0].contains("5 JPY"),
            "{text}"
        );
        assert!(
            last[1].contains("total USD") && last[1].contains("0.00 USD"),
            "{text}"
        );
    }

    #[test]
    fn a_statement_is_of_a_driver_and_between_times() {
        let driver = "drivers/00000000-0000-0000-0000-000000000001";
        let asked = request(driver, Some("2008-05-31T00:00:00Z"), None).unwrap();
        assert_eq!((asked.driver.as_str(), asked.to_time), (driver, None));
        assert_eq!(
            asked.from_time.map(|time| time.seconds),
            Some(1_212_192_000)
        );
        assert!(request("riders/00000000-0000-0000-0000-000000000001", None, None).is_err());
        assert!(request(driver, None, Some("yesterday")).is_err());
    }
}
