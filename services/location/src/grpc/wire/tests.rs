//! What is read and written by hand is what prost reads and writes.

use hexcab_proto::location::v1 as pb;
use hexcab_types::{DriverId, Point};
use proptest::prelude::*;
use prost::Message as _;
use uuid::Uuid;

use super::*;
use crate::domain::{ProductNumber, Sighting, Status};

fn pings() -> impl Strategy<Value = pb::StreamPingsRequest> {
    let ping = (
        (
            ".{0,50}",
            any::<i32>(),
            any::<i32>(),
            any::<i64>(),
            any::<i32>(),
        ),
        (
            ".{0,9}",
            any::<u32>(),
            any::<u32>(),
            any::<u32>(),
            proptest::collection::vec(any::<u8>(), 0..18),
        ),
    )
        .prop_map(
            |(
                (driver, lat_e7, lon_e7, record_time_ms, status),
                (product, heading_deg, speed_cm_s, accuracy_m, driver_id),
            )| {
                pb::Ping {
                    driver,
                    lat_e7,
                    lon_e7,
                    record_time_ms,
                    status,
                    product,
                    heading_deg,
                    speed_cm_s,
                    accuracy_m,
                    driver_id,
                }
            },
        );
    (".{0,12}", proptest::collection::vec(ping, 0..20))
        .prop_map(|(city, pings)| pb::StreamPingsRequest { city, pings })
}

/// What a reader makes of a message: the city and the pings, in the domain's words.
fn by_hand(bytes: &[u8]) -> Result<(String, Vec<String>), Malformed> {
    let batch = PingBatch::read(bytes)?;
    let mut pings = Vec::new();
    batch.for_each(|ping| pings.push(format!("{ping:?}")))?;
    assert_eq!(pings.len(), batch.len);
    Ok((batch.city.to_owned(), pings))
}

fn by_prost(bytes: &[u8]) -> Result<(String, Vec<String>), prost::DecodeError> {
    let batch = pb::StreamPingsRequest::decode(bytes)?;
    let pings = batch
        .pings
        .iter()
        .map(|ping| format!("{:?}", parse::ping(ping)));
    Ok((batch.city.clone(), pings.collect()))
}

proptest! {
    #[test]
    fn pings_are_read_as_prost_reads_them(batch in pings(), unknown in proptest::collection::vec((11..2_000_u32, any::<u64>()), 0..4)) {
        let mut bytes = batch.encode_to_vec();
        for (field, value) in unknown {
            prost::encoding::uint64::encode(field, &value, &mut bytes);
            prost::encoding::fixed64::encode(field, &value, &mut bytes);
            prost::encoding::fixed32::encode(field, &(value as u32), &mut bytes);
            prost::encoding::bytes::encode(field, &value.to_be_bytes().to_vec(), &mut bytes);
        }
        prop_assert_eq!(by_hand(&bytes).unwrap(), by_prost(&bytes).unwrap());
    }

    #[test]
    fn what_prost_refuses_is_refused(batch in pings(), at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let mut bytes = batch.encode_to_vec();
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        match (by_hand(&bytes), by_prost(&bytes)) {
            (Ok(hand), Ok(prost)) => prop_assert_eq!(hand, prost),
            (Err(_), Err(_)) => {}
            (hand, prost) => prop_assert!(false, "{hand:?} {prost:?} {bytes:x?}"),
        }
    }

    #[test]
    fn noise_is_read_or_refused_as_by_prost(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        prop_assert_eq!(by_hand(&bytes).ok(), by_prost(&bytes).ok());
    }

    #[test]
    fn nearby_drivers_are_written_as_prost_writes_them(
        drivers in proptest::collection::vec((
            1..=u128::MAX, (-900_000_000..=900_000_000_i32, -1_800_000_000..=1_800_000_000_i32),
            prop_oneof![Just(0.0), 0.0..50_000.0], prop_oneof![Just(0), 0..i64::MAX], 0..4_u8, 0..360_u16, any::<bool>(),
        ), 0..20)
    ) {
        let answers: Vec<Answer> = drivers.into_iter().map(|(id, (lat, lon), distance_m, age_ms, status, heading_deg, inaccurate)| Answer {
            seen: Sighting {
                driver: DriverId::from(Uuid::from_u128(id)),
                point: Point::from_e7(lat, lon).unwrap(),
                recorded_ms: 1,
                status: Status::from_bits(status),
                product: ProductNumber(3),
                heading_deg,
                inaccurate,
            },
            distance_m,
            age_ms,
        }).collect();
        let expected = pb::FindNearbyResponse {
            drivers: answers.iter().map(|found| pb::NearbyDriver {
                driver: found.seen.driver.name(),
                position: Some(found.seen.point.into()),
                distance_m: found.distance_m,
                age_ms: i32::try_from(found.age_ms).unwrap_or(i32::MAX),
                status: parse::to_status(found.seen.status).into(),
                heading_deg: found.seen.heading_deg.into(),
                inaccurate: found.seen.inaccurate,
            }).collect(),
        };
        let mut written = Vec::new();
        nearby(&answers, &mut written);
        prop_assert!(written.len() <= answers.len() * NEARBY_MAX);
        prop_assert_eq!(&written, &expected.encode_to_vec());
        let batch = pb::FindNearbyBatchResponse { answers: vec![expected.clone(), pb::FindNearbyResponse::default(), expected] };
        let (mut room, mut written) = (Vec::new(), Vec::new());
        for answers in [answers.as_slice(), &[], &answers] {
            nearby_of_batch(answers, &mut room, &mut written);
        }
        prop_assert_eq!(written, batch.encode_to_vec());
    }
}
