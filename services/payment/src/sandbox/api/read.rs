//! Questions: single objects, and lists newest first. Faults befall them only by name.

use axum::extract::{Path, RawQuery, State};
use hexcab_pg::PgError;
use serde_json::Value;

use super::{Sandbox, Shared, broken, fields};
use crate::sandbox::{
    answer::{Answer, ErrorType},
    faults::Kind,
    operation::{
        Metadata, Verb,
        fields::{self as field, Listing},
    },
};

pub(super) async fn payment(
    State(sandbox): Shared,
    Path(id): Path<String>,
    query: RawQuery,
) -> Answer {
    let expand = field::expands(&read(query), "latest_charge");
    let found = sandbox.book.payment(&id).await;
    let shown = found.map(|found| found.map(|payment| payment.json(expand)));
    one(&sandbox, shown, "payment_intent", &id).await
}

pub(super) async fn refund(State(sandbox): Shared, Path(id): Path<String>) -> Answer {
    let found = sandbox.book.refund(&id).await;
    let shown = found.map(|found| found.map(|refund| refund.json()));
    one(&sandbox, shown, "refund", &id).await
}

pub(super) async fn dispute(State(sandbox): Shared, Path(id): Path<String>) -> Answer {
    let found = sandbox.book.dispute(&id).await;
    let shown = found.map(|found| found.map(|dispute| dispute.json()));
    one(&sandbox, shown, "dispute", &id).await
}

pub(super) async fn event(State(sandbox): Shared, Path(id): Path<String>) -> Answer {
    let found = sandbox.book.event(&id).await;
    let shown = found.map(|found| found.map(|event| event.json()));
    one(&sandbox, shown, "event", &id).await
}

pub(super) async fn payments(State(sandbox): Shared, query: RawQuery) -> Answer {
    let listing = match Listing::read(&read(query)) {
        Ok(listing) => listing,
        Err(answer) => return answer,
    };
    let found = sandbox.book.payments(&listing).await;
    let show = |payment: &crate::sandbox::book::Payment| payment.json(listing.expand);
    many(&sandbox, found, show, "list", "/v1/payment_intents").await
}

pub(super) async fn refunds(State(sandbox): Shared, query: RawQuery) -> Answer {
    let listing = match Listing::read(&read(query)) {
        Ok(listing) => listing,
        Err(answer) => return answer,
    };
    let found = sandbox.book.refunds(&listing).await;
    let show = crate::sandbox::book::Refund::json;
    many(&sandbox, found, show, "list", "/v1/refunds").await
}

pub(super) async fn disputes(State(sandbox): Shared, query: RawQuery) -> Answer {
    let listing = match Listing::read(&read(query)) {
        Ok(listing) => listing,
        Err(answer) => return answer,
    };
    let found = sandbox.book.disputes(&listing).await;
    let show = crate::sandbox::book::Dispute::json;
    many(&sandbox, found, show, "list", "/v1/disputes").await
}

pub(super) async fn events(State(sandbox): Shared, query: RawQuery) -> Answer {
    let listing = match Listing::read(&read(query)) {
        Ok(listing) => listing,
        Err(answer) => return answer,
    };
    let found = sandbox.book.events(&listing).await;
    let show = crate::sandbox::book::Event::json;
    many(&sandbox, found, show, "list", "/v1/events").await
}

pub(super) async fn search(State(sandbox): Shared, query: RawQuery) -> Answer {
    let query = read(query);
    let asked = field::required(&query, "query").and_then(field::search);
    let (metadata, listing) = match asked.and_then(|asked| Ok((asked, Listing::read(&query)?))) {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    let found = sandbox.book.search(&metadata, listing.limit).await;
    let show = |payment: &crate::sandbox::book::Payment| payment.json(listing.expand);
    let url = "/v1/payment_intents/search";
    many(&sandbox, found, show, "search_result", url).await
}

async fn one(
    sandbox: &Sandbox,
    found: Result<Option<Value>, PgError>,
    object: &str,
    id: &str,
) -> Answer {
    if let Some(fault) = befallen(sandbox).await {
        return fault;
    }
    match found {
        Ok(Some(body)) => Answer::ok(body),
        Ok(None) => Answer::missing(object, id),
        Err(error) => broken(&error),
    }
}

async fn many<T>(
    sandbox: &Sandbox,
    found: Result<(Vec<T>, bool), PgError>,
    show: impl Fn(&T) -> Value,
    object: &str,
    url: &str,
) -> Answer {
    if let Some(fault) = befallen(sandbox).await {
        return fault;
    }
    match found {
        Ok((items, has_more)) => {
            Answer::page(object, url, items.iter().map(show).collect(), has_more)
        }
        Err(error) => broken(&error),
    }
}

/// What goes wrong with a question. A slow or late answer is one that comes late.
async fn befallen(sandbox: &Sandbox) -> Option<Answer> {
    let fault = sandbox.faults.draw(Verb::Read, &Metadata::new())?;
    if fault.kind != Kind::Error500 {
        tokio::time::sleep(fault.delay()).await;
    }
    let fails = matches!(fault.kind, Kind::Error500 | Kind::TimeoutBefore);
    fails.then(|| Answer::error(500, ErrorType::Api, "fault", "An error on demand."))
}

fn read(RawQuery(query): RawQuery) -> Vec<(String, String)> {
    fields(query.unwrap_or_default().as_bytes())
}
