//! `hexcab status`: what a running city is doing.

use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use crate::{
    cli::StatusArguments,
    stack::{control::StatusView, folder::CityFile, meters::Series},
};

/// Prints it; exit 1 when a service is not healthy.
///
/// # Errors
/// When no city runs, or its launcher does not answer.
pub async fn run(arguments: StatusArguments) -> anyhow::Result<ExitCode> {
    let (dir, city) = CityFile::find(arguments.city.dir.as_deref())?;
    let asked = reqwest::get(format!("{}/status", city.control))
        .await
        .context("ask the launcher")?;
    let status: StatusView = asked.json().await.context("read the launcher's answer")?;
    println!(
        "city      {} in {}, up {} s",
        status.city,
        dir.display(),
        status.up_s
    );
    println!("clock     {} (× {})", status.now, status.speed);
    println!(
        "gateway   {}   gRPC {}   sign-in {}",
        city.gateway, city.gateway_grpc, city.sign_in
    );
    println!("postgres  {}", city.postgres);
    println!("kafka     {}", status.brokers);
    println!(
        "launcher  pid {}, {}, control {}",
        city.pid,
        mib(status.launcher_bytes),
        city.control
    );
    println!("{}", table(&status));
    if arguments.metrics {
        let asked = reqwest::get(format!("{}/metrics", city.control))
            .await
            .context("ask the launcher for metrics")?;
        let series: Vec<Series> = asked.json().await.context("read the metrics")?;
        println!("{}", metrics(&series));
    }
    let healthy = status
        .services
        .iter()
        .all(|service| service.complaint.is_none());
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn table(status: &StatusView) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["service", "pid", "restarts", "resident", "health"]);
    for service in &status.services {
        table.add_row([
            service.name.clone(),
            service.pid.map_or("–".to_owned(), |pid| pid.to_string()),
            service.restarts.to_string(),
            mib(service.resident_bytes),
            service
                .complaint
                .clone()
                .unwrap_or_else(|| "serving".to_owned()),
        ]);
    }
    table
}

fn metrics(series: &[Series]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["metric", "service", "of", "value"]);
    for one in series {
        let of: Vec<_> = one
            .attributes
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        table.add_row([
            one.name.clone(),
            one.service.clone(),
            of.join(" "),
            format!("{}", (one.value * 1_000.0).round() / 1_000.0),
        ]);
    }
    table
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
