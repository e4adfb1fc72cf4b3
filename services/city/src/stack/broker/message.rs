//! How the messages of Kafka's protocol begin: as far as the door must know, and the one that it sends itself.
//!
//! A message is its length and what that counts. A request is: two bytes of key (which question), two of version, four of
//! number (the answer repeats it), the client's name, from some version on a list of tags, then what the question says.
//! Invariant: what cannot be read is [`Question::Other`]. Does not: check a message; who gets it does.

use std::ops::Range;

/// A message begins with its length, which does not count itself.
pub const LENGTH: usize = size_of::<u32>();

/// The keys of the questions that concern the door.
const METADATA: u16 = 3;
const OFFSET_COMMIT: u16 = 8;
const FIND_COORDINATOR: u16 = 10;
const JOIN_GROUP: u16 = 11;
const LEAVE_GROUP: u16 = 13;
/// From these versions on lengths are written short, and tags may follow anything.
const OFFSET_COMMIT_SHORT: u16 = 8;
const JOIN_GROUP_SHORT: u16 = 6;
/// From this version on a commit says as whom.
const OFFSET_COMMIT_MEMBER: u16 = 1;
/// From this version on who joins says how long others may take for it too.
const JOIN_GROUP_PATIENCE: u16 = 1;

/// The number of a request, as it is written.
pub type Number = [u8; 4];

/// What a request asks. Ranges are of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The answer will name brokers.
    WhereBrokersAre {
        /// Its number.
        number: Number,
    },
    /// To be a member of a group.
    Join {
        /// Its number.
        number: Number,
        /// The group's name.
        group: Range<usize>,
        /// How long the member may be silent, milliseconds.
        session_ms: u32,
        /// The member's name, empty when it has none yet; none when it could not be read.
        member: Option<Range<usize>>,
    },
    /// To keep places in the log, as a member of a group (one may also do that as nobody).
    CommitAsMember {
        /// The group's name.
        group: Range<usize>,
    },
    /// Nothing that concerns the door.
    Other,
}

/// What this request asks.
pub fn question(message: &[u8]) -> Question {
    read_question(message).unwrap_or(Question::Other)
}

/// The number of the request that this message answers.
pub fn answered(message: &[u8]) -> Option<Number> {
    message.get(LENGTH..)?.first_chunk().copied()
}

/// Gives a member that joins without a name this one.
pub fn name_member(message: &mut Vec<u8>, member: &Range<usize>, name: &str) {
    let length = u16::try_from(name.len()).unwrap_or_default();
    let written = member.start - size_of::<u16>()..member.end;
    let named = [&length.to_be_bytes(), name.as_bytes()].concat();
    message.splice(written, named);
    let total = u32::try_from(message.len() - LENGTH).unwrap_or_default();
    message[..LENGTH].copy_from_slice(&total.to_be_bytes());
}

/// What says that this member is none of the group any more.
pub fn leave(group: &[u8], member: &[u8]) -> Vec<u8> {
    let text = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap_or_default();
        [&length.to_be_bytes(), bytes].concat()
    };
    let (version, number) = (0_u16.to_be_bytes(), 0_u32.to_be_bytes());
    let rest = [
        LEAVE_GROUP.to_be_bytes().as_slice(),
        &version,
        &number,
        &text(b"door"),
        &text(group),
        &text(member),
    ]
    .concat();
    let length = u32::try_from(rest.len()).unwrap_or_default();
    [length.to_be_bytes().as_slice(), &rest].concat()
}

fn read_question(message: &[u8]) -> Option<Question> {
    let mut reader = Reader {
        message,
        at: LENGTH,
    };
    let (key, version, number) = (reader.u16()?, reader.u16()?, reader.bytes()?);
    match key {
        METADATA | FIND_COORDINATOR => Some(Question::WhereBrokersAre { number }),
        JOIN_GROUP => {
            let short = version >= JOIN_GROUP_SHORT;
            let group = reader.group(short)?;
            let session_ms = u32::from_be_bytes(reader.bytes()?);
            if version >= JOIN_GROUP_PATIENCE {
                reader.skip(size_of::<u32>())?;
            }
            // Nobody who writes lengths short is known here.
            let member = if short { None } else { reader.text() };
            Some(Question::Join {
                number,
                group,
                session_ms,
                member,
            })
        }
        OFFSET_COMMIT if version >= OFFSET_COMMIT_MEMBER => {
            let group = reader.group(version >= OFFSET_COMMIT_SHORT)?;
            // Who is nobody's member has no generation.
            let generation = i32::from_be_bytes(reader.bytes()?);
            (generation >= 0).then_some(Question::CommitAsMember { group })
        }
        _ => None,
    }
}

