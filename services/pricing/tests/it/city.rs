//! A running pricing, a client of it, and the events around it.

use std::time::Duration;

use hexcab_bus::{BusConfig, Outgoing, Producer, topic};
use hexcab_chassis::{
    Clock, ManualClock, Secret, Tasks,
    client::{Channel, ClientConfig, channel},
    token::{Verifier, generate_keys},
};
use hexcab_pricing::{App, Config, domain::surge_cell};
use hexcab_proto::{
    common::v1::LatLng,
    convert::to_timestamp,
    location::v1::{SupplyCell, SupplyCounted},
    pricing::v1::{
        CreateQuoteRequest, GetSurgeRequest, GetSurgeResponse, Quote,
        pricing_service_client::PricingServiceClient,
    },
    trip::v1::{Trip, TripEvent, TripRequested, trip_event::Event},
};
use hexcab_testkit::{Broker, TestDb};
use hexcab_types::{Point, RiderId, Timestamp, TripId};
use prost::Message as _;
use tonic::{Code, Status};
use uuid::Uuid;

pub type Client = PricingServiceClient<Channel>;

/// Downtown, and the Sunset five kilometres west of it.
pub const PICKUP: LatLng = LatLng {
    lat_e7: 377_879_000,
    lon_e7: -1_224_074_000,
};
pub const DROPOFF: LatLng = LatLng {
    lat_e7: 377_600_000,
    lon_e7: -1_224_650_000,
};

/// Pricing in the background; it ends with `stop`, or with the test.
pub struct City {
    pub client: Client,
    pub clock: Clock,
    pub hand: ManualClock,
    pub verifier: Verifier,
    pub config: Config,
    pub db: TestDb,
    pub producer: Producer,
    pub tasks: Tasks,
    broker: Broker,
}

impl City {
    pub async fn start() -> Self {
        hexcab_testkit::telemetry();
        let (broker, db) = (Broker::start(), TestDb::create("pricing").await);
        for topic in [topic::TRIP, topic::SUPPLY, topic::SURGE, topic::DEMAND] {
            broker.create_topic(topic, 1);
        }
        let kafka = BusConfig {
            brokers: broker.brokers(),
            ..BusConfig::default()
        };
        let (private, public) = generate_keys().unwrap();
        let config = Config {
            postgres: db.config(),
            kafka: kafka.clone(),
            quote_private_key: Secret::new(private),
            ..Config::default()
        };
        let (clock, hand) = Clock::manual(Timestamp::from_timestamp(1_212_192_000, 0).unwrap());
        let (client, tasks) = run(&config, &clock).await;
        let producer = Producer::connect(&kafka).unwrap();
        let verifier = Verifier::from_pem(&public).unwrap();
        Self {
            client,
            clock,
            hand,
            verifier,
            config,
            db,
            producer,
            tasks,
            broker,
        }
    }

    pub fn kafka(&self) -> BusConfig {
        BusConfig {
            brokers: self.broker.brokers(),
            ..BusConfig::default()
        }
    }

    /// Ends this process and starts another on the same database.
    pub async fn restart(&mut self) {
        self.tasks.stop(Duration::from_secs(15)).await;
        (self.client, self.tasks) = run(&self.config, &self.clock).await;
    }

    pub async fn quote(&mut self, request: CreateQuoteRequest) -> Result<Quote, Status> {
        Ok(self
            .client
            .create_quote(request)
            .await?
            .into_inner()
            .quote
            .unwrap())
    }

    pub async fn surge(&mut self) -> GetSurgeResponse {
        self.client
            .get_surge(GetSurgeRequest { city: "sf".into() })
            .await
            .unwrap()
            .into_inner()
    }

    /// As location would: this many drivers free at the pickup, now.
    pub async fn tell_supply(&self, available: i32) {
        let cells = vec![SupplyCell {
            cell: pickup_cell(),
            available,
        }];
        let now = self.clock.now();
        let event = SupplyCounted {
            city: "sf".into(),
            occur_time: Some(to_timestamp(now)),
            cells,
        };
        let kind = "hexcab.location.v1.SupplyCounted";
        self.publish(topic::SUPPLY, kind, event.encode_to_vec())
            .await;
    }

    pub async fn publish(&self, topic: &'static str, kind: &str, payload: Vec<u8>) {
        let event = Outgoing {
            topic,
            key: "sf".into(),
            kind: kind.into(),
            source: "test",
            subject: "cities/sf".into(),
            time: self.clock.now(),
            payload,
            traceparent: None,
        };
        self.producer.publish(event).await.unwrap();
    }
}

async fn run(config: &Config, clock: &Clock) -> (Client, Tasks) {
    let app = App::build(config.clone(), clock.clone()).await.unwrap();
    let endpoint = format!("http://{}", app.addr());
    let tasks = Tasks::new();
    tasks.spawn("pricing", app.run(tasks.shutdown().cancelled_owned()));
    (
        Client::new(channel(&endpoint, &ClientConfig::default()).unwrap()),
        tasks,
    )
}

pub fn pickup_cell() -> u64 {
    surge_cell(Point::from_e7(PICKUP.lat_e7, PICKUP.lon_e7).unwrap()).to_u64()
}

/// A good request of a new rider.
pub fn ask() -> CreateQuoteRequest {
    CreateQuoteRequest {
        request_id: Uuid::new_v4().to_string(),
        rider: RiderId::from(Uuid::new_v4()).name(),
        city: "sf".into(),
        product: String::new(),
        pickup: Some(PICKUP),
        dropoff: Some(DROPOFF),
    }
}

/// What trip publishes when a rider requests a trip.
pub fn trip_requested(trip: TripId, at: Timestamp) -> TripEvent {
    TripEvent {
        trip: trip.name(),
        version: 1,
        occur_time: Some(to_timestamp(at)),
        after: Some(Trip {
            name: trip.name(),
            city: "sf".into(),
            rider: RiderId::from(trip.uuid()).name(),
            pickup: Some(PICKUP),
            dropoff: Some(DROPOFF),
            ..Trip::default()
        }),
        event: Some(Event::Requested(TripRequested {})),
    }
}

/// Reason, code and message of a refusal.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (String, Code, String) {
    let status = answer.unwrap_err();
    let reason = hexcab_chassis::status::reason(&status).unwrap_or_default();
    (reason, status.code(), status.message().to_owned())
}
