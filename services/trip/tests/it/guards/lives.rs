//! Guards of bookings, deadlines, causes and amounts.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use hexcab_trip::domain::{
    CancelledBy, Canceller, Event, ReleasedBy, RiderReason, decide, request,
};

use super::*;

/// Not a microsecond before the deadline: on it.
const ON_TIME: &str = "updated_at = due_at";
const NO_DRIVER: &str =
    "driver = NULL, accepted_epoch = NULL, accepted_at = NULL, stalls_at = NULL";
const NOT_ARRIVED: &str = "arrived_at = NULL, no_show_from = NULL";

fn in_vain(n: u128, epoch: i32, reason: &str) -> String {
    format!(
        "excluded_drivers = excluded_drivers || '{}'::uuid, excluded_epochs = excluded_epochs || {epoch}, \
         excluded_reasons = excluded_reasons || '{reason}'::text",
        driver(n)
    )
}

/// The row, ended as cancelled by this one at this price.
fn cancelled(by: &str, charge: i64, due: i64) -> String {
    let operator = if by == "OPERATOR" {
        ", cancel_operator = gen_random_uuid(), cancel_note = 'x'"
    } else {
        ""
    };
    format!(
        "state = 'CANCELLED', cancelled_by = '{by}'{operator}, ended_at = now(), charge_minor = {charge}, driver_due_minor = {due}"
    )
}

/// Driver 1 with the trip of rider 1, so many steps from being asked.
async fn on_the_way(store: &Store, steps: usize) -> TripId {
    let trip = store.offered(1).await.id;
    let commands = [accept(driver(1), 1), arrive(driver(1)), begin(driver(1))];
    store.must(trip, commands.into_iter().take(steps)).await;
    trip
}

#[tokio::test]
async fn i1_a_booked_trip_begins_only_when_its_rider_has_no_other() {
    let store = Store::new().await;
    let booked = store.book(1, 3600).await.id;
    store.request(1).await;
    let activated = step(
        booked,
        2,
        "TripActivated",
        &format!("state = 'REQUESTED', {LATE}"),
    );
    guarded(
        &store,
        Guard::Index,
        "trips_one_alive_per_rider",
        &activated,
    )
    .await;
}

#[tokio::test]
async fn i4_i9_nobodys_time_is_over_before_it_is() {
    let expired = format!("state = 'EXPIRED', {ENDED}");
    let searched_on = format!(
        "state = 'REQUESTED', {NO_OFFER}, {}",
        in_vain(1, 1, "TIMED_OUT")
    );
    let stalled = format!(
        "state = 'REQUESTED', {NO_DRIVER}, {}",
        in_vain(1, 1, "STALLED")
    );
    for (state, event, set) in [
        (
            "SCHEDULED",
            "TripActivated",
            "state = 'REQUESTED'".to_owned(),
        ),
        ("REQUESTED", "TripExpired", expired),
        ("OFFERED", "OfferExpired", searched_on),
        ("EN_ROUTE", "TripReleased", stalled),
    ] {
        let store = Store::new().await;
        let trip = match state {
            "SCHEDULED" => store.book(1, 3600).await.id,
            "REQUESTED" => store.request(1).await.id,
            "OFFERED" => store.offered(1).await.id,
            _ => on_the_way(&store, 1).await,
        };
        let version = store.trips.get(trip).await.unwrap().version + 1;
        let early = step(trip, version, event, &format!("{set}, {ON_TIME}"));
        guarded(&store, ON_UPDATE, "trips_deadline_has_passed", &early).await;
        // A microsecond later it is no matter of this guard.
        let store = Store::new().await;
        let trip = match state {
            "SCHEDULED" => store.book(1, 3600).await.id,
            "REQUESTED" => store.request(1).await.id,
            "OFFERED" => store.offered(1).await.id,
            _ => on_the_way(&store, 1).await,
        };
        let late = step(trip, version, event, &format!("{set}, {LATE}"));
        run(&store, &late)
            .await
            .unwrap_or_else(|error| panic!("{state}: {error:?}"));
    }
}

#[tokio::test]
async fn nobody_fails_to_show_up_before_the_driver_has_waited() {
    let store = Store::new().await;
    let trip = on_the_way(&store, 2).await;
    let early = "updated_at = no_show_from - interval '1 microsecond'";
    let sql = step(
        trip,
        5,
        "TripCancelled",
        &format!("{}, {early}", cancelled("NO_SHOW", 500, 375)),
    );
    guarded(&store, ON_UPDATE, "trips_no_show_after_waiting", &sql).await;
}

