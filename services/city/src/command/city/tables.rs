//! What is printed at the end of an evening.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use crate::{
    command::token::sign_in,
    funnel::Quantiles,
    report::Report,
    stack::{
        folder::CityFile,
        services,
        sign_in::{Role, SignIn},
    },
};

/// requested → offered → accepted → picked up → completed, and what else became of them.
pub fn funnel(report: &Report) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["rides", "", ""]);
    for (what, count) in [
        ("requested", report.requests),
        ("→ offered", report.offered),
        ("→ accepted", report.accepted),
        ("→ picked up", report.picked_up),
        ("→ completed", report.completed),
        ("expired", report.expired),
        ("open", report.in_progress),
        ("cancelled", report.cancelled),
    ] {
        table.add_row([
            what.to_owned(),
            count.to_string(),
            share(count, report.requests),
        ]);
    }
    for (by, count) in &report.cancelled_by {
        table.add_row([
            format!("  {}", by.replace('_', " ")),
            count.to_string(),
            share(*count, report.requests),
        ]);
    }
    let (offers, seconds) = (report.offers, "p50 / p95, city seconds".to_owned());
    let told = format!(
        "{} accepted, {} declined, {} ran out",
        offers.accepted, offers.declined, offers.expired
    );
    table.add_row([
        "offers per ride".to_owned(),
        format!("{:.2}", report.offers_per_trip),
        told,
    ]);
    table.add_row([
        "time to match".to_owned(),
        quantiles(report.match_seconds),
        seconds.clone(),
    ]);
    table.add_row([
        "time to pick up".to_owned(),
        quantiles(report.pickup_seconds),
        seconds,
    ]);
    let connected = format!("{} connected", report.traces.connected);
    table.add_row([
        "traces".to_owned(),
        report.traces.rides.to_string(),
        connected,
    ]);
    table
}

/// What riders paid and who has it.
pub fn money(report: &Report) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["money", ""]);
    for (what, minor) in [
        ("held", report.held_minor),
        ("captured", report.captured_minor),
        ("still on hold", report.on_hold_minor),
        ("owed to drivers", report.drivers_owed_minor),
        ("platform", report.revenue_minor),
        ("tax", report.tax_minor),
        ("ledger sum", report.ledger_sum_minor),
    ] {
        table.add_row([what.to_owned(), amount(minor, &report.currency)]);
    }
    let times = |bp: Option<i32>| {
        bp.map_or("–".to_owned(), |bp| {
            format!("{:.2}", f64::from(bp) / 10_000.0)
        })
    };
    let range = format!(
        "× {} to {}",
        times(report.surge.min_bp),
        times(report.surge.max_bp)
    );
    table.add_row(["surge".to_owned(), range]);
    table
}

fn share(count: i64, of: i64) -> String {
    if of == 0 {
        String::new()
    } else {
        format!("{:.1} %", 100.0 * count as f64 / of as f64)
    }
}

fn quantiles(of: Quantiles) -> String {
    let text = |seconds: Option<f64>| {
        seconds.map_or("–".to_owned(), |seconds| format!("{seconds:.0} s"))
    };
    format!("{} / {}", text(of.p50), text(of.p95))
}

fn amount(minor: i64, currency: &str) -> String {
    match currency.parse() {
        Ok(currency) => hexcab_types::Money::new(minor, currency).to_string(),
        Err(_) => minor.to_string(),
    }
}

/// `grpcurl`, or where `./dev setup` put it when that is not in the PATH.
fn grpcurl() -> String {
    let built = services::binaries()
        .ok()
        .and_then(|binaries| Some(binaries.parent()?.join("tools/bin/grpcurl")));
    match built {
        Some(built) if which::which("grpcurl").is_err() && built.is_file() => {
            built.display().to_string()
        }
        _ => "grpcurl".to_owned(),
    }
}

/// Lines to try: a quote by curl, the last trips by grpcurl.
///
/// # Errors
/// When the sign-in endpoint does not answer.
pub async fn ready_lines(city: &CityFile) -> anyhow::Result<String> {
    let signed = sign_in(
        &city.sign_in,
        SignIn {
            role: Role::Rider,
            id: None,
        },
    )
    .await?;
    let (gateway, token, id) = (&city.gateway, &signed.token, &city.city);
    let trip = city
        .services
        .get("trip")
        .map(|trip| trip.grpc.trim_start_matches("http://"))
        .unwrap_or_default();
    let (secret, grpcurl) = (city.service_token_file.display(), grpcurl());
    Ok(format!(
        "a quote (the token is good for {} minutes; `hexcab token --role rider` gives another):\n\
         curl -s -w '\\n' {gateway}/v1/quotes -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \
         -d '{{\"city\":\"{id}\",\"pickup\":{{\"lat\":37.7955,\"lon\":-122.3937}},\"dropoff\":{{\"lat\":37.7694,\"lon\":-122.4862}}}}'\n\
         the last trips:\n\
         {grpcurl} -plaintext -H \"authorization: Bearer $(cat {secret})\" -d '{{\"page_size\":3}}' {trip} hexcab.trip.v1.TripService/ListTrips",
        signed.expires_in_s / 60,
    ))
}
