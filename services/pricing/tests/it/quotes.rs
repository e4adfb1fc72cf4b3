//! Quotes: signed, kept, repeated, expired.

use std::time::Duration;

use hexcab_proto::{
    convert::timestamp,
    pricing::v1::{CreateQuoteRequest, GetQuoteRequest},
};
use hexcab_types::{QUOTE_TOKEN_TYPE, QuoteClaims};

use crate::city::{City, DROPOFF, ask, refusal};

#[tokio::test]
async fn a_quote_is_signed_and_says_what_it_shows() {
    let mut city = City::start().await;
    let request = ask();
    let quote = city.quote(request.clone()).await.unwrap();
    let claims: QuoteClaims = city
        .verifier
        .verify(QUOTE_TOKEN_TYPE, &quote.token)
        .unwrap();
    assert_eq!(
        (claims.quote.name(), claims.rider.name()),
        (quote.name.clone(), request.rider.clone())
    );
    assert_eq!(
        (claims.city.as_str(), claims.product.as_str()),
        ("sf", "standard")
    );
    assert_eq!(
        (Some(claims.pickup.into()), Some(claims.dropoff.into())),
        (quote.pickup, quote.dropoff)
    );
    assert_eq!(Some(claims.price.into()), quote.price);
    assert_eq!(
        (Some(claims.driver_pay.into()), Some(claims.tax.into())),
        (quote.driver_pay.clone(), quote.tax.clone())
    );
    assert_eq!(claims.cancellation_fee.minor, 500);
    assert_eq!(
        (claims.duration_s, claims.distance_m),
        (quote.trip_duration_s, quote.trip_distance_m)
    );
    assert!(
        (4_000..12_000).contains(&quote.trip_distance_m),
        "{}",
        quote.trip_distance_m
    );
    assert!(
        (400..2_400).contains(&quote.trip_duration_s),
        "{}",
        quote.trip_duration_s
    );
    let lines: i64 = quote
        .lines
        .iter()
        .map(|line| line.amount.as_ref().unwrap().amount_minor)
        .sum();
    assert_eq!(lines, claims.price.minor, "{:?}", quote.lines);
    assert_eq!(
        (
            quote.surge_bp,
            quote.surge_snapshot.as_str(),
            quote.fare_version
        ),
        (10_000, "", 1)
    );
}

#[tokio::test]
async fn a_quote_expires_120_seconds_later_by_the_citys_clock() {
    let mut city = City::start().await;
    city.hand.advance(Duration::from_secs(1_000));
    let quote = city.quote(ask()).await.unwrap();
    let claims: QuoteClaims = city
        .verifier
        .verify(QUOTE_TOKEN_TYPE, &quote.token)
        .unwrap();
    assert_eq!(
        claims.expires_at,
        city.clock.now() + chrono::TimeDelta::seconds(120)
    );
    assert_eq!(
        timestamp(quote.expire_time, "expire_time").unwrap(),
        claims.expires_at
    );
    assert_eq!(
        timestamp(quote.create_time, "create_time").unwrap(),
        city.clock.now()
    );
}

#[tokio::test]
async fn the_same_request_gets_the_same_quote_for_ever() {
    let mut city = City::start().await;
    let request = ask();
    let first = city.quote(request.clone()).await.unwrap();
    city.hand.advance(Duration::from_secs(3_600));
    assert_eq!(
        city.quote(request.clone()).await.unwrap(),
        first,
        "an hour later"
    );
    city.restart().await;
    assert_eq!(
        city.quote(request).await.unwrap(),
        first,
        "after a restart, the token included"
    );
    let asked = GetQuoteRequest {
        name: first.name.clone(),
    };
    assert_eq!(
        city.client
            .get_quote(asked)
            .await
            .unwrap()
            .into_inner()
            .quote,
        Some(first)
    );
}

#[tokio::test]
async fn the_same_request_with_another_body_is_refused() {
    let mut city = City::start().await;
    let request = ask();
    city.quote(request.clone()).await.unwrap();
    for other in [
        CreateQuoteRequest {
            rider: ask().rider,
            ..request.clone()
        },
        CreateQuoteRequest {
            product: "xl".into(),
            ..request.clone()
        },
        CreateQuoteRequest {
            pickup: Some(DROPOFF),
            ..request.clone()
        },
    ] {
        let (reason, code, _) = refusal(city.quote(other).await);
        assert_eq!(
            (reason.as_str(), code),
            ("REQUEST_ID_REUSED", tonic::Code::InvalidArgument)
        );
    }
}

#[tokio::test]
async fn one_request_sent_many_times_at_once_makes_one_quote() {
    let mut city = City::start().await;
    for _ in 0..10 {
        let request = ask();
        let calls = (0..8).map(|_| {
            let (mut client, request) = (city.client.clone(), request.clone());
            async move { client.create_quote(request).await }
        });
        let quotes = futures::future::try_join_all(calls).await.unwrap();
        let names: std::collections::BTreeSet<String> = quotes
            .into_iter()
            .map(|answer| answer.into_inner().quote.unwrap().name)
            .collect();
        assert_eq!(names.len(), 1);
    }
    let pg = city.db.connect().await;
    let (quotes, demand): (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM quotes), (SELECT count(*) FROM demand)")
            .fetch_one(pg.pool())
            .await
            .unwrap();
    assert_eq!((quotes, demand), (10, 10));
    city.surge().await;
}

#[tokio::test]
async fn dearer_products_cost_more() {
    let mut city = City::start().await;
    let price = |quote: hexcab_proto::pricing::v1::Quote| quote.price.unwrap().amount_minor;
    let standard = price(city.quote(ask()).await.unwrap());
    let xl = price(
        city.quote(CreateQuoteRequest {
            product: "xl".into(),
            ..ask()
        })
        .await
        .unwrap(),
    );
    assert!(xl > standard, "{xl} {standard}");
}
