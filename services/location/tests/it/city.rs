//! A running location and a client of it.

use std::time::Duration;

use hexcab_bus::BusConfig;
use hexcab_chassis::{
    Clock, ManualClock, Tasks,
    client::{Channel, ClientConfig, channel},
};
use hexcab_location::{App, Config, store::StoreConfig};
use hexcab_proto::{
    common::v1::LatLng,
    location::v1::{
        DriverStatus, FindNearbyRequest, Ping, ReportPingsRequest,
        location_service_client::LocationServiceClient,
    },
};
use hexcab_types::{DriverId, Timestamp};
use uuid::Uuid;

pub type Client = LocationServiceClient<Channel>;

/// Location in the background; it ends with this value's `stop`, or with the test.
pub struct City {
    pub client: Client,
    pub clock: Clock,
    pub hand: ManualClock,
    pub endpoint: String,
    tasks: Tasks,
}

impl City {
    /// Without a broker: nobody listens at that address.
    pub async fn start() -> Self {
        Self::with(BusConfig {
            brokers: "127.0.0.1:1".to_owned(),
            ..BusConfig::default()
        })
        .await
    }

    pub async fn with(kafka: BusConfig) -> Self {
        let config = Config {
            kafka,
            ..Config::default()
        };
        Self::build(config, Clock::manual(start())).await
    }

    /// A replica by this clock; without a broker, it publishes no supply.
    pub async fn kept(store: StoreConfig, clock: (Clock, ManualClock)) -> Self {
        let config = Config {
            store,
            supply_interval_ms: 0,
            ..Config::default()
        };
        Self::build(config, clock).await
    }

    /// The same with a broker: it publishes supply every second.
    pub async fn kept_and_counted(
        store: StoreConfig,
        kafka: BusConfig,
        clock: (Clock, ManualClock),
    ) -> Self {
        let config = Config {
            store,
            kafka,
            supply_interval_ms: 1_000,
            ..Config::default()
        };
        Self::build(config, clock).await
    }

    async fn build(config: Config, (clock, hand): (Clock, ManualClock)) -> Self {
        hexcab_testkit::telemetry();
        let app = App::build(config, clock.clone()).await.unwrap();
        let endpoint = format!("http://{}", app.addr());
        let tasks = Tasks::new();
        tasks.spawn("location", app.run(tasks.shutdown().cancelled_owned()));
        let client = Client::new(channel(&endpoint, &ClientConfig::default()).unwrap());
        Self {
            client,
            clock,
            hand,
            endpoint,
            tasks,
        }
    }

    /// Ends location as SIGTERM does.
    pub async fn stop(self) {
        let begun = tokio::time::Instant::now();
        self.tasks.stop(Duration::from_secs(15)).await;
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it did not end in time"
        );
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    /// A good ping of a driver at the centre, of now.
    pub fn ping(&self, number: u128) -> Ping {
        Ping {
            driver: driver(number),
            lat_e7: CENTRE.lat_e7,
            lon_e7: CENTRE.lon_e7,
            record_time_ms: self.now_ms(),
            status: DriverStatus::Available.into(),
            ..Ping::default()
        }
    }

    /// Reports pings; how many were accepted, stale and rejected.
    pub async fn report(&mut self, pings: Vec<Ping>) -> (i32, i32, usize) {
        let request = ReportPingsRequest {
            city: "sf".into(),
            pings,
        };
        let answer = self
            .client
            .report_pings(request)
            .await
            .unwrap()
            .into_inner();
        (answer.accepted, answer.stale, answer.rejected.len())
    }
}

/// When the clocks of tests begin.
pub fn start() -> Timestamp {
    Timestamp::from_timestamp(1_212_192_000, 0).unwrap()
}

pub const CENTRE: LatLng = LatLng {
    lat_e7: 377_749_000,
    lon_e7: -1_224_194_000,
};

pub fn driver(number: u128) -> String {
    DriverId::from(Uuid::from_u128(number)).name()
}

pub fn around_centre() -> FindNearbyRequest {
    FindNearbyRequest {
        city: "sf".into(),
        point: Some(CENTRE),
        ..FindNearbyRequest::default()
    }
}

/// The reason and the message of a refusal.
pub fn refusal<T: std::fmt::Debug>(
    answer: Result<T, tonic::Status>,
) -> (String, tonic::Code, String) {
    let status = answer.unwrap_err();
    let reason = hexcab_chassis::status::reason(&status).unwrap_or_default();
    (reason, status.code(), status.message().to_owned())
}
