//! Money: that does not come, that comes late, that goes back, that is paid out.

use std::sync::Arc;

use hexcab_e2e::{City, Driver, Rider, eventually, new_key};
use hexcab_proto::payment::v1::IntentState;
use hexcab_types::{Currency, Money};
use serde_json::{Value, json};

use crate::{DROPOFF, Offered, PICKUP, code, offered, until_money};

pub async fn declined_releases_the_driver(city: Arc<City>) {
    let driver = Driver::new(&city, PICKUP).await;
    let rider = Rider::new(&city.api).await;
    let fault = json!({"kind": "decline", "rate": 1.0, "rider": rider.id});
    let set = reqwest::Client::new()
        .post(format!("{}/sandbox/faults", city.service("sandbox")))
        .json(&fault)
        .send()
        .await;
    assert!(set.unwrap().status().is_success());

    let trip = rider.request(PICKUP, DROPOFF).await;
    let ended = rider.until(&trip, "CANCELLED").await;
    assert_eq!(
        ended["cancellation"]["reason"], "PAYMENT_DECLINED",
        "{ended}"
    );
    until_money(&city, &trip, IntentState::Declined).await;

    let other = Rider::new(&city.api).await;
    let next = other.request(PICKUP, DROPOFF).await;
    driver.offer(&next).await;
    other.cancel(&next).await.ok();
    driver.leave(&city).await;
}

/// A ride from the offer to its end, by whichever way it is paid.
struct Ridden {
    rider: Rider,
    driver: Driver,
    trip: String,
    charge: i64,
}

async fn ridden(city: &City, offered: Offered, wait_s: u64) -> Ridden {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered;
    driver.accept(&trip, &offer).await.ok();
    let seen = rider.until(&trip, "EN_ROUTE").await;
    driver
        .act(&trip, "arrive", json!({"position": PICKUP.json()}))
        .await
        .ok();
    city.clock()
        .sleep(std::time::Duration::from_secs(wait_s))
        .await;
    driver
        .act(&trip, "start", json!({"code": code(&seen)}))
        .await
        .ok();
    driver.stand(DROPOFF);
    driver
        .act(&trip, "complete", json!({"position": DROPOFF.json()}))
        .await
        .ok();
    let done = rider.until(&trip, "COMPLETED").await;
    Ridden {
        rider,
        driver,
        trip,
        charge: minor(&done["charge"]),
    }
}

fn minor(amount: &Value) -> i64 {
    amount["amount_minor"].as_i64().expect("an amount")
}

/// A driver's one statement.
async fn statement(driver: &Driver) -> Value {
    let answer = driver
        .api
        .get(&driver.token, "/v1/driver/statement")
        .await
        .ok();
    answer["statements"][0].clone()
}

/// Waits until the driver is owed so much.
async fn until_owed(driver: &Driver, owed: i64) -> Value {
    eventually(&format!("the driver is owed {owed}"), || async {
        let statement = statement(driver).await;
        (statement["closing"]["amount_minor"] == owed).then_some(statement)
    })
    .await
}

pub async fn for_waiting_is_held_and_taken_too(city: Arc<City>) {
    let offered = offered(&city).await;
    let fare = minor(&offered.rider.trip(&offered.trip).await.ok()["fare"]);
    let ride = ridden(&city, offered, 240).await;
    let seen = ride.rider.trip(&ride.trip).await.ok();
    assert!(minor(&seen["waiting_fee"]) > 0, "{seen}");
    assert_eq!(ride.charge, fare + minor(&seen["waiting_fee"]));
    let intent = until_money(&city, &ride.trip, IntentState::Captured).await;
    assert_eq!(intent.captured.unwrap().amount_minor, ride.charge);
    ride.driver.leave(&city).await;
}

pub async fn in_cash_makes_the_driver_owe_what_is_not_his(city: Arc<City>) {
    let driver = Driver::new(&city, PICKUP).await;
    let rider = Rider::new(&city.api).await;
    let quote = rider.quote_token(PICKUP, DROPOFF).await;
    let body = json!({"quote_token": quote, "payment_method": "cash"});
    let asked = city
        .api
        .post(&rider.token, "/v1/trips", &new_key(), &body)
        .await
        .ok();
    assert_eq!(asked["payment_method"], "CASH");
    let trip = asked["id"].as_str().unwrap().to_owned();
    let offer = driver.offer(&trip).await;
    let pay = minor(&offer["driver_pay"]);
    let offered = Offered {
        rider,
        driver,
        trip,
        offer,
    };
    let ride = ridden(&city, offered, 0).await;
    until_money(&city, &ride.trip, IntentState::CashCollected).await;
    let statement = until_owed(&ride.driver, pay - ride.charge).await;
    assert!(minor(&statement["closing"]) < 0, "{statement}");
    ride.driver.leave(&city).await;
}

