//! What an operator looks at: every query of every board of Grafana, asked of the cluster's Prometheus.

use std::{path::Path, sync::Arc};

use hexcab_e2e::{City, SERVICES, eventually};
use serde_json::Value;

/// A panel that says so may be empty: what it shows is rare.
const MAY_BE_EMPTY: &str = "shows no data";

/// After all the scenarios, no panel is empty but those that hope to be.
pub async fn ask_for_what_is_there(city: Arc<City>) {
    let prometheus = city.prometheus().expect("a Prometheus");
    let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/grafana/boards");
    let mut asked = 0;
    for file in std::fs::read_dir(boards).unwrap() {
        let path = file.unwrap().path();
        let board: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for panel in board["panels"].as_array().expect("panels") {
            let told = panel["description"].as_str().unwrap_or_default();
            for target in panel["targets"].as_array().expect("targets") {
                let query = target["expr"].as_str().expect("a query");
                let what = format!("{}: {}: {query}", board["title"], panel["title"]);
                eventually(&what, || async {
                    let found = series(prometheus, query).await;
                    (found > 0 || told.contains(MAY_BE_EMPTY)).then_some(())
                })
                .await;
                asked += 1;
            }
        }
    }
    assert!(asked > 30, "{asked} queries");
}

/// How many series answer, for one service at least where the query is of one.
async fn series(prometheus: &str, query: &str) -> usize {
    let query = query
        .replace("$__rate_interval", "30m")
        .replace("service_name=\"$service\"", &services());
    let asked = reqwest::Client::new()
        .get(format!("{prometheus}/api/v1/query"))
        .query(&[("query", query.as_str())])
        .send();
    let answer: Value = asked.await.unwrap().json().await.unwrap();
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer["data"]["result"].as_array().map_or(0, Vec::len)
}

fn services() -> String {
    format!("service_name=~\"{}\"", SERVICES.join("|"))
}
