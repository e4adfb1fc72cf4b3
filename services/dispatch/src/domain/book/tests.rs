//! The book under repeated, late and reordered events.

use std::collections::BTreeSet;

use hexcab_types::{Point, ProductId};
use proptest::{prelude::*, sample::subsequence};
use uuid::Uuid;

use super::*;

fn trip(n: u128) -> TripId {
    Uuid::from_u128(n).into()
}

fn driver(n: u128) -> DriverId {
    Uuid::from_u128(0xd000 + n).into()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_000 + seconds, 0).unwrap()
}

fn request(of: TripId, version: i64) -> Request {
    Request {
        trip: of,
        version,
        product: ProductId::new("standard").unwrap(),
        pickup: Point::from_degrees(37.77, -122.41).unwrap(),
        created_at: at(0),
        expires_at: at(480),
        excluded: BTreeSet::new(),
        context: None,
    }
}

fn open(of: TripId, version: i64) -> Seen {
    Seen {
        trip: of,
        version,
        changed_at: at(0),
        standing: Standing::Open(request(of, version)),
    }
}

fn offered(of: TripId, version: i64, to: DriverId) -> Seen {
    Seen {
        trip: of,
        version,
        changed_at: at(0),
        standing: Standing::Offered(to),
    }
}

fn driven(of: TripId, version: i64, by: DriverId) -> Seen {
    Seen {
        trip: of,
        version,
        changed_at: at(0),
        standing: Standing::Driven(by),
    }
}

fn ended(of: TripId, version: i64) -> Seen {
    Seen {
        trip: of,
        version,
        changed_at: at(0),
        standing: Standing::Ended,
    }
}

fn book(seen: impl IntoIterator<Item = Seen>) -> Book {
    let mut book = Book::default();
    for seen in seen {
        book.fold(seen);
    }
    book
}

/// What a book says: open trips with their versions, and busy drivers.
fn says(book: &mut Book) -> (Vec<(TripId, i64)>, BTreeSet<DriverId>) {
    let open = book
        .open_requests()
        .iter()
        .map(|request| (request.trip, request.version))
        .collect();
    (open, book.take_window(at(1)).busy.into_iter().collect())
}

#[test]
fn a_trip_stands_as_its_newest_version_says() {
    let (t, d, e) = (trip(1), driver(1), driver(2));
    let nobody = BTreeSet::new;
    // What came, in this order → open at which version, who is busy.
    let table = [
        (vec![], None, nobody()),
        (vec![open(t, 1)], Some(1), nobody()),
        (vec![open(t, 1), open(t, 1)], Some(1), nobody()),
        (vec![open(t, 1), offered(t, 2, d)], None, [d].into()),
        (vec![offered(t, 2, d), open(t, 1)], None, [d].into()),
        (
            vec![open(t, 1), offered(t, 2, d), open(t, 3)],
            Some(3),
            nobody(),
        ),
        (
            vec![open(t, 3), offered(t, 2, d), open(t, 1)],
            Some(3),
            nobody(),
        ),
        (
            vec![open(t, 1), offered(t, 2, d), driven(t, 3, d)],
            None,
            [d].into(),
        ),
        (vec![driven(t, 3, d), offered(t, 2, d)], None, [d].into()),
        (
            vec![driven(t, 3, d), open(t, 4), offered(t, 5, e)],
            None,
            [e].into(),
        ),
        (vec![open(t, 1), ended(t, 2)], None, nobody()),
        (vec![ended(t, 2), open(t, 1)], None, nobody()),
        // A booked trip (none of ours) whose time has come.
        (vec![ended(t, 1), open(t, 2)], Some(2), nobody()),
        (
            vec![ended(t, 1), open(t, 2), ended(t, 1)],
            Some(2),
            nobody(),
        ),
        (
            vec![driven(t, 3, d), ended(t, 6), driven(t, 5, d), open(t, 1)],
            None,
            nobody(),
        ),
    ];
    for (came, version, busy) in table {
        let what = format!("{came:?}");
        let open = version
            .map(|version| (t, version))
            .into_iter()
            .collect::<Vec<_>>();
        assert_eq!(says(&mut book(came)), (open, busy), "{what}");
    }
}

#[test]
fn a_listing_does_not_undo_what_came_after_it_began() {
    let mut book = book([
        open(trip(1), 1),
        open(trip(2), 1),
        driven(trip(3), 3, driver(3)),
    ]);
    let begun = book.mark();
    // While trip was listing: the first is offered, a fourth appears. The second's end was missed.
    book.fold(offered(trip(1), 2, driver(1)));
    book.fold(open(trip(4), 1));
    let young = Seen {
        changed_at: at(9),
        ..open(trip(6), 1)
    };
    let listed = vec![
        open(trip(1), 1),
        driven(trip(3), 3, driver(3)),
        open(trip(5), 1),
        young,
    ];
    let missed = book.merge(listed, begun, at(8));
    assert_eq!(missed, [trip(2)]);
    assert_eq!(book.version(trip(1)), Some(2));
    assert_eq!(book.version(trip(4)), Some(1));
    assert_eq!(book.version(trip(5)), Some(1));
    assert_eq!(book.version(trip(6)), None, "its event will come");
    assert_eq!(
        book.version(trip(2)),
        Some(1),
        "missing ones are looked up, not dropped"
    );
}

