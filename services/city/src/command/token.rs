//! `hexcab token`: a token for curl and grpcurl.

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::{
    cli::{TokenArguments, TokenRole},
    say,
    stack::{
        folder::CityFile,
        sign_in::{Role, SignIn, SignedIn},
    },
};

/// Prints it to stdout, whose it is to stderr.
///
/// # Errors
/// When no city runs.
pub async fn run(arguments: TokenArguments) -> anyhow::Result<ExitCode> {
    let role = match arguments.role {
        TokenRole::Rider => Role::Rider,
        TokenRole::Driver => Role::Driver,
        TokenRole::Operator => Role::Operator,
        TokenRole::Service => return service(&arguments),
    };
    let endpoint = match &arguments.sign_in {
        Some(endpoint) => endpoint.clone(),
        None => CityFile::find(arguments.city.dir.as_deref())?.1.sign_in,
    };
    let signed = sign_in(
        &endpoint,
        SignIn {
            role,
            id: arguments.id,
        },
    )
    .await?;
    say::step(format_args!(
        "{}, good for {} minutes",
        role.name(signed.id),
        signed.expires_in_s / 60
    ));
    println!("{}", signed.token);
    Ok(ExitCode::SUCCESS)
}

/// What services show each other is a file, which no sign-in gives away.
fn service(arguments: &TokenArguments) -> anyhow::Result<ExitCode> {
    if arguments.sign_in.is_some() {
        bail!(
            "--role service: a cluster's services have their token in a file, /keys/service-token"
        );
    }
    let (_, city) = CityFile::find(arguments.city.dir.as_deref())?;
    let token = std::fs::read_to_string(&city.service_token_file)
        .with_context(|| format!("read {}", city.service_token_file.display()))?;
    println!("{}", token.trim());
    Ok(ExitCode::SUCCESS)
}

/// Asks the sign-in endpoint.
///
/// # Errors
/// When it does not answer or refuses.
pub async fn sign_in(endpoint: &str, ask: SignIn) -> anyhow::Result<SignedIn> {
    let asked = reqwest::Client::new()
        .post(format!("{endpoint}/v1/tokens"))
        .json(&ask)
        .send()
        .await;
    let answer = asked.with_context(|| format!("sign in at {endpoint}"))?;
    if !answer.status().is_success() {
        bail!(
            "sign in at {endpoint}: {}: {}",
            answer.status(),
            answer.text().await.unwrap_or_default()
        );
    }
    answer.json().await.context("read the token")
}
