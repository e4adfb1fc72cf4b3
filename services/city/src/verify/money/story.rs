//! An intent's rows and the ledger tell the same story: what every account got of a trip, posted and promised. The third
//! writing of it, beside the service's journal and the database's trigger.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{
    finding,
    rows::{Books, Intent},
};
use crate::verify::Outcome;

/// Account → posted, promised; credits minus debits.
type Story = BTreeMap<String, (i64, i64)>;

fn add(story: &mut Story, account: &str, posted: i64, pending: i64) {
    let got = story.entry(account.to_owned()).or_default();
    got.0 += posted;
    got.1 += pending;
}

pub fn stories(books: &Books) -> Outcome {
    let mut said: HashMap<Uuid, Story> = books
        .intents
        .iter()
        .map(|intent| (intent.id, of_intent(intent)))
        .collect();
    let intents: HashMap<Uuid, &Intent> = books
        .intents
        .iter()
        .map(|intent| (intent.id, intent))
        .collect();
    beside(books, &intents, &mut said);
    let mut entered: HashMap<Uuid, Story> = HashMap::new();
    for got in &books.got {
        let story = entered.entry(got.reference).or_default();
        add(story, &got.account, got.posted, got.pending);
    }
    let mut findings = Vec::new();
    for (id, mut story) in said {
        let mut ledger = entered.remove(&id).unwrap_or_default();
        for one in [&mut story, &mut ledger] {
            one.retain(|_, got| *got != (0, 0));
        }
        if story != ledger {
            findings.push(finding(
                id,
                format!("rows say {story:?}, the ledger {ledger:?}"),
            ));
        }
    }
    findings.sort_by(|one, other| one.id.cmp(&other.id));
    Outcome::new(
        "money stories",
        "every account got of a trip what its intent, charges, refunds and disputes say",
        books.intents.len(),
        findings,
    )
}

fn of_intent(intent: &Intent) -> Story {
    let mut story = Story::new();
    let rider = format!("riders/{}", intent.rider);
    let paid = intent.captured_minor + intent.rest_minor;
    add(&mut story, "processor", -paid, 0);
    add(&mut story, &rider, paid, 0);
    if intent.method == "CARD"
        && matches!(intent.state.as_str(), "REQUIRES_HOLD" | "HELD" | "UNKNOWN")
    {
        let promised = intent.amount_minor + intent.raise_minor;
        add(&mut story, "processor", 0, -promised);
        add(&mut story, &rider, 0, promised);
    }
    if !intent.is_settled() {
        return story;
    }
    let charge = intent.charge_minor.unwrap_or_default();
    let (due, tax) = (
        intent.driver_due_minor.unwrap_or_default(),
        intent.tax_minor.unwrap_or_default(),
    );
    add(&mut story, &rider, -charge, 0);
    add(&mut story, "platform:tax", tax, 0);
    add(&mut story, "platform:revenue", charge - due - tax, 0);
    if let Some(driver) = intent.driver {
        let driver = format!("drivers/{driver}");
        add(&mut story, &driver, due, 0);
        if intent.state == "CASH_COLLECTED" {
            add(&mut story, &driver, -charge, 0);
            add(&mut story, &rider, charge, 0);
        }
    }
    story
}

/// What was charged, given back and disputed beside the hold. A rest that was taken is counted with the intent.
fn beside(books: &Books, intents: &HashMap<Uuid, &Intent>, said: &mut HashMap<Uuid, Story>) {
    for extra in &books.extras {
        let (Some(intent), Some(story)) = (intents.get(&extra.intent), said.get_mut(&extra.intent))
        else {
            continue;
        };
        let (rider, minor) = (format!("riders/{}", intent.rider), extra.amount_minor);
        match (extra.state.as_str(), extra.driver) {
            ("AWAITED" | "UNKNOWN", _) => {
                add(story, "processor", 0, -minor);
                add(story, &rider, 0, minor);
            }
            ("DONE", Some(driver)) => {
                add(story, "processor", -minor, 0);
                add(story, &format!("drivers/{driver}"), minor, 0);
            }
            _ => {}
        }
    }
    for refund in &books.refunds {
        let (Some(intent), Some(story)) =
            (intents.get(&refund.intent), said.get_mut(&refund.intent))
        else {
            continue;
        };
        let all = refund.amount_minor;
        match refund.state.as_str() {
            "AWAITED" | "UNKNOWN" => {
                add(story, "processor", 0, all);
                add(story, &format!("riders/{}", intent.rider), 0, -all);
            }
            "DONE" => {
                let (his, tax) = (refund.driver_minor, refund.tax_minor);
                add(story, "processor", all, 0);
                add(story, "platform:tax", -tax, 0);
                add(story, "platform:revenue", his + tax - all, 0);
                if let Some(driver) = intent.driver {
                    add(story, &format!("drivers/{driver}"), -his, 0);
                }
            }
            _ => {}
        }
    }
    for dispute in &books.disputes {
        let Some(story) = said.get_mut(&dispute.intent) else {
            continue;
        };
        let minor = dispute.amount_minor;
        let gone_to = match dispute.state.as_str() {
            "OPEN" => "processor:disputes",
            "LOST" => "platform:losses",
            _ => continue,
        };
        add(story, "processor", minor, 0);
        add(story, gone_to, -minor, 0);
    }
}
