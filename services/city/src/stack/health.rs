//! Asks services whether they are serving, over `grpc.health.v1` (the sandbox: over HTTP).
//!
//! Does not: decide what to do about one that is not.

use std::time::Duration;

use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// How a service is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// `grpc.health.v1.Health/Check` at `http://…`.
    Grpc(String),
    /// `GET` of this URL answers 200.
    Http(String),
}

/// What is wrong with it; none when it is serving.
pub async fn complaint(probe: &Probe) -> Option<String> {
    let asked = match probe {
        Probe::Grpc(url) => tokio::time::timeout(ASK_TIMEOUT, ask_grpc(url)).await,
        Probe::Http(url) => tokio::time::timeout(ASK_TIMEOUT, ask_http(url)).await,
    };
    asked.unwrap_or_else(|_| Some("does not answer".to_owned()))
}

async fn ask_grpc(url: &str) -> Option<String> {
    let endpoint = match Endpoint::from_shared(url.to_owned()) {
        Ok(endpoint) => endpoint,
        Err(error) => return Some(error.to_string()),
    };
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(_) => return Some("does not listen yet".to_owned()),
    };
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest {
            service: String::new(),
        })
        .await;
    match answer.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => None,
        Ok(ServingStatus::NotServing | ServingStatus::Unknown | ServingStatus::ServiceUnknown) => {
            Some("says that it is not serving".to_owned())
        }
        Err(status) => Some(format!("answers {:?}: {}", status.code(), status.message())),
    }
}

async fn ask_http(url: &str) -> Option<String> {
    match reqwest::get(url).await {
        Ok(answer) if answer.status().is_success() => None,
        Ok(answer) => Some(format!("answers {}", answer.status())),
        Err(_) => Some("does not listen yet".to_owned()),
    }
}