/// Reads on from where it stands.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = *self.message.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.bytes()?))
    }

    fn skip(&mut self, count: usize) -> Option<Range<usize>> {
        let range = self.at..self.at.checked_add(count)?;
        self.message.get(range.clone())?;
        self.at = range.end;
        Some(range)
    }

    /// A text; one that is not there is empty.
    fn text(&mut self) -> Option<Range<usize>> {
        let length = i16::from_be_bytes(self.bytes()?);
        self.skip(usize::try_from(length).unwrap_or_default())
    }

    /// The group's name, which comes first, after the rest of the header.
    fn group(&mut self, short: bool) -> Option<Range<usize>> {
        let client = i16::from_be_bytes(self.bytes()?);
        // A client without a name has the length -1.
        self.skip(usize::try_from(client).unwrap_or_default())?;
        let length = if short {
            // No tags in the header: nobody sends any. Then a length is one byte, one more than it is.
            let [tags, length] = self.bytes()?;
            let known = tags == 0 && (1..0x80).contains(&length);
            known.then_some(usize::from(length) - 1)?
        } else {
            usize::from(self.u16()?)
        };
        self.skip(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of this key and version, by the client "me"; short ones have their tags.
    fn request(key: u16, version: u16, short: bool, body: &[u8]) -> Vec<u8> {
        let tags: &[u8] = if short { &[0] } else { &[] };
        let rest = [
            key.to_be_bytes().as_slice(),
            &version.to_be_bytes(),
            &[0, 0, 0, 9],
            &[0, 2],
            b"me",
            tags,
            body,
        ]
        .concat();
        let length = u32::try_from(rest.len()).unwrap();
        [length.to_be_bytes().as_slice(), &rest].concat()
    }

    #[test]
    fn questions_are_told_apart_in_long_and_short_versions() {
        let joined = |message: &[u8]| match question(message) {
            Question::Join { group, member, .. } => Some((
                message[group].to_vec(),
                member.map(|member| message[member].to_vec()),
            )),
            Question::WhereBrokersAre { .. }
            | Question::CommitAsMember { .. }
            | Question::Other => None,
        };
        let expected =
            |member: Option<&[u8]>| Some((b"trips".to_vec(), member.map(<[u8]>::to_vec)));
        let long = request(11, 5, false, b"\0\x05trips\0\0\x17\x70\0\0\0\0\0\x02m1...");
        assert_eq!(joined(&long), expected(Some(b"m1")));
        let oldest = request(11, 0, false, b"\0\x05trips\0\0\x17\x70\0\0...");
        assert_eq!(joined(&oldest), expected(Some(b"")));
        let short = request(11, 6, true, b"\x06trips\0\0\x17\x70\0\0\0\0...");
        assert_eq!(joined(&short), expected(None));
        for key in [3, 10] {
            let number = [0, 0, 0, 9];
            let asked = question(&request(key, 9, true, b""));
            assert_eq!(asked, Question::WhereBrokersAre { number });
        }
        assert_eq!(question(&request(0, 9, true, b"")), Question::Other);
    }

    #[test]
    fn a_commit_is_a_members_when_it_has_a_generation() {
        let as_whom = |version, short, body: &[u8]| {
            let message = request(8, version, short, body);
            match question(&message) {
                Question::CommitAsMember { group } => Some(message[group].to_vec()),
                Question::WhereBrokersAre { .. } | Question::Join { .. } | Question::Other => None,
            }
        };
        let member = Some(b"it".to_vec());
        assert_eq!(as_whom(7, false, b"\0\x02it\0\0\0\x02"), member);
        assert_eq!(as_whom(9, true, b"\x03it\0\0\0\x02"), member);
        assert_eq!(as_whom(9, true, b"\x03it\xff\xff\xff\xff"), None);
    }

    #[test]
    fn a_member_without_a_name_is_given_one_and_leaves_by_it() {
        let join = |member: &[u8]| {
            let body = [b"\0\x02it\0\0\x17\x70\0\0\0\0".as_slice(), member, b"rest"].concat();
            request(11, 5, false, &body)
        };
        let mut message = join(b"\0\0");
        let Question::Join {
            member: Some(member),
            session_ms: 6_000,
            ..
        } = question(&message)
        else {
            panic!("{message:?}");
        };
        name_member(&mut message, &member, "m-7");
        assert_eq!(message, join(b"\0\x03m-7"));
        let length = [0, 0, 0, 23];
        let asked = b"\0\x0d\0\0\0\0\0\0\0\x04door\0\x02it\0\x03m-7";
        assert_eq!(leave(b"it", b"m-7"), [length.as_slice(), asked].concat());
    }

    #[test]
    fn what_is_cut_off_asks_nothing() {
        let whole = request(8, 9, true, b"\x03it\0\0\0\x02");
        for end in 0..whole.len() {
            assert_eq!(question(&whole[..end]), Question::Other, "{end}");
        }
    }
}
