//! A client that costs as little as can be: messages are written by hand, answers counted and dropped.

use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures::{StreamExt as _, stream::FuturesUnordered};
use hexcab_chassis::Clock;
use hexcab_proto::{
    common::v1::LatLng,
    location::v1::{DriverStatus, FindNearbyBatchRequest, FindNearbyRequest, StreamPingsResponse},
};
use hexcab_types::Point;
use prost::Message as _;
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

use super::{BATCH, LIMIT, QUERIES, RADIUS_M, fleet::Fleet};

/// Calls at once, over so many connections.
const CALLS: usize = 32;
const CONNECTIONS: usize = 2;
/// Batches of pings on their way.
const BATCHES_AHEAD: usize = 8;
const SERVICE: &str = "/hexcab.location.v1.LocationService/";

/// Bytes out, bytes in.
#[derive(Default, Clone)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// A client of a server at this address.
#[derive(Clone)]
pub struct Client {
    channels: Vec<Channel>,
}

impl Client {
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true);
            channels.push(endpoint.connect().await?);
        }
        Ok(Self { channels })
    }

    /// Streams pings of the fleet until `enough`, which is told how many were sent; returns how many were accepted.
    pub async fn pings(
        &self,
        fleet: &mut Fleet,
        mut enough: impl FnMut(usize) -> bool,
        mut pace: impl AsyncFnMut(usize),
    ) -> anyhow::Result<usize> {
        let (sender, receiver) = tokio::sync::mpsc::channel(BATCHES_AHEAD);
        let mut grpc = tonic::client::Grpc::new(self.channels[0].clone());
        grpc.ready().await?;
        let path = format!("{SERVICE}StreamPings").try_into()?;
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let answers = grpc.streaming(Request::new(stream), path, Raw);
        let clock = Clock::system();
        let sending = async {
            let mut sent = 0;
            while !enough(sent) {
                pace(sent).await;
                let batch = batch(fleet, clock.now().timestamp_millis());
                if sender.send(batch).await.is_err() {
                    break;
                }
                sent += BATCH;
            }
            drop(sender);
            sent
        };
        let counting = async {
            let mut answers = answers.await?.into_inner();
            let mut accepted = 0;
            while let Some(answer) = answers.next().await {
                let answer = StreamPingsResponse::decode(answer?)?;
                anyhow::ensure!(answer.rejected.is_empty(), "{:?}", answer.rejected);
                accepted += usize::try_from(answer.accepted)?;
            }
            anyhow::Ok(accepted)
        };
        let (_, accepted) = tokio::join!(sending, counting);
        accepted
    }

    /// Calls a method with each of these messages in turn, [`CALLS`] at once, for so long; returns how many calls.
    pub async fn calls(
        &self,
        method: &str,
        messages: &[Bytes],
        length: Duration,
    ) -> anyhow::Result<usize> {
        let begun = Instant::now();
        let mut running = FuturesUnordered::new();
        let (mut next, mut done) = (0, 0);
        loop {
            while running.len() < CALLS && begun.elapsed() < length {
                let message = messages[next % messages.len()].clone();
                running.push(self.call(next, method, message));
                next += 1;
            }
            let Some(answer) = running.next().await else {
                return Ok(done);
            };
            answer?;
            done += 1;
        }
    }

    /// One call; the answer's bytes.
    pub async fn call(&self, number: usize, method: &str, message: Bytes) -> anyhow::Result<Bytes> {
        let mut grpc = tonic::client::Grpc::new(self.channels[number % CONNECTIONS].clone());
        grpc.ready().await?;
        let path = format!("{SERVICE}{method}").try_into()?;
        let answer = grpc.unary(Request::new(message), path, Raw).await?;
        Ok(answer.into_inner())
    }
}

/// A `StreamPingsRequest` of the fleet's next pings.
pub fn batch(fleet: &mut Fleet, now_ms: i64) -> Bytes {
    let mut bytes = Vec::with_capacity(BATCH * 64);
    bytes.extend_from_slice(&[0x0A, 2]);
    bytes.extend_from_slice(b"sf");
    for _ in 0..BATCH {
        let (driver, recorded_ms) = fleet.ping_at(now_ms);
        bytes.push(0x12);
        let length_at = bytes.len();
        bytes.push(0);
        number(&mut bytes, 0x10, zigzag(driver.point.lat_e7()));
        number(&mut bytes, 0x18, zigzag(driver.point.lon_e7()));
        number(&mut bytes, 0x20, recorded_ms as u64);
        number(&mut bytes, 0x28, 1);
        number(&mut bytes, 0x38, driver.heading_deg().into());
        number(&mut bytes, 0x40, 1_000);
        number(&mut bytes, 0x48, 8);
        bytes.extend_from_slice(&[0x52, 16]);
        bytes.extend_from_slice(driver.id.uuid().as_bytes());
        bytes[length_at] = (bytes.len() - length_at - 1) as u8;
    }
    bytes.into()
}

fn number(into: &mut Vec<u8>, key: u8, mut number: u64) {
    into.push(key);
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

const fn zigzag(number: i32) -> u64 {
    ((number << 1) ^ (number >> 31)) as u32 as u64
}

/// A query of a rider who stands here.
fn query(point: Point) -> FindNearbyRequest {
    FindNearbyRequest {
        city: "sf".to_owned(),
        point: Some(LatLng::from(point)),
        radius_m: RADIUS_M,
        limit: LIMIT,
        max_age_ms: 120_000,
        statuses: vec![DriverStatus::Available.into()],
        ..FindNearbyRequest::default()
    }
}

/// Queries of riders of this fleet, one a message.
pub fn queries(fleet: &mut Fleet) -> Vec<Bytes> {
    let one = |_| query(fleet.rider()).encode_to_vec().into();
    (0..10_000).map(one).collect()
}

/// The same, [`QUERIES`] a message.
pub fn query_batches(fleet: &mut Fleet) -> Vec<Bytes> {
    let one = |_| {
        let queries = (0..QUERIES).map(|_| query(fleet.rider())).collect();
        FindNearbyBatchRequest { queries }.encode_to_vec().into()
    };
    (0..100).map(one).collect()
}
