//! The service's turn: 32 callers carry whole lives over gRPC, and every call's latency is kept.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use hexcab_chassis::client::Channel;
use hexcab_proto::trip::v1::{
    AcceptOfferRequest, ArriveTripRequest, CompleteTripRequest, OfferTripRequest, StartTripRequest,
    trip_service_client::TripServiceClient,
};
use uuid::Uuid;

use super::{
    CLIENTS, STEPS,
    lives::{Life, pickup},
    report::Cpu,
    stack::Stack,
};

/// What the service made of its turn.
pub struct Carried {
    /// Transitions a second.
    pub per_second: f64,
    pub p50: Duration,
    pub p95: Duration,
    pub p99: Duration,
    /// Transactions of its database that were rolled back: those run again, and refusals.
    pub rolled_back: i64,
    /// Processor time for one transition.
    pub cpu: Cpu,
}

/// Carries these lives, each client his share.
pub async fn carry(stack: &Stack, lives: &[Life]) -> anyhow::Result<Carried> {
    let clients = stack.clients()?;
    // Connections are made before the clock runs.
    for client in &clients {
        let request = hexcab_proto::trip::v1::GetTripRequest {
            name: lives[0].trip.clone(),
        };
        client.clone().get_trip(request).await?;
    }
    let rolled_back = rollbacks(stack).await?;
    let (cpu, begun) = (Cpu::now(stack), Instant::now());
    let each = lives.len() / CLIENTS;
    let carried = clients
        .into_iter()
        .zip(lives.chunks(each))
        .map(|(client, lives)| {
            // On the runtime's threads, all of them.
            let lives = lives.to_vec();
            spawn(carry_share(client, lives))
        });
    let latencies = try_join_all(carried).await?;
    let took = begun.elapsed();
    let transitions = (lives.len() * STEPS) as f64;
    let cpu = cpu.until_now(stack).of_each(transitions);

    let mut all = Histogram::<u64>::new(3)?;
    for latencies in latencies {
        all.add(latencies?)?;
    }
    let quantile = |q| Duration::from_micros(all.value_at_quantile(q));
    Ok(Carried {
        per_second: transitions / took.as_secs_f64(),
        p50: quantile(0.50),
        p95: quantile(0.95),
        p99: quantile(0.99),
        rolled_back: rollbacks(stack).await? - rolled_back,
        cpu,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bench has no service whose shutdown waits for it"
)]
fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}

async fn carry_share(
    mut client: TripServiceClient<Channel>,
    lives: Vec<Life>,
) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = Histogram::new(3)?;
    for life in &lives {
        carry_one(&mut client, life, &mut latencies).await?;
    }
    Ok(latencies)
}

/// One life: five transitions.
pub async fn carry_one(
    client: &mut TripServiceClient<Channel>,
    life: &Life,
    latencies: &mut Histogram<u64>,
) -> anyhow::Result<()> {
    let (name, driver) = (|| life.trip.clone(), || life.driver.name());
    macro_rules! call {
        ($method:ident, $request:expr) => {{
            let begun = Instant::now();
            client
                .$method($request)
                .await
                .context(stringify!($method))?;
            latencies.record(u64::try_from(begun.elapsed().as_micros())?)?;
        }};
    }
    call!(
        offer_trip,
        OfferTripRequest {
            name: name(),
            request_id: id(),
            driver: driver(),
            version: 1,
            decision: format!("decisions/{}", Uuid::new_v4()),
            pickup_eta_s: 240,
            pickup_distance_m: 900,
        }
    );
    call!(
        accept_offer,
        AcceptOfferRequest {
            name: name(),
            request_id: id(),
            driver: driver(),
            epoch: 1,
        }
    );
    call!(
        arrive_trip,
        ArriveTripRequest {
            name: name(),
            request_id: id(),
            driver: driver(),
            position: Some(pickup().into()),
        }
    );
    call!(
        start_trip,
        StartTripRequest {
            name: name(),
            request_id: id(),
            driver: driver(),
            start_code: life.start_code.clone(),
        }
    );
    call!(
        complete_trip,
        CompleteTripRequest {
            name: name(),
            request_id: id(),
            driver: driver(),
            position: Some(pickup().into()),
        }
    );
    Ok(())
}

fn id() -> String {
    Uuid::new_v4().to_string()
}

async fn rollbacks(stack: &Stack) -> anyhow::Result<i64> {
    // Sessions tell the statistics at most once a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let mut connection = stack.connect().await?;
    let count = sqlx::query_scalar(
        "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()",
    )
    .fetch_one(&mut connection)
    .await?;
    Ok(count)
}