#[tokio::test]
async fn i3_an_edge_is_of_its_cause_only() {
    let stalled = format!(
        "state = 'REQUESTED', {NO_DRIVER}, {NOT_ARRIVED}, {}, updated_at = stalls_at + interval '1 hour'",
        in_vain(1, 1, "STALLED")
    );
    let declined = format!(
        "state = 'REQUESTED', {NO_OFFER}, {}",
        in_vain(1, 1, "RELEASED")
    );
    // Steps of driver 1, none for a search without him, and what nobody may do there.
    let cases: [(Option<usize>, &str, String); 7] = [
        (
            Some(3),
            "TripCancelled",
            cancelled("RIDER_CHANGED_MIND", 0, 0),
        ),
        (
            Some(3),
            "TripCancelled",
            cancelled("PAYMENT_DECLINED", 0, 0),
        ),
        (Some(3), "TripCancelled", cancelled("NO_SHOW", 500, 375)),
        (Some(1), "TripCancelled", cancelled("NO_SHOW", 500, 375)),
        (None, "TripCancelled", cancelled("RIDER_BUSY", 0, 0)),
        (Some(2), "TripReleased", stalled),
        (Some(0), "OfferDeclined", declined),
    ];
    for (steps, event, set) in cases {
        let store = Store::new().await;
        let trip = match steps {
            Some(steps) => on_the_way(&store, steps).await,
            None => store.request(1).await.id,
        };
        let version = store.trips.get(trip).await.unwrap().version + 1;
        let sql = step(trip, version, event, &set);
        guarded(&store, ON_UPDATE, "trips_transition_is_known", &sql).await;
    }
}

