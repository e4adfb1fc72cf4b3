//! A channel to a running city's payment service, with the token that services show each other.

use std::time::Duration;

use anyhow::Context as _;
use hexcab_chassis::{
    Secret,
    client::{self, Channel, ClientConfig},
};

use crate::stack::folder::CityFile;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(20);

/// The channel; nothing is connected yet.
///
/// # Errors
/// When the city has no payment service, or its token cannot be read.
pub fn channel(city: &CityFile) -> anyhow::Result<Channel> {
    let service = city
        .services
        .get("payment")
        .context("this city has no payment service")?;
    let token = std::fs::read_to_string(&city.service_token_file)
        .with_context(|| format!("read {}", city.service_token_file.display()))?;
    let config = ClientConfig {
        timeout_ms: u64::try_from(CALL.as_millis()).unwrap_or(u64::MAX),
        service_token: Some(Secret::new(token.trim_end())),
    };
    client::channel(&service.grpc, &config)
}

/// Why payment did not do what it was asked, for people to read.
pub fn refused(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("payment: {} ({})", status.message(), status.code())
}