/// One ride, tipped, given back in parts, and its driver paid out.
pub async fn is_tipped_given_back_and_paid_out(city: Arc<City>) {
    let offered = offered(&city).await;
    let pay = minor(&offered.offer["driver_pay"]);
    let ride = ridden(&city, offered, 0).await;
    let (api, rider, trip) = (&city.api, &ride.rider, ride.trip.as_str());
    until_money(&city, trip, IntentState::Captured).await;

    let usd = |amount_minor: i64| json!({"amount_minor": amount_minor, "currency": "USD"});
    let (path, key) = (format!("/v1/trips/{trip}/tip"), new_key());
    let tip = |amount, key: String| {
        let body = json!({"amount": usd(amount)});
        let path = path.clone();
        async move { api.post(&rider.token, &path, &key, &body).await }
    };
    let given = tip(200, key.clone()).await.ok();
    assert_eq!(tip(200, key.clone()).await.ok(), given, "the same answer");
    tip(300, key).await.refused(400, "REQUEST_ID_REUSED");
    until_owed(&ride.driver, pay + 200).await;
    tip(100, new_key()).await.refused(409, "ALREADY_TIPPED");

    let (operator, _) = api.sign_in("operator").await;
    let path = format!("/v1/operator/trips/{trip}/refund");
    let refund = |body: Value| {
        let (path, operator) = (path.clone(), operator.clone());
        async move { api.post(&operator, &path, &new_key(), &body).await }
    };
    refund(json!({"amount": usd(300), "reason": "a detour"}))
        .await
        .ok();
    until_money(&city, trip, IntentState::PartlyRefunded).await;
    refund(json!({"amount": usd(ride.charge), "reason": "too much"}))
        .await
        .refused(409, "MORE_THAN_TAKEN");
    refund(json!({"reason": "the rest"})).await.ok();
    let intent = until_money(&city, trip, IntentState::Refunded).await;
    assert_eq!(intent.refunded.unwrap().amount_minor, ride.charge);
    // The platform bears it: nobody asked for the driver's share.
    until_owed(&ride.driver, pay + 200).await;

    let key = new_key();
    let pay_out = || async {
        let body = json!({"currency": "USD"});
        api.post(&operator, "/v1/operator/payouts", &key, &body)
            .await
            .ok()
    };
    let batch = pay_out().await;
    assert_eq!(pay_out().await["id"], batch["id"], "one batch a key");
    let line = batch["lines"]
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["driver"] == ride.driver.id.as_str())
        .expect("the driver is paid");
    assert_eq!(minor(&line["amount"]), pay + 200);
    let path = format!("/v1/operator/payouts/{}", batch["id"].as_str().unwrap());
    let said = json!({"failed": [{"driver": ride.driver.id, "reason": "no such account"}]});
    let confirmed = api
        .post(&operator, &format!("{path}/confirm"), &new_key(), &said)
        .await
        .ok();
    assert_eq!(confirmed["state"], "CONFIRMED");
    // It came back: he is owed it still.
    until_owed(&ride.driver, pay + 200).await;
    the_ledger_is_printed(&city, &ride.driver, [pay, 200]).await;
    ride.driver.leave(&city).await;
}

/// `hexcab ledger`: totals of zero, and what the driver earned and was tipped.
async fn the_ledger_is_printed(city: &City, driver: &Driver, [pay, tip]: [i64; 2]) {
    let usd = |minor| Money::new(minor, Currency::Usd).to_string();
    let (code, text) = city.hexcab(&["ledger", "balance"]).await;
    assert_eq!(code, 0, "{text}");
    let zero = usd(0);
    assert_eq!(row(&text, "total USD"), ["total USD", zero.as_str(), &zero]);

    let account = format!("drivers/{}", driver.id);
    let (code, text) = city.hexcab(&["ledger", "statement", &account]).await;
    assert_eq!(code, 0, "{text}");
    let (pay, both, tip) = (usd(pay), usd(pay + tip), usd(tip));
    assert_eq!(
        row(&text, "opening"),
        ["", "opening", "", "", zero.as_str()]
    );
    assert_eq!(row(&text, "earning")[3..], [pay.as_str(), &pay]);
    assert_eq!(row(&text, "tip")[3..], [tip.as_str(), &both]);
    assert_eq!(
        row(&text, "closing"),
        ["", "closing", "", "", both.as_str()]
    );
    let (_, text) = city
        .hexcab(&["ledger", "statement", &account, "--json"])
        .await;
    let told: Value = serde_json::from_str(&text).unwrap();
    let lines = told["statements"][0]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "{text}");

    let nobody = "drivers/00000000-0000-0000-0000-000000000001";
    for (account, complaint) in [(nobody, "has no account"), ("riders/1", "whose statement")] {
        let (code, text) = city.hexcab(&["ledger", "statement", account]).await;
        assert_ne!(code, 0, "{text}");
        assert!(text.contains(complaint), "{text}");
    }
}

/// The cells of a table's first row that has this one.
fn row(table: &str, cell: &str) -> Vec<String> {
    let cells = |line: &str| {
        let cells = line.trim_matches('│').split('┆');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let mut rows = table.lines().map(cells);
    rows.find(|row: &Vec<String>| row.iter().any(|one| one == cell))
        .unwrap_or_else(|| panic!("{cell}: {table}"))
}
