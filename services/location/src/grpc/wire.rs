//! Protobuf by hand, for the two messages that come and go by the million: pings are read without a copy, nearby drivers
//! written without a string. Anything that prost takes is taken, unknown fields included, and nothing else.

use super::parse;
use crate::domain::{Answer, Ping, ping::Name};

/// A message that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a protobuf message of this kind: {0}")]
pub struct Malformed(&'static str);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const GROUP: u32 = 3;
const GROUP_END: u32 = 4;
const FIXED32: u32 = 5;
/// Groups within groups, as prost allows.
const DEPTH_MAX: u32 = 100;

/// The city of a `StreamPingsRequest` and its pings, one after another as they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct PingBatch<'a> {
    /// Its id.
    pub city: &'a str,
    pings: Reader<'a>,
    /// How many.
    pub len: usize,
}

impl<'a> PingBatch<'a> {
    /// Finds the city and counts the pings.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader(bytes);
        let (mut city, mut len) = ("", 0);
        while let Some((field, kind)) = fields.field()? {
            match (field, kind) {
                (1, BYTES) => city = text(fields.bytes()?)?,
                (2, BYTES) => {
                    fields.bytes()?;
                    len += 1;
                }
                (1 | 2, _) => return Err(Malformed("a field of another kind")),
                _ => fields.skip(field, kind, 0)?,
            }
        }
        Ok(Self {
            city,
            pings: Reader(bytes),
            len,
        })
    }

    /// Shows the pings in their order.
    pub fn for_each(&self, mut show: impl FnMut(Ping<'a>)) -> Result<(), Malformed> {
        let mut fields = self.pings;
        while let Some((field, kind)) = fields.field()? {
            if field == 2 {
                show(ping(fields.bytes()?)?);
            } else {
                fields.skip(field, kind, 0)?;
            }
        }
        Ok(())
    }
}

fn ping(bytes: &[u8]) -> Result<Ping<'_>, Malformed> {
    let mut fields = Reader(bytes);
    let (mut name, mut id): (&str, &[u8]) = ("", &[]);
    let mut status = 0;
    let mut ping = Ping {
        driver: Name::Text(""),
        lat_e7: 0,
        lon_e7: 0,
        recorded_ms: 0,
        status: None,
        product: "",
        heading_deg: 0,
        accuracy_m: 0,
    };
    while let Some((field, kind)) = fields.field()? {
        match (field, kind) {
            (1, BYTES) => name = text(fields.bytes()?)?,
            (2, VARINT) => ping.lat_e7 = unzigzag(fields.varint()?),
            (3, VARINT) => ping.lon_e7 = unzigzag(fields.varint()?),
            (4, VARINT) => ping.recorded_ms = fields.varint()? as i64,
            (5, VARINT) => status = fields.varint()? as i32,
            (6, BYTES) => ping.product = text(fields.bytes()?)?,
            (7, VARINT) => ping.heading_deg = fields.varint()? as u32,
            (8, VARINT) => {
                fields.varint()?;
            }
            (9, VARINT) => ping.accuracy_m = fields.varint()? as u32,
            (10, BYTES) => id = fields.bytes()?,
            (1..=10, _) => return Err(Malformed("a field of another kind")),
            _ => fields.skip(field, kind, 0)?,
        }
    }
    ping.driver = parse::driver(name, id);
    ping.status = parse::status(status);
    Ok(ping)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("text that is not UTF-8"))
}

const fn unzigzag(number: u64) -> i32 {
    let number = number as u32;
    (number >> 1) as i32 ^ -((number & 1) as i32)
}

/// What is left of a message.
#[derive(Debug, Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next field's number and kind; none at the end.
    #[inline]
    fn field(&mut self) -> Result<Option<(u32, u32)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed("no such field"))?;
        if key >> 3 == 0 {
            return Err(Malformed("field 0"));
        }
        Ok(Some((key >> 3, key & 7)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7F) << (7 * at);
            if *byte < 0x80 {
                if at == 9 && *byte > 1 {
                    return Err(Malformed("a number of more than 64 bits"));
                }
                self.0 = &self.0[at + 1..];
                return Ok(number);
            }
        }
        Err(Malformed("a number without an end"))
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.varint()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    #[cold]
    fn skip(&mut self, field: u32, kind: u32, depth: u32) -> Result<(), Malformed> {
        match kind {
            VARINT => self.varint().map(drop),
            FIXED64 => self.take(8).map(drop),
            BYTES => self.bytes().map(drop),
            FIXED32 => self.take(4).map(drop),
            GROUP if depth < DEPTH_MAX => loop {
                let (inner, kind) = self.field()?.ok_or(Malformed("a group without an end"))?;
                if kind == GROUP_END {
                    return if inner == field {
                        Ok(())
                    } else {
                        Err(Malformed("the end of another group"))
                    };
                }
                self.skip(inner, kind, depth + 1)?;
            },
            GROUP => Err(Malformed("groups within groups")),
            _ => Err(Malformed("a field of no kind")),
        }
    }
}

/// A `FindNearbyResponse`.
pub fn nearby(answers: &[Answer], into: &mut Vec<u8>) {
    into.reserve(answers.len() * NEARBY_MAX);
    for answer in answers {
        nearby_driver(answer, into);
    }
}

/// One more answer of a `FindNearbyBatchResponse`; `room` is for the work.
pub fn nearby_of_batch(answers: &[Answer], room: &mut Vec<u8>, into: &mut Vec<u8>) {
    room.clear();
    nearby(answers, room);
    into.push(key(1, BYTES));
    put_varint(into, room.len() as u64);
    into.extend_from_slice(room);
}

/// The longest `NearbyDriver` with its key and length: 46 for the name, 2 + 12 for the position, 9, 6, 2, 3 and 2 for the
/// rest.
const NEARBY_MAX: usize = 84;
const NAME: &[u8; 8] = b"drivers/";

fn nearby_driver(answer: &Answer, into: &mut Vec<u8>) {
    let seen = &answer.seen;
    into.push(key(1, BYTES));
    let length_at = into.len();
    into.push(0);
    into.extend_from_slice(&[key(1, BYTES), 44]);
    into.extend_from_slice(NAME);
    let mut text = [0; 36];
    seen.driver.uuid().hyphenated().encode_lower(&mut text);
    into.extend_from_slice(&text);
    into.extend_from_slice(&[key(2, BYTES), 0]);
    let position_at = into.len();
    put_number(into, 1, zigzag(seen.point.lat_e7()).into());
    put_number(into, 2, zigzag(seen.point.lon_e7()).into());
    into[position_at - 1] = (into.len() - position_at) as u8;
    if answer.distance_m.to_bits() != 0 {
        into.push(key(3, FIXED64));
        into.extend_from_slice(&answer.distance_m.to_le_bytes());
    }
    put_number(into, 4, super::saturating_i32(answer.age_ms).max(0) as u64);
    put_number(into, 5, parse::to_status(seen.status) as u64);
    put_number(into, 6, seen.heading_deg.into());
    put_number(into, 7, seen.inaccurate.into());
    into[length_at] = (into.len() - length_at - 1) as u8;
}

const fn key(field: u8, kind: u32) -> u8 {
    (field << 3) | kind as u8
}

const fn zigzag(number: i32) -> u32 {
    ((number << 1) ^ (number >> 31)) as u32
}

/// A numeric field; none when it is 0, as everywhere in proto3.
fn put_number(into: &mut Vec<u8>, field: u8, number: u64) {
    if number != 0 {
        into.push(key(field, VARINT));
        put_varint(into, number);
    }
}

fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

#[cfg(test)]
mod tests;
