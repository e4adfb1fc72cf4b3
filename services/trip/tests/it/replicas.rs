//! Several replicas of the trip service over one database, each with what it remembers for itself, and one clock.

use std::sync::{Arc, Mutex};

use hexcab_chassis::{
    Clock, ManualClock, Tasks,
    client::{self, Channel},
    token::{Signer, generate_keys},
};
use hexcab_pg::Pg;
use hexcab_proto::trip::v1::{self as proto, trip_service_client::TripServiceClient};
use hexcab_testkit::{Broker, TestDb};
use hexcab_trip::{
    app::App,
    config::Config,
    domain::{Canceller, Command, RiderReason},
};
use hexcab_types::{QUOTE_TOKEN_TYPE, Timestamp};
use tonic::Status;

use crate::{
    api::id,
    fixture::{quote, rider, start},
};

pub struct Replicas {
    pub clients: Vec<TripServiceClient<Channel>>,
    pub pg: Pg,
    pub clock: CityClock,
    pricing: Signer,
    _broker: Broker,
    tasks: Tasks,
}

impl Replicas {
    pub async fn start(count: usize) -> Self {
        hexcab_testkit::telemetry();
        let (db, broker) = (TestDb::create("trip_replicas").await, Broker::start());
        for topic in hexcab_bus::topic::ALL {
            broker.create_topic(topic, 1);
        }
        let (private, public) = generate_keys().unwrap();
        let mut config = Config {
            postgres: db.config(),
            quote_public_key: public,
            ..Config::default()
        };
        config.kafka.brokers = broker.brokers();
        let (clock, hand) = Clock::manual(start());
        let (tasks, mut clients) = (Tasks::new(), Vec::new());
        for _ in 0..count {
            let app = App::build(config.clone(), clock.clone()).await.unwrap();
            let address = format!("http://{}", app.addr());
            let channel = client::channel(&address, &client::ClientConfig::default()).unwrap();
            clients.push(TripServiceClient::new(channel));
            tasks.spawn("app", app.run(tasks.shutdown().cancelled_owned()));
        }
        Self {
            clients,
            pg: db.connect().await,
            clock: CityClock {
                hand: Arc::new(hand),
                read: Arc::new(Mutex::new(vec![start()])),
            },
            pricing: Signer::from_pem(&private).unwrap(),
            _broker: broker,
            tasks,
        }
    }

    pub async fn create(&self, n: u128) -> proto::Trip {
        let request = proto::CreateTripRequest {
            request_id: id(),
            rider: rider(n).name(),
            quote_token: self
                .pricing
                .sign(QUOTE_TOKEN_TYPE, &quote(rider(n)))
                .unwrap(),
            ..proto::CreateTripRequest::default()
        };
        let mut client = self.clients[n as usize % self.clients.len()].clone();
        let made = client.create_trip(request).await.unwrap();
        made.into_inner().trip.unwrap()
    }

    pub async fn stop(self) {
        self.tasks.stop(std::time::Duration::from_secs(10)).await;
    }
}

/// The hand on the clock of all replicas, and what it ever showed.
#[derive(Clone)]
pub struct CityClock {
    hand: Arc<ManualClock>,
    read: Arc<Mutex<Vec<Timestamp>>>,
}

impl CityClock {
    pub fn advance(&self, by: std::time::Duration) {
        let mut read = self.read.lock().unwrap();
        // Before the hand moves: whoever reads the new time finds it written down.
        let next = *read.last().unwrap() + by;
        read.push(next);
        self.hand.advance(by);
    }

    /// How many instants it has shown so far.
    pub fn ticks(&self) -> usize {
        self.read.lock().unwrap().len()
    }

    /// What it showed from this tick to now.
    pub fn since(&self, tick: usize) -> Vec<Timestamp> {
        self.read.lock().unwrap()[tick - 1..].to_vec()
    }
}

/// Sends a command under this request id.
pub async fn send(
    client: &mut TripServiceClient<Channel>,
    name: &str,
    request_id: &str,
    command: &Command,
) -> Result<proto::Trip, Status> {
    let (name, request_id) = (name.to_owned(), request_id.to_owned());
    macro_rules! call {
        ($method:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {
            client
                .$method(proto::$request { name, request_id, $($field: $value),* })
                .await
                .map(|answer| answer.into_inner().trip)
        };
    }
    let answer = match command.clone() {
        Command::Offer(to) => call!(
            offer_trip,
            OfferTripRequest {
                driver: to.driver.name(),
                version: to.version.unwrap_or(0),
                decision: String::new(),
                pickup_eta_s: to.pickup_eta_s,
                pickup_distance_m: to.pickup_distance_m,
            }
        ),
        Command::Accept(offer) => call!(
            accept_offer,
            AcceptOfferRequest {
                driver: offer.driver.name(),
                epoch: offer.epoch,
            }
        ),
        Command::Decline(offer) => call!(
            decline_offer,
            DeclineOfferRequest {
                driver: offer.driver.name(),
                epoch: offer.epoch,
            }
        ),
        Command::Arrive { driver, position } => call!(
            arrive_trip,
            ArriveTripRequest {
                driver: driver.name(),
                position: Some(position.into()),
            }
        ),
        Command::Start { driver, code } => call!(
            start_trip,
            StartTripRequest {
                driver: driver.name(),
                start_code: code.as_str().to_owned(),
            }
        ),
        Command::Complete { driver } => call!(
            complete_trip,
            CompleteTripRequest {
                driver: driver.name(),
                position: None,
            }
        ),
        Command::NoShow { driver } => call!(
            report_no_show,
            ReportNoShowRequest {
                driver: driver.name(),
            }
        ),
        Command::Release { driver } => call!(
            release_trip,
            ReleaseTripRequest {
                driver: driver.name(),
            }
        ),
        Command::Reassign { operator, note } => call!(
            reassign_trip,
            ReassignTripRequest {
                operator: operator.name(),
                note: note,
            }
        ),
        Command::ForceEnd { operator, note } => call!(
            force_end_trip,
            ForceEndTripRequest {
                operator: operator.name(),
                note: note,
            }
        ),
        Command::Cancel(Canceller::Rider {
            rider,
            reason: RiderReason::ChangedMind,
        }) => {
            call!(
                cancel_trip,
                CancelTripRequest {
                    reason: proto::CancelReason::ChangedMind.into(),
                    by: Some(proto::cancel_trip_request::By::Rider(rider.name())),
                }
            )
        }
        other @ (Command::Cancel(_)
        | Command::ExpireOffer { .. }
        | Command::ExpireRequest
        | Command::Activate
        | Command::Stall { .. }) => panic!("{other:?} is nobody's to send here"),
    };
    answer.map(Option::unwrap)
}
