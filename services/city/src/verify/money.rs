//! The money of trips over all the books that know of it: trip, intents, ledger, processor.
//!
//! - [`rows`] what is read of each; [`story`] what the rows of an intent say that every account got, written once more;
//!   [`processor`] what the processor's own book says
//!
//! Invariant: nothing here leans on what the payment service keeps as a sum or checks by itself.
//! Does not: repair anything.

mod processor;
mod rows;
mod story;

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Databases, Finding, Outcome};
use rows::{Books, Intent, Trip};

/// Makes every check.
///
/// # Errors
/// When a database cannot be asked.
pub async fn run(databases: &mut Databases) -> anyhow::Result<Vec<Outcome>> {
    let books = Books::read(databases).await?;
    let mut outcomes = vec![
        trips(&books),
        holds(&books),
        story::stories(&books),
        drivers_owed(&books),
    ];
    outcomes.extend(processor::run(&books));
    Ok(outcomes)
}

fn alive(state: &str) -> bool {
    !matches!(state, "COMPLETED" | "CANCELLED" | "EXPIRED")
}

/// What is wrong with a row, as a finding.
fn finding(id: impl ToString, detail: impl Into<String>) -> Finding {
    Finding {
        id: id.to_string(),
        detail: detail.into(),
    }
}

fn trips(books: &Books) -> Outcome {
    let by_trip: HashMap<Uuid, &Intent> = books
        .intents
        .iter()
        .map(|intent| (intent.trip, intent))
        .collect();
    let wrong = books.trips.iter().filter_map(|trip| {
        let detail = match (by_trip.get(&trip.id), trip.costs()) {
            // Money is held when a driver is looked for, not when the ride is booked.
            (None, _) if trip.state == "SCHEDULED" => None,
            (Some(_), _) if trip.state == "SCHEDULED" => {
                Some("an intent although booked only".to_owned())
            }
            (None, false) => None,
            (None, true) => Some("no intent".to_owned()),
            (Some(intent), _) => money_of(trip, intent),
        };
        detail.map(|detail| finding(trip.id, detail))
    });
    Outcome::new(
        "money of trips",
        "every trip has one intent, which took what the trip charges, left it as the rider's debt, or as cash with the driver",
        books.trips.len(),
        wrong.collect(),
    )
}

fn money_of(trip: &Trip, intent: &Intent) -> Option<String> {
    let same = (trip.rider, &trip.currency, &trip.payment_method)
        == (intent.rider, &intent.currency, &intent.method);
    if !same {
        return Some("the intent is of another rider, currency or method".to_owned());
    }
    if alive(&trip.state) {
        let fits = match intent.state.as_str() {
            // Declined after the start: the ride goes on, and its end becomes a debt.
            "DECLINED" => trip.state == "IN_PROGRESS",
            state => matches!(state, "REQUIRES_HOLD" | "HELD" | "UNKNOWN" | "AWAITS_CASH"),
        };
        let detail = format!("trip is {}, intent {}", trip.state, intent.state);
        return (!fits).then_some(detail);
    }
    let ended = (trip.charge_minor, trip.driver_due_minor);
    if (intent.charge_minor, intent.driver_due_minor) != ended {
        return Some(format!(
            "trip charges {:?}, of which {:?} are the driver's; the intent says {:?} and {:?}",
            ended.0, ended.1, intent.charge_minor, intent.driver_due_minor
        ));
    }
    let (charge, tax) = (trip.charge_minor.unwrap_or_default(), trip.tax());
    if intent.tax_minor != Some(tax)
        || (intent.driver_due_minor > Some(0) && intent.driver != trip.driver)
    {
        return Some(format!(
            "the intent owes its tax {:?} or its driver {:?}",
            intent.tax_minor, intent.driver
        ));
    }
    let owed = intent.owed_minor.unwrap_or_default();
    let (driven, cash) = (trip.state == "COMPLETED", intent.method == "CASH");
    let fits = match (intent.state.as_str(), charge) {
        ("VOIDED" | "DECLINED", 0) => owed == 0,
        ("CAPTURED" | "PARTLY_REFUNDED" | "REFUNDED", charge) => {
            charge > 0 && intent.captured_minor + intent.rest_minor + owed == charge
        }
        ("CAPTURE_FAILED" | "DECLINED", charge) => owed == charge,
        ("CASH_COLLECTED", charge) => driven && charge > 0 && cash,
        ("OWED", charge) => !driven && owed == charge && charge > 0 && cash,
        _ => false,
    };
    let detail = format!(
        "trip {} charges {charge}; intent {} took {} and {}, {owed} is owed",
        trip.state, intent.state, intent.captured_minor, intent.rest_minor
    );
    (!fits).then_some(detail)
}

