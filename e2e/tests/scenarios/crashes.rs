//! Any one service or store dies in the middle of rides; it costs only delay.

use std::sync::Arc;

use hexcab_e2e::City;
use serde_json::Value;

/// Every process is killed once while the simulator sends riders; every request has an end, and the invariants hold.
pub async fn of_each_process_cost_only_delay(city: Arc<City>) {
    let services = hexcab_e2e::SERVICES.into_iter().map(str::to_owned);
    let all: Vec<String> = services.chain(city.stores()).collect();
    under_load(&city, &all).await;
}

/// The same with two of every service: one of each is killed, then the other.
pub async fn of_each_replica_cost_only_delay(city: Arc<City>) {
    let ones = hexcab_e2e::REPLICATED.map(str::to_owned);
    let others = hexcab_e2e::REPLICATED.map(|name| format!("{name}-2"));
    under_load(&city, &[ones, others].concat()).await;
}

async fn under_load(city: &City, killed: &[String]) {
    let report = city.scratch("crashes.json");
    let report_path = report.display().to_string();
    let text = |key: &str| city.file[key].as_str().expect("an address").to_owned();
    let (gateway, sign_in, clock) = (text("gateway"), text("sign_in"), text("clock"));
    let arguments = [
        "--gateway",
        &gateway,
        "--sign-in",
        &sign_in,
        "--clock",
        &clock,
        "--city",
        "sf",
        "--for",
        "12m",
        "--drivers",
        "80",
        "--demand-scale",
        "0.5",
        "--drain",
        "90m",
        "--seed",
        "11",
        "--report",
        &report_path,
    ];
    let (simulated, ()) = tokio::join!(city.run("hexcab-simulator", &arguments), async {
        for name in killed {
            city.kill(name).await;
        }
    });
    assert_eq!(simulated.0, 0, "{}", simulated.1);
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(&report).expect("a report")).expect("JSON");
    let count = |key: &str| {
        report[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{key} in {report}"))
    };
    assert!(count("requests") > 20, "{report}");
    assert_eq!(
        count("in_progress"),
        0,
        "every ride came to its end: {report}"
    );
    assert!(count("completed") * 2 > count("requests"), "{report}");
    city.verify().await;
}
