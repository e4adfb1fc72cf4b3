//! Trips that wait to be carried: requested through the service, so that everything about them is as it is in life.

use anyhow::Context as _;
use futures::future::try_join_all;
use hexcab_chassis::Clock;
use hexcab_proto::trip::v1::CreateTripRequest;
use hexcab_types::{
    CityId, Currency, DriverId, Money, Point, ProductId, QUOTE_TOKEN_TYPE, QuoteClaims, QuoteId,
    RiderId,
};
use uuid::Uuid;

use super::{CLIENTS, stack::Stack};

/// A trip that is requested, and the driver who will carry it.
#[derive(Debug, Clone)]
pub struct Life {
    pub trip: String,
    pub start_code: String,
    pub driver: DriverId,
}

/// The pickup of all.
pub fn pickup() -> Point {
    Point::from_degrees(37.7749, -122.4194).unwrap()
}

/// Requests so many trips, a multiple of the clients.
pub async fn prepare(stack: &Stack, lives: usize) -> anyhow::Result<Vec<Life>> {
    let each = lives.div_ceil(CLIENTS);
    let clients = stack.clients()?;
    let requested = clients.into_iter().map(|mut client| async move {
        let mut lives = Vec::with_capacity(each);
        for _ in 0..each {
            let made = client.create_trip(request(stack)?).await?.into_inner();
            let trip = made.trip.context("a trip")?;
            lives.push(Life {
                trip: trip.name,
                start_code: trip.start_code,
                driver: Uuid::new_v4().into(),
            });
        }
        anyhow::Ok(lives)
    });
    Ok(try_join_all(requested).await?.concat())
}

fn request(stack: &Stack) -> anyhow::Result<CreateTripRequest> {
    let rider = RiderId::from(Uuid::new_v4());
    let usd = |minor| Money::new(minor, Currency::Usd);
    let quote = QuoteClaims {
        quote: QuoteId::from(Uuid::new_v4()),
        rider,
        city: CityId::new("sf")?,
        product: ProductId::new("standard")?,
        pickup: pickup(),
        dropoff: Point::from_degrees(37.7955, -122.3937)?,
        price: usd(1840),
        driver_pay: usd(1120),
        tax: usd(58),
        cancellation_fee: usd(500),
        duration_s: 720,
        distance_m: 4100,
        expires_at: Clock::system().now() + chrono::TimeDelta::seconds(120),
        traceparent: None,
    };
    Ok(CreateTripRequest {
        request_id: Uuid::new_v4().to_string(),
        rider: rider.name(),
        quote_token: stack.pricing.sign(QUOTE_TOKEN_TYPE, &quote)?,
        ..CreateTripRequest::default()
    })
}