fn holds(books: &Books) -> Outcome {
    let states: HashMap<Uuid, &str> = books
        .trips
        .iter()
        .map(|trip| (trip.id, trip.state.as_str()))
        .collect();
    let open = books.intents.iter().filter(|intent| {
        let state = intent.state.as_str();
        matches!(state, "REQUIRES_HOLD" | "HELD" | "UNKNOWN" | "AWAITS_CASH")
    });
    let findings = open.filter_map(|intent| {
        let (trip, state) = (intent.trip, &intent.state);
        let detail = match states.get(&trip) {
            None => format!("{state} for trip {trip}, which does not exist"),
            Some(of_trip) if !alive(of_trip) => {
                format!("{state} although trip {trip} is {of_trip}")
            }
            Some(_) => return None,
        };
        Some(finding(intent.id, detail))
    });
    Outcome::new(
        "holds",
        "every hold is resolved, or its trip alive",
        books.intents.len(),
        findings.collect(),
    )
}

/// By the trips' own words: what each driver is due, less what he has in cash, gave back and was paid, plus his tips.
fn drivers_owed(books: &Books) -> Outcome {
    let mut owed: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut add = |driver: Uuid, currency: &str, minor: i64| {
        let account = (format!("drivers/{driver}"), currency.to_owned());
        *owed.entry(account).or_default() += minor;
    };
    let intents: HashMap<Uuid, &Intent> = books
        .intents
        .iter()
        .map(|intent| (intent.id, intent))
        .collect();
    let settled: HashMap<Uuid, &Intent> = books
        .intents
        .iter()
        .filter(|intent| intent.is_settled())
        .map(|intent| (intent.trip, intent))
        .collect();
    for trip in &books.trips {
        let (Some(intent), Some(driver)) = (settled.get(&trip.id), trip.driver) else {
            continue;
        };
        add(
            driver,
            &trip.currency,
            trip.driver_due_minor.unwrap_or_default(),
        );
        if intent.state == "CASH_COLLECTED" {
            add(
                driver,
                &trip.currency,
                -trip.charge_minor.unwrap_or_default(),
            );
        }
    }
    for tip in books.extras.iter().filter(|extra| extra.state == "DONE") {
        if let (Some(driver), Some(intent)) = (tip.driver, intents.get(&tip.intent)) {
            add(driver, &intent.currency, tip.amount_minor);
        }
    }
    for refund in books.refunds.iter().filter(|refund| refund.state == "DONE") {
        if let Some((intent, driver)) = intents
            .get(&refund.intent)
            .and_then(|i| Some((i, i.driver?)))
        {
            add(driver, &intent.currency, -refund.driver_minor);
        }
    }
    for (driver, currency, minor) in &books.paid {
        add(*driver, currency, -minor);
    }
    for (account, currency, balance) in &books.drivers {
        *owed.entry((account.clone(), currency.clone())).or_default() -= balance;
    }
    let off = owed.iter().filter(|(_, difference)| **difference != 0);
    let findings = off.map(|((account, currency), difference)| {
        finding(
            account,
            format!("his trips come to {difference} {currency} more than his account"),
        )
    });
    Outcome::new(
        "drivers owed",
        "a driver's account is what his trips and tips pay, less cash, clawbacks and payouts",
        owed.len(),
        findings.collect(),
    )
}
