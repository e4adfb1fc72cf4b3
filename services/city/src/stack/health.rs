//! Asks services whether they are serving, over `grpc.health.v1` (the sandbox: over HTTP), and stores in their own words.
//!
//! Does not: decide what to do about one that is not.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Kafka's question of every client's first: which versions do you speak? Length, key 18, version 0, number 7, no name.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
/// Where its answer names the question and says whether all is well: length, number 7, error 0.
const API_VERSIONS_ANSWER: [u8; 6] = [0, 0, 0, 7, 0, 0];

/// The question that every client of Cassandra may begin with: OPTIONS. Version 4, no flags, stream 0, opcode 5, no body.
const OPTIONS: [u8; 9] = [4, 0, 0, 0, 5, 0, 0, 0, 0];
/// How its answer begins: an answer of version 4, no flags, stream 0, SUPPORTED.
const OPTIONS_ANSWER: [u8; 5] = [0x84, 0, 0, 0, 6];

/// How a service is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// `grpc.health.v1.Health/Check` at `http://…`.
    Grpc(String),
    /// `GET` of this URL answers 200.
    Http(String),
    /// Postgres takes a connection at this URL and answers on it.
    Postgres(String),
    /// Kafka at this `host:port` says which versions it speaks.
    Kafka(String),
    /// Cassandra at this `host:port` says what it knows.
    Cassandra(String),
}

/// What is wrong with it; none when it is serving.
pub async fn complaint(probe: &Probe) -> Option<String> {
    let asked = match probe {
        Probe::Grpc(url) => tokio::time::timeout(ASK_TIMEOUT, ask_grpc(url)).await,
        Probe::Http(url) => tokio::time::timeout(ASK_TIMEOUT, ask_http(url)).await,
        Probe::Postgres(url) => tokio::time::timeout(ASK_TIMEOUT, ask_postgres(url)).await,
        Probe::Kafka(address) => tokio::time::timeout(ASK_TIMEOUT, ask_kafka(address)).await,
        Probe::Cassandra(address) => {
            tokio::time::timeout(ASK_TIMEOUT, ask_cassandra(address)).await
        }
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

async fn ask_postgres(url: &str) -> Option<String> {
    let asked = async {
        let mut connection = PgConnection::connect(url).await?;
        connection.ping().await?;
        connection.close().await
    };
    asked.await.err().map(|error| {
        if matches!(error, sqlx::Error::Io(_)) {
            "does not listen yet".to_owned()
        } else {
            error.to_string()
        }
    })
}

async fn ask_kafka(address: &str) -> Option<String> {
    let mut answer = [0; size_of::<u32>() + API_VERSIONS_ANSWER.len()];
    match ask(address, &API_VERSIONS, &mut answer).await {
        Err(_) => Some("does not listen yet".to_owned()),
        Ok(()) if answer.ends_with(&API_VERSIONS_ANSWER) => None,
        Ok(()) => Some("does not speak Kafka's protocol".to_owned()),
    }
}

async fn ask_cassandra(address: &str) -> Option<String> {
    let mut answer = [0; OPTIONS_ANSWER.len()];
    match ask(address, &OPTIONS, &mut answer).await {
        Err(_) => Some("does not listen yet".to_owned()),
        Ok(()) if answer == OPTIONS_ANSWER => None,
        Ok(()) => Some("does not speak Cassandra's protocol".to_owned()),
    }
}

/// Says something on a connection of its own, and reads an answer of this length.
async fn ask(address: &str, question: &[u8], answer: &mut [u8]) -> std::io::Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(question).await?;
    connection.read_exact(answer).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_broker_that_stands_still_or_is_none_is_complained_of() {
        let broker = hexcab_testkit::broker().brokers();
        assert_eq!(complaint(&Probe::Kafka(broker)).await, None);
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let said = complaint(&Probe::Kafka(address.clone())).await;
        assert_eq!(said.as_deref(), Some("does not answer"));
        let said = complaint(&Probe::Cassandra(address.clone())).await;
        assert_eq!(said.as_deref(), Some("does not answer"));
        drop(silent);
        for probe in [Probe::Kafka(address.clone()), Probe::Cassandra(address)] {
            let said = complaint(&probe).await;
            assert_eq!(said.as_deref(), Some("does not listen yet"));
        }
    }
}
