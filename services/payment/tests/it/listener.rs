//! Somebody who is told by webhook: keeps what it was sent and answers as told to.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use hexcab_chassis::Tasks;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;

#[derive(Debug, Clone)]
pub struct Told {
    pub signature: String,
    pub body: String,
}

impl Told {
    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn kind(&self) -> String {
        self.event()["type"].as_str().unwrap().to_owned()
    }
}

#[derive(Debug, Default)]
struct Inner {
    told: Mutex<Vec<Told>>,
    status: AtomicU16,
}

pub struct Listener {
    pub addr: SocketAddr,
    inner: Arc<Inner>,
    tasks: Tasks,
}

impl Listener {
    pub async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn at(addr: SocketAddr) -> Self {
        let (inner, tasks) = (Arc::new(Inner::default()), Tasks::new());
        inner.status.store(200, Ordering::Relaxed);
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/webhooks", post(take))
            .with_state(inner.clone());
        let stop = tasks.shutdown().cancelled_owned();
        tasks.spawn("listener", async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(stop)
                .await?;
            Ok(())
        });
        Self { addr, inner, tasks }
    }

    pub fn url(&self) -> String {
        format!("http://{}/webhooks", self.addr)
    }

    /// Answers so from now on.
    pub fn answer(&self, status: u16) {
        self.inner.status.store(status, Ordering::Relaxed);
    }

    pub fn told(&self) -> Vec<Told> {
        self.inner.told.lock().clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tasks.shutdown().cancel();
    }
}

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers["stripe-signature"].to_str().unwrap().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    inner.told.lock().push(Told { signature, body });
    StatusCode::from_u16(inner.status.load(Ordering::Relaxed)).unwrap()
}