#[tokio::test]
async fn i3_an_operators_force_is_an_edge_out_of_every_living_state() {
    let forced = cancelled("OPERATOR", 0, 0);
    for steps in 0..=3 {
        let store = Store::new().await;
        let trip = on_the_way(&store, steps).await;
        let version = store.trips.get(trip).await.unwrap().version + 1;
        let set = format!("{forced}, {NO_OFFER}");
        run(&store, &step(trip, version, "TripCancelled", &set))
            .await
            .unwrap();
    }
    let store = Store::new().await;
    for trip in [store.request(1).await.id, store.book(1, 3600).await.id] {
        run(&store, &step(trip, 2, "TripCancelled", &forced))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_a_trip_costs_follows_from_how_it_ended() {
    let completed = |charge: i64, due: i64| {
        format!(
            "state = 'COMPLETED', ended_at = now(), charge_minor = {charge}, driver_due_minor = {due}"
        )
    };
    let cases = [
        (3, "TripCompleted", completed(1841, 1120)),
        (3, "TripCompleted", completed(1840, 1119)),
        (1, "TripCancelled", cancelled("RIDER_CHANGED_MIND", 499, 0)),
        (
            1,
            "TripCancelled",
            cancelled("RIDER_CHANGED_MIND", 500, 501),
        ),
        (1, "TripCancelled", cancelled("PAYMENT_DECLINED", 500, 0)),
        (3, "TripCancelled", cancelled("OPERATOR", 500, 0)),
    ];
    for (steps, event, set) in cases {
        let store = Store::new().await;
        let trip = on_the_way(&store, steps).await;
        let version = store.trips.get(trip).await.unwrap().version + 1;
        let sql = step(trip, version, event, &set);
        guarded(&store, Guard::Check, "trips_charge_follows_the_end", &sql).await;
    }
}

#[tokio::test]
async fn the_waiting_fee_is_settled_at_the_start() {
    let store = Store::new().await;
    let trip = on_the_way(&store, 3).await;
    let dearer = "state = 'COMPLETED', ended_at = now(), waiting_fee_minor = 100, charge_minor = 1940, driver_due_minor = 1195";
    let sql = step(trip, 6, "TripCompleted", dearer);
    guarded(&store, ON_UPDATE, "trips_waiting_fee_of_the_start", &sql).await;
}

#[tokio::test]
async fn times_and_amounts_of_a_step_come_with_it() {
    let cases = [
        (
            1,
            "DriverArrived",
            "state = 'ARRIVED', arrived_at = now()",
            "trips_arrived_once_there",
        ),
        (
            2,
            "TripStarted",
            "state = 'IN_PROGRESS', started_at = now()",
            "trips_started_once_in_the_car",
        ),
    ];
    for (steps, event, set, name) in cases {
        let store = Store::new().await;
        let trip = on_the_way(&store, steps).await;
        let version = store.trips.get(trip).await.unwrap().version + 1;
        guarded(&store, Guard::Check, name, &step(trip, version, event, set)).await;
    }
}

#[tokio::test]
async fn a_drivers_time_to_the_pickup_is_what_it_was() {
    let store = Store::new().await;
    let trip = on_the_way(&store, 1).await;
    let longer = "state = 'ARRIVED', arrived_at = now(), no_show_from = now(), stalls_at = stalls_at + interval '1 hour'";
    let sql = step(trip, 4, "DriverArrived", longer);
    guarded(&store, ON_UPDATE, "trips_driver_is_who_accepted", &sql).await;
}

#[tokio::test]
async fn i8_why_and_for_which_offer_somebody_is_excluded_stays() {
    for rewritten in [
        "excluded_reasons = '{TIMED_OUT}'",
        "excluded_epochs = '{2}'",
    ] {
        let store = Store::new().await;
        let trip = store.offered(1).await.id;
        store.must(trip, [decline(driver(1), 1)]).await;
        let sql = step(trip, 4, "OfferMade", &format!("{}, {rewritten}", offer(2)));
        guarded(&store, ON_UPDATE, "trips_asked_in_vain_is_excluded", &sql).await;
    }
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    let other_epoch = format!(
        "state = 'REQUESTED', {NO_OFFER}, {}",
        in_vain(1, 7, "DECLINED")
    );
    let sql = step(trip, 3, "OfferDeclined", &other_epoch);
    guarded(&store, ON_UPDATE, "trips_asked_in_vain_is_excluded", &sql).await;
}

#[tokio::test]
async fn a_booked_trip_has_its_time_and_a_payment_method_is_one_of_ours() {
    let text = |text: &str| format!("'{text}'");
    for (changed, name) in [
        (
            vec![
                ("state", text("SCHEDULED")),
                ("last_event", text("TripScheduled")),
            ],
            "trips_scheduled_for_a_time",
        ),
        (
            vec![("payment_method", text("SHELLS"))],
            "trips_payment_method_is_known",
        ),
    ] {
        let store = Store::new().await;
        let trip = store.request(1).await.id;
        let sql = copied(trip, fresh(), &changed);
        let sql = if name == "trips_scheduled_for_a_time" {
            sql.replace("'TripRequested', now()", "'TripScheduled', now()")
        } else {
            sql
        };
        guarded(&store, Guard::Check, name, &sql).await;
    }
}

#[tokio::test]
async fn when_and_how_was_ordered_does_not_change() {
    for changed in [
        "pickup_time = pickup_time + interval '1 hour'",
        "activates_at = activates_at + interval '1 minute'",
        "payment_method = 'CASH'",
    ] {
        let store = Store::new().await;
        let trip = store.book(1, 3600).await.id;
        let sql = step(
            trip,
            2,
            "TripActivated",
            &format!("state = 'REQUESTED', {LATE}, {changed}"),
        );
        guarded(&store, ON_ORDER, "trips_order_is_fixed", &sql).await;
    }
}

/// The cause of an event, as a row of the table of transitions names it.
fn cause(event: &Event) -> &'static str {
    match event {
        Event::OfferDeclined { .. } => "DECLINED",
        Event::OfferExpired { .. } => "TIMED_OUT",
        Event::Released { by, .. } => match by {
            ReleasedBy::Driver => "RELEASED",
            ReleasedBy::Stall => "STALLED",
            ReleasedBy::Operator { .. } => "REASSIGNED",
        },
        Event::Cancelled { cancellation, .. } => match cancellation.by {
            CancelledBy::RiderChangedMind => "RIDER_CHANGED_MIND",
            CancelledBy::RiderWaitedTooLong => "RIDER_WAITED_TOO_LONG",
            CancelledBy::PaymentDeclined => "PAYMENT_DECLINED",
            CancelledBy::RiderBusy => "RIDER_BUSY",
            CancelledBy::NoShow => "NO_SHOW",
            CancelledBy::Operator { .. } => "OPERATOR",
        },
        Event::Requested { .. }
        | Event::Scheduled { .. }
        | Event::Activated { .. }
        | Event::OfferMade(_)
        | Event::OfferAccepted { .. }
        | Event::Arrived { .. }
        | Event::Started { .. }
        | Event::Completed { .. }
        | Event::Expired => "",
    }
}

#[tokio::test]
async fn the_table_in_postgres_has_the_edges_of_the_code_and_no_other() {
    let waited = Command::Cancel(Canceller::Rider {
        rider: rider(1),
        reason: RiderReason::WaitedTooLong,
    });
    let commands: Vec<Command> = crate::table::commands()
        .into_iter()
        .map(|(_, command)| command)
        .chain([waited])
        .collect();
    let edge = |from: &str, event: &Event, to: &str| {
        [from, event.kind(), cause(event), to].map(str::to_owned)
    };
    let mut coded = BTreeSet::new();
    for new in [new_trip(rider(1)), booking(rider(1), 3600)] {
        let (trip, event) = request(new, &rules(), start()).unwrap();
        coded.insert(edge("", &event, trip.state.name()));
    }
    for state in crate::table::STATES {
        for (command, at) in commands
            .iter()
            .flat_map(|command| [(command, start()), (command, start() + TimeDelta::days(1))])
        {
            let trip = trip_in(state);
            if let Ok(event) = decide(&trip, command, &rules(), at) {
                let to = trip.apply(&event, at).state.name();
                coded.insert(edge(state, &event, to));
            }
        }
    }
    let store = Store::new().await;
    let rows: Vec<(String, String, String, String)> =
        sqlx::query_as("SELECT from_state, event, cause, to_state FROM trip_transitions")
            .fetch_all(store.pg.pool())
            .await
            .unwrap();
    let kept: BTreeSet<[String; 4]> = rows
        .into_iter()
        .map(|(from, event, cause, to)| [from, event, cause, to])
        .collect();
    assert_eq!(coded, kept);
}
