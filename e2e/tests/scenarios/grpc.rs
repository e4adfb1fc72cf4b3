//! A stranger with grpcurl.

use std::sync::Arc;

use hexcab_e2e::City;
use serde_json::Value;
use tokio::process::Command;

/// Every service, its API and a call that changes nothing.
const CALLS: [(&str, &str, &str, &str); 6] = [
    (
        "trip",
        "hexcab.trip.v1.TripService",
        "ListTrips",
        r#"{"page_size": 1}"#,
    ),
    (
        "location",
        "hexcab.location.v1.LocationService",
        "CountCells",
        r#"{"city": "sf"}"#,
    ),
    (
        "dispatch",
        "hexcab.dispatch.v1.DispatchService",
        "GetCityStatus",
        r#"{"city": "sf"}"#,
    ),
    (
        "pricing",
        "hexcab.pricing.v1.PricingService",
        "GetSurge",
        r#"{"city": "sf"}"#,
    ),
    (
        "payment",
        "hexcab.payment.v1.PaymentService",
        "GetTrialBalance",
        "{}",
    ),
    (
        "gateway",
        "hexcab.gateway.v1.DriverAppService",
        "OpenSession",
        "",
    ),
];

async fn grpcurl(arguments: &[&str]) -> (bool, String) {
    let found = which::which("grpcurl").expect("grpcurl is on the PATH: ./dev test installs it");
    let output = Command::new(found)
        .arg("-plaintext")
        .args(arguments)
        .output()
        .await
        .expect("run grpcurl");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

pub async fn a_stranger_can_list_and_call_every_service(city: Arc<City>) {
    let header = format!("authorization: Bearer {}", city.service_token());
    for (service, api, method, body) in CALLS {
        let address = match service {
            "gateway" => city.file["gateway_grpc"].as_str().unwrap(),
            _ => city.service(service),
        };
        let address = address.trim_start_matches("http://");
        let (ok, text) = grpcurl(&[address, "list"]).await;
        assert!(
            ok && text.lines().any(|line| line == api),
            "{service}: {text}"
        );
        let (ok, text) = grpcurl(&[address, "describe", api]).await;
        assert!(ok && text.contains(method), "{service}: {text}");
        let whole = grpcurl(&["-d", "{}", address, "grpc.health.v1.Health/Check"]).await;
        assert!(
            whole.1.contains("SERVING") && !whole.1.contains("NOT_SERVING"),
            "{service}: {}",
            whole.1
        );
        let own = grpcurl(&[
            "-d",
            &format!(r#"{{"service": "{api}"}}"#),
            address,
            "grpc.health.v1.Health/Check",
        ])
        .await;
        assert!(own.1.contains("SERVING"), "{service}: {}", own.1);
        let path = format!("{api}/{method}");
        if service == "gateway" {
            let (ok, text) = grpcurl(&["-d", body, address, &path]).await;
            assert!(!ok && text.contains("TOKEN_MISSING"), "{text}");
            continue;
        }
        let (ok, text) = grpcurl(&["-H", &header, "-d", body, address, &path]).await;
        assert!(ok, "{service}: {text}");
        serde_json::from_str::<Value>(&text).expect("an answer in JSON");
        let (ok, text) = grpcurl(&["-d", body, address, &path]).await;
        assert!(
            !ok && text.contains("SERVICE_TOKEN_WRONG"),
            "{service}: {text}"
        );
    }
}
