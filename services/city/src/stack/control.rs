//! The launcher's own endpoint on loopback: what runs, what traces were seen, and faults on order for tests.
//!
//! - `GET /status`, `GET /metrics`, `GET /traces`, `GET /traces/{trace}`
//! - `POST /services/{name}/kill` (as a crash), `/stop` (it stands still), `/continue`, and `/restart` (gently; answers when
//!   healthy), where the name may also be a store's: `postgres`, `kafka`
//!
//! Invariant: a web page cannot use it (requests with an `Origin` are refused). Does not: check who on this machine calls.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header::ORIGIN},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::future::join_all;
use hexcab_chassis::Tasks;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Running, health,
    process::{Fault, resident_bytes},
    until_one_healthy,
};

/// Answer of `GET /status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    /// The city's id.
    pub city: String,
    /// Its clock, as `HEXCAB_CLOCK`.
    pub clock: String,
    /// What that clock reads.
    pub now: String,
    /// City seconds per second.
    pub speed: f64,
    /// How long it has been up, seconds.
    pub up_s: u64,
    /// Kafka.
    pub brokers: String,
    /// The launcher's resident memory, bytes.
    pub launcher_bytes: u64,
    /// Batches of spans that an external collector did not take.
    pub spans_dropped: u64,
    /// The stores and the services, in the order they were started.
    pub services: Vec<ServiceView>,
}

/// One store or service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// Its process, if it runs.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
    /// What is wrong with it; none when healthy.
    pub complaint: Option<String>,
    /// Its resident memory, bytes.
    pub resident_bytes: u64,
    /// Its log.
    pub log: String,
}

/// Serves at `url`, which is on loopback.
///
/// # Errors
/// When the port is taken.
pub async fn serve(url: &str, running: Arc<Running>, tasks: &Tasks) -> anyhow::Result<()> {
    let address: SocketAddr = url
        .trim_start_matches("http://")
        .parse()
        .context("control address")?;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("bind {address}"))?;
    let stop = tasks.shutdown();
    let router = router(running);
    tasks.spawn("control", async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        serving.await.context("serve control")
    });
    Ok(())
}

fn router(running: Arc<Running>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/traces", get(traces))
        .route("/traces/{trace}", get(trace))
        .route("/services/{name}/restart", post(restart))
        .route("/services/{name}/{fault}", post(suffer))
        .layer(middleware::from_fn(refuse_web_pages))
        .with_state(running)
}

async fn refuse_web_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(ORIGIN) {
        return (StatusCode::FORBIDDEN, "not for web pages").into_response();
    }
    next.run(request).await
}

async fn status(State(running): State<Arc<Running>>) -> Json<StatusView> {
    let services = running.members.iter().map(|member| async {
        let life = member.process.life();
        ServiceView {
            name: member.name.to_owned(),
            pid: life.pid,
            restarts: life.restarts,
            complaint: health::complaint(&member.probe).await,
            resident_bytes: life.pid.map_or(0, resident_bytes),
            log: member.log.display().to_string(),
        }
    });
    let file = running.file.lock().clone();
    let clock = running.clock.clock();
    Json(StatusView {
        city: file.city,
        clock: file.clock,
        now: clock.now().to_rfc3339(),
        speed: clock.speed(),
        up_s: running.started.elapsed().as_secs(),
        brokers: file.brokers,
        launcher_bytes: resident_bytes(std::process::id()),
        spans_dropped: running.receiver.dropped(),
        services: join_all(services).await,
    })
}

async fn metrics(State(running): State<Arc<Running>>) -> impl IntoResponse {
    Json(running.receiver.meters().all())
}

async fn traces(State(running): State<Arc<Running>>) -> impl IntoResponse {
    Json(running.receiver.tally().lock().summary())
}

async fn trace(State(running): State<Arc<Running>>, Path(id): Path<String>) -> Response {
    let view = running.receiver.tally().lock().trace(&id);
    view.map_or_else(
        || (StatusCode::NOT_FOUND, "no span of this trace was seen").into_response(),
        |view| Json(view).into_response(),
    )
}

async fn suffer(
    State(running): State<Arc<Running>>,
    Path((name, fault)): Path<(String, Fault)>,
) -> Response {
    let Some(member) = running.member(&name) else {
        return unknown(&name);
    };
    let pid = member.process.life().pid;
    let done = member.process.suffer(fault);
    Json(json!({ "service": name, "pid": pid, "fault": fault, "done": done })).into_response()
}

async fn restart(State(running): State<Arc<Running>>, Path(name): Path<String>) -> Response {
    let Some(member) = running.member(&name) else {
        return unknown(&name);
    };
    member.process.restart().await;
    let healthy = until_one_healthy(member).await;
    answer(healthy.map(|()| json!({ "service": name, "pid": member.process.life().pid })))
}

fn unknown(name: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("no service {name:?}")).into_response()
}

fn answer(done: anyhow::Result<serde_json::Value>) -> Response {
    match done {
        Ok(body) => Json(body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}
