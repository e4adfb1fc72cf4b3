//! What happens to money that riders and drivers do not do by themselves, so that every step of it is under way when
//! something breaks: an operator who gives money back, and a bank that will not have some holds raised.
//!
//! Invariants: the operator knows the gateway's public API only, and asks again with the same key when he got no answer;
//! he gives each ride's money back at most in [`PARTS`] parts. Does not: judge what became of it.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};
use sqlx::Connection as _;
use uuid::Uuid;

use super::strike;
use crate::{
    command::token::sign_in,
    stack::{
        Stack,
        sign_in::{Role, SignIn},
    },
    verify,
};

/// How often he does something.
const EVERY: Duration = Duration::from_secs(1);
/// How long he waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often he asks for the same with the same key.
const TRIES: u32 = 3;
/// In how many parts a ride's money is given back.
const PARTS: usize = 2;
/// What one part is, minor units.
const PART_MINOR: i64 = 100;
/// Share of holds that the bank will not have raised: what the ride costs above them is charged beside.
const NOT_RAISED: f64 = 0.5;

/// Works until dropped.
pub async fn work(stack: &Stack) {
    let mut given_back = HashMap::new();
    let mut token = None;
    loop {
        tokio::time::sleep(EVERY).await;
        // Whatever is away now may be there in a second.
        let _away = refuse_raises(stack).await;
        if token.is_none() {
            token = token_of(stack).await.ok();
        }
        if let Some(current) = &token {
            match give_back(stack, current, &mut given_back).await {
                Ok(true) => {}
                // The token may be over.
                Ok(false) => token = None,
                Err(_away) => {}
            }
        }
    }
}

/// The sandbox forgets its rules with its process, and all of them when a fault is over.
async fn refuse_raises(stack: &Stack) -> anyhow::Result<()> {
    let rules = strike::rules(stack).await?;
    let stands = |rule: &Value| rule["on"] == "raise" && rule["kind"] == "decline";
    if rules.iter().any(stands) {
        return Ok(());
    }
    strike::set_rule(
        stack,
        json!({ "kind": "decline", "on": "raise", "rate": NOT_RAISED }),
    )
    .await
}

async fn token_of(stack: &Stack) -> anyhow::Result<String> {
    let ask = SignIn {
        role: Role::Operator,
        id: None,
    };
    Ok(sign_in(&stack.file().sign_in, ask).await?.token)
}

/// Gives a part of one ride's money back. False when he is not let in.
async fn give_back(
    stack: &Stack,
    token: &str,
    given_back: &mut HashMap<Uuid, usize>,
) -> anyhow::Result<bool> {
    let file = stack.file();
    let mut database = verify::open(&file.database("payment")).await?;
    let newest: Vec<(Uuid, String)> = sqlx::query_as(
        "SELECT trip, currency FROM intents WHERE state IN ('CAPTURED', 'PARTLY_REFUNDED') AND captured_minor > 1000
         ORDER BY updated_at DESC LIMIT 50",
    )
    .fetch_all(&mut database)
    .await
    .context("look for a ride")?;
    database.close().await?;
    let again = |trip: &Uuid| given_back.get(trip).copied().unwrap_or(0) < PARTS;
    let Some((trip, currency)) = newest.into_iter().find(|(trip, _)| again(trip)) else {
        return Ok(true);
    };
    *given_back.entry(trip).or_default() += 1;
    let ask = json!({
        "amount": { "amount_minor": PART_MINOR, "currency": currency },
        "reason": "chaos", "clawback": true,
    });
    let (key, client) = (Uuid::now_v7(), reqwest::Client::new());
    for _ in 0..TRIES {
        let asked = client
            .post(format!("{}/v1/operator/trips/{trip}/refund", file.gateway))
            .bearer_auth(token)
            .header("Idempotency-Key", key.to_string())
            .json(&ask)
            .timeout(PATIENCE)
            .send()
            .await;
        match asked.map(|answer| answer.status()) {
            Ok(status) if status.as_u16() == 401 => return Ok(false),
            // Done, or refused for good: a cash ride has nothing to give back.
            Ok(status) if !status.is_server_error() && status.as_u16() != 429 => return Ok(true),
            Ok(_) | Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
    Ok(true)
}