#[test]
fn a_rider_alone_is_not_kept_waiting() {
    let mut book = Book::default();
    assert_eq!(book.gathering(at(1)), Gathering::Nobody);
    book.fold(open(trip(1), 1));
    assert_eq!(book.gathering(at(1)), Gathering::OneAlone);
    book.take_window(at(1));
    assert_eq!(
        book.gathering(at(1)),
        Gathering::Some,
        "he was in a window: no hurry that could spin"
    );
    book.fold(ended(trip(1), 2));
    book.fold(offered(trip(2), 2, driver(2)));
    book.fold(open(trip(3), 1));
    assert_eq!(
        book.gathering(at(1)),
        Gathering::Some,
        "another is being offered"
    );
    book.fold(driven(trip(2), 3, driver(2)));
    assert_eq!(book.gathering(at(1)), Gathering::OneAlone);
    book.fold(open(trip(4), 1));
    assert_eq!(book.gathering(at(1)), Gathering::Some);
    assert_eq!(
        book.gathering(at(480)),
        Gathering::Nobody,
        "their time is over"
    );
}

#[test]
fn a_driver_whom_trip_called_busy_is_left_alone_for_a_while() {
    let mut book = book([open(trip(1), 1)]);
    book.cool(driver(1), at(10));
    assert!(book.take_window(at(14)).busy.contains(&driver(1)));
    assert!(book.take_window(at(14)).lately_busy.contains(&driver(1)));
    assert!(book.take_window(at(15)).busy.is_empty());
}

#[test]
fn only_apps_that_may_not_know_yet_are_named_to_the_search() {
    let mut book = book([
        open(trip(1), 1),
        offered(trip(2), 2, driver(2)),
        driven(trip(3), 3, driver(3)),
    ]);
    assert_eq!(book.take_window(at(19)).lately_busy, [driver(2), driver(3)]);
    let later = book.take_window(at(20));
    assert_eq!(later.lately_busy, [driver(2)]);
    assert_eq!(later.busy, [driver(2), driver(3)].into());
}

#[test]
fn a_request_in_doubt_is_in_no_window_until_it_was_looked_up() {
    let mut book = book([open(trip(1), 1)]);
    book.doubt(trip(1), 1);
    assert!(book.take_window(at(1)).requests.is_empty());
    assert_eq!(book.in_doubt(), [trip(1)]);
    assert_eq!(book.gathering(at(1)), Gathering::OneAlone);
    book.settle(trip(1));
    assert_eq!(book.take_window(at(1)).requests.len(), 1);
    book.doubt(trip(1), 1);
    book.fold(open(trip(1), 3));
    assert!(
        book.in_doubt().is_empty(),
        "a newer version has no doubt about it"
    );
}

#[test]
fn a_held_request_comes_back() {
    let mut book = book([open(trip(1), 1)]);
    book.hold(trip(1), 1, at(10));
    assert!(book.take_window(at(14)).requests.is_empty());
    assert_eq!(book.take_window(at(15)).requests.len(), 1);
}

#[test]
fn a_request_whose_time_is_over_is_in_no_window() {
    let mut book = book([open(trip(1), 1)]);
    assert_eq!(book.take_window(at(479)).requests.len(), 1);
    assert!(book.take_window(at(480)).requests.is_empty());
}

#[test]
fn notes_about_an_older_version_do_not_stick() {
    let mut book = book([open(trip(1), 3)]);
    book.doubt(trip(1), 1);
    book.hold(trip(1), 1, at(0));
    book.note_searched(trip(1), 1);
    book.adopt_context(trip(1), 1, "old".to_owned());
    let taken = book.take_window(at(1));
    assert!(!taken.requests[0].searched);
    assert_eq!(taken.requests[0].request.context, None);
    book.adopt_context(trip(1), 3, "new".to_owned());
    assert_eq!(
        book.take_window(at(1)).requests[0]
            .request
            .context
            .as_deref(),
        Some("new")
    );
}

#[test]
fn what_is_remembered_of_ended_trips_is_bounded() {
    let mut book = Book::default();
    for n in 1..=ENDED_KEPT as u128 + 10 {
        book.fold(ended(trip(n), 2));
    }
    assert_eq!(
        (book.ended.versions.len(), book.ended.order.len()),
        (ENDED_KEPT, ENDED_KEPT)
    );
    assert_eq!(book.version(trip(1)), None);
    assert_eq!(book.version(trip(11)), Some(2));
}

/// A life of a trip, as versions 1, 2, …
fn life() -> impl Strategy<Value = Vec<Seen>> {
    (1..6_u128, 0..4_usize, any::<bool>()).prop_map(|(n, declines, ends)| {
        let t = trip(n);
        let mut seen = vec![open(t, 1)];
        for round in 0..declines as i64 {
            seen.push(offered(t, 2 + 2 * round, driver(n * 10 + round as u128)));
            seen.push(open(t, 3 + 2 * round));
        }
        let last = seen.len() as i64;
        seen.push(offered(t, last + 1, driver(n * 10 + 9)));
        seen.push(driven(t, last + 2, driver(n * 10 + 9)));
        if ends {
            seen.push(ended(t, last + 3));
        }
        seen
    })
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_matter(
        (lives, came) in prop::collection::vec(life(), 1..6).prop_flat_map(|lives| {
            // One life a trip; the first of each wins.
            let mut known = BTreeSet::new();
            let lives: Vec<_> = lives.into_iter().filter(|life| known.insert(life[0].trip)).collect();
            let all: Vec<Seen> = lives.iter().flatten().cloned().collect();
            let (count, twice) = (all.len(), [all.clone(), all.clone()].concat());
            // Everything at least once, some of it twice, in any order.
            let came = subsequence(all, 0..=count).prop_map(move |again| [&twice[..count], &again].concat());
            (Just(lives), came.prop_shuffle())
        })
    ) {
        let mut expected = book(lives.into_iter().flatten());
        let mut folded = book(came);
        prop_assert_eq!(says(&mut folded), says(&mut expected));
    }
}
