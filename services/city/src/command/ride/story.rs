//! The ride, step by step, told as it happens: what, by which service, when by the city's clock.
//!
//! Does not: look behind the door; only the trace at the end is the launcher's.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{
    Place,
    apps::{DriverApp, Rest},
};
use crate::{stack::sign_in::Role, stop::Stop};

/// Ferry Building.
const PICKUP: (f64, f64) = (37.7955, -122.3937);
/// Golden Gate Park.
const DROPOFF: (f64, f64) = (37.7694, -122.4862);
/// Where the driver waits, a few streets off.
const NEARBY: (f64, f64) = (37.7936, -122.3965);
/// How long an offer may take, city time (the search ends by itself after eight minutes).
const OFFER_PATIENCE: Duration = Duration::from_secs(480);
/// How long spans may take to arrive.
const TRACE_TRIES: u32 = 40;

/// Tells it.
///
/// # Errors
/// When a step is refused, or nothing happens for too long.
pub async fn tell(place: &Place, stop: &Stop) -> anyhow::Result<()> {
    tokio::select! {
        told = whole(place) => told,
        () = stop.cancelled() => bail!("stopped on the way"),
    }
}

async fn whole(place: &Place) -> anyhow::Result<()> {
    let (rider, driver) = (
        Rest::sign_in(place, Role::Rider).await?,
        Rest::sign_in(place, Role::Driver).await?,
    );
    let step = |service: &str, what: String| {
        println!(
            "{}  {service:<9} {what}",
            place.clock.now().format("%H:%M:%S")
        )
    };
    step(
        "sign-in",
        format!("rider {}, driver {}", rider.who.id, driver.who.id),
    );
    let mut app = DriverApp::connect(place, &driver.who, NEARBY).await?;
    step(
        "location",
        format!("the driver is at {}, {} and free", NEARBY.0, NEARBY.1),
    );

    let quote = rider
        .post(
            "/v1/quotes",
            &json!({"city": place.city, "pickup": point(PICKUP), "dropoff": point(DROPOFF)}),
        )
        .await?;
    let surge = quote["surge_bp"].as_f64().unwrap_or_default() / 10_000.0;
    step(
        "pricing",
        format!(
            "quote {}: {} for {} m in {} s, surge {surge:.2}",
            text(&quote["id"]),
            money(&quote["price"]),
            quote["distance_m"],
            quote["duration_s"]
        ),
    );
    let trip = rider
        .post("/v1/trips", &json!({"quote_token": quote["token"]}))
        .await?;
    let id = text(&trip["id"]).to_owned();
    step("trip", format!("trip {id} is {}", text(&trip["state"])));
    step("payment", format!("holds {}", money(&trip["fare"])));

    let patience = place.clock.to_real(OFFER_PATIENCE) + Duration::from_secs(5);
    let offer = app
        .wait_for(patience, |message| {
            message["type"] == "offer" && message["trip"] == id.as_str()
        })
        .await;
    let offer = offer.context("the trip was not offered to our driver; is another one nearer?")?;
    step(
        "dispatch",
        format!(
            "offer {} to our driver, {} s away, until {}",
            offer["epoch"],
            offer["pickup_eta_s"],
            text(&offer["expires_at"])
        ),
    );
    let accepted = app
        .command(json!({"type": "accept", "trip": id, "epoch": offer["epoch"]}))
        .await?;
    step("trip", format!("accepted: {}", state(&accepted)));

    app.go(PICKUP, "en_route").await?;
    let arrived = app
        .command(json!({"type": "arrive", "trip": id, "lat": PICKUP.0, "lon": PICKUP.1}))
        .await?;
    step("trip", format!("the driver is there: {}", state(&arrived)));
    let view = rider.get(&format!("/v1/trips/{id}")).await?;
    let code = text(&view["start_code"]).to_owned();
    let started = app
        .command(json!({"type": "start", "trip": id, "code": code}))
        .await?;
    step(
        "trip",
        format!("the rider says {code}: {}", state(&started)),
    );

    app.go(DROPOFF, "on_trip").await?;
    let done = app
        .command(json!({"type": "complete", "trip": id, "lat": DROPOFF.0, "lon": DROPOFF.1}))
        .await?;
    step("trip", format!("at the destination: {}", state(&done)));
    app.go(DROPOFF, "offline").await?;
    let end = rider.get(&format!("/v1/trips/{id}")).await?;
    step("payment", format!("captures {}", money(&end["charge"])));
    let trace = text(&end["trace_id"]).to_owned();
    println!("trace {trace}");
    if let Some(control) = &place.control {
        show_trace(control, &trace).await?;
    }
    Ok(())
}

/// Waits until the trace is whole, and says who is in it.
async fn show_trace(control: &str, trace: &str) -> anyhow::Result<()> {
    const ALL: [&str; 6] = [
        "gateway", "pricing", "trip", "dispatch", "location", "payment",
    ];
    let mut view = Value::Null;
    for _ in 0..TRACE_TRIES {
        let answer = reqwest::get(format!("{control}/traces/{trace}"))
            .await
            .context("ask the launcher for the trace")?;
        if answer.status().is_success() {
            view = answer.json().await?;
            let there = |service: &&str| {
                view["services"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one == *service))
            };
            if view["connected"] == true && ALL.iter().all(there) {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let services: Vec<&str> = view["services"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let how = if view["connected"] == true {
        "one connected tree"
    } else {
        "NOT connected"
    };
    println!("{} spans, {how}, of {}", view["spans"], services.join(", "));
    Ok(())
}

fn point((lat, lon): (f64, f64)) -> Value {
    json!({"lat": lat, "lon": lon})
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn state(result: &Value) -> String {
    text(&result["trip"]["state"]).to_owned()
}

fn money(value: &Value) -> String {
    let currency = value["currency"]
        .as_str()
        .and_then(|code| code.parse().ok());
    match (value["amount_minor"].as_i64(), currency) {
        (Some(minor), Some(currency)) => hexcab_types::Money::new(minor, currency).to_string(),
        (Some(_) | None, Some(_) | None) => "nothing".to_owned(),
    }
}
