//! The real dispatcher over the embedded broker, between stand-ins for trip and location.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod api;
mod fakes;
mod faults;
mod matching;
mod tracing;

use std::{net::SocketAddr, time::Duration};

use hexcab_bus::{BusConfig, Producer, topic};
use hexcab_chassis::{Clock, ClockConfig, Tasks, client};
use hexcab_dispatch::{
    app::App,
    config::{Config, Peers},
};
use hexcab_proto::dispatch::v1::{self as pb, dispatch_service_client::DispatchServiceClient};
use hexcab_testkit::{Broker, eventually};
use hexcab_types::{Point, Timestamp, TripId};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::fakes::{FakeLocation, FakeTrip};

/// City seconds per second: a window of 2 s takes 100 ms.
const SPEED: f64 = 20.0;

/// A city around one dispatcher.
struct Bench {
    broker: Broker,
    clock: Clock,
    tasks: Tasks,
    trip: FakeTrip,
    location: FakeLocation,
    peers: Peers,
    dispatch: Running,
}

/// A dispatcher that runs.
struct Running {
    stop: CancellationToken,
    client: DispatchServiceClient<client::Channel>,
}

impl Bench {
    async fn new() -> Self {
        Self::at(Self::clock()).await
    }

    fn clock() -> Clock {
        let base = Timestamp::from_timestamp(1_212_192_000, 0).unwrap();
        ClockConfig::starting_now(base, SPEED).unwrap().clock()
    }

    async fn at(clock: Clock) -> Self {
        let mut bench = Self::without_dispatch(clock).await;
        bench.start().await;
        bench
    }

    async fn without_dispatch(clock: Clock) -> Self {
        tracing::install();
        let broker = Broker::start();
        broker.create_topic(topic::TRIP, 1);
        broker.create_topic(topic::DISPATCH, 1);
        let (tasks, location) = (Tasks::new(), FakeLocation::default());
        let config = BusConfig {
            brokers: broker.brokers(),
            ..BusConfig::default()
        };
        let trip = FakeTrip::new(Producer::connect(&config).unwrap(), clock.clone());
        let (at_trip, at_location) = fakes::serve(&tasks, trip.clone(), location.clone()).await;
        let peers = Peers {
            trip: format!("http://{at_trip}"),
            location: format!("http://{at_location}"),
        };
        let nobody = Running {
            stop: CancellationToken::new(),
            client: connect(at_trip),
        };
        Self {
            broker,
            clock,
            tasks,
            trip,
            location,
            peers,
            dispatch: nobody,
        }
    }

    /// Starts a dispatcher, the one before having been stopped, and waits until it has the city.
    async fn start(&mut self) {
        self.start_early().await;
        self.until_owned().await;
    }

    /// Starts a dispatcher.
    async fn start_early(&mut self) {
        let config = Config {
            kafka: self.bus(),
            peers: self.peers.clone(),
            // Slow test machines must not look like a location that is away.
            location_timeout_ms: 2_000,
            resync_s: 1,
            ..Config::default()
        };
        let app = App::build(config, self.clock.clone()).await.unwrap();
        let stop = CancellationToken::new();
        self.dispatch = Running {
            stop: stop.clone(),
            client: connect(app.addr()),
        };
        self.tasks.spawn(
            "dispatch",
            async move { app.run(stop.cancelled_owned()).await },
        );
    }

    fn bus(&self) -> BusConfig {
        BusConfig {
            brokers: self.broker.brokers(),
            ..BusConfig::default()
        }
    }

    async fn until_owned(&self) {
        eventually(|| async {
            self.status()
                .await
                .ok()
                .filter(|status| status.rebuild_time.is_some())
        })
        .await;
    }

    /// Stops the dispatcher and waits until its port is closed.
    async fn stop(&self) {
        self.dispatch.stop.cancel();
        eventually(|| async {
            self.status()
                .await
                .is_err_and(|status| status.code() == tonic::Code::Unavailable)
                .then_some(())
        })
        .await;
    }

    async fn status(&self) -> Result<pb::GetCityStatusResponse, Status> {
        let request = pb::GetCityStatusRequest { city: "sf".into() };
        Ok(self
            .dispatch
            .client
            .clone()
            .get_city_status(request)
            .await?
            .into_inner())
    }

    async fn explain(
        &self,
        what: pb::explain_offer_request::What,
    ) -> Result<pb::DecisionMade, Status> {
        let request = pb::ExplainOfferRequest { what: Some(what) };
        Ok(self
            .dispatch
            .client
            .clone()
            .explain_offer(request)
            .await?
            .into_inner()
            .decision
            .unwrap())
    }

    /// Waits until dispatch sees these requests as open, and no other.
    async fn until_open(&self, trips: &[TripId]) {
        let mut names: Vec<_> = trips.iter().map(|trip| trip.name()).collect();
        names.sort();
        eventually(|| async {
            let mut open: Vec<_> = self
                .status()
                .await
                .ok()?
                .open_requests
                .into_iter()
                .map(|open| open.trip)
                .collect();
            open.sort();
            (open == names).then_some(())
        })
        .await;
    }

    /// Waits until the trip is offered for the n-th time, and returns the driver's name.
    async fn until_offered(&self, trip: TripId, epoch: i32) -> String {
        eventually(|| async {
            let trip = self.trip.trip(trip);
            trip.offer
                .filter(|_| trip.epoch == epoch)
                .map(|offer| offer.driver)
        })
        .await
    }

    /// Waits until so many windows were closed from now on.
    async fn windows(&self, more: i64) {
        let now = self.status().await.unwrap().windows;
        eventually(|| async { (self.status().await.unwrap().windows >= now + more).then_some(()) })
            .await;
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.dispatch.stop.cancel();
        self.tasks.shutdown().cancel();
    }
}

fn connect(to: SocketAddr) -> DispatchServiceClient<client::Channel> {
    let config = client::ClientConfig::default().with_timeout(Duration::from_secs(5));
    DispatchServiceClient::new(client::channel(&format!("http://{to}"), &config).unwrap())
}

/// A place in San Francisco, so many steps of about 100 m north of Union Square.
fn place(steps: i32) -> Point {
    Point::from_degrees(37.7879 + f64::from(steps) * 0.0009, -122.4075).unwrap()
}
