//! Whether a city's rules can be: one line a rule, the first that fails is named.

use super::{Area, City, DispatchRules, FarePolicy, SurgeRules, TripRules};
use hexcab_types::BasisPoints;

/// Longest time that any rule may name: a day.
const DAY_S: u32 = 86_400;

/// Farthest that a ride may be booked ahead: thirty days.
const AHEAD_MAX_S: u32 = 30 * DAY_S;

/// Highest amount of a fare policy in minor units: a slip of the keyboard lies above, any fare below.
const AMOUNT_MAX: i64 = 100_000_000;

/// A rule that cannot be.
pub(super) struct Refusal {
    pub(super) field: String,
    pub(super) problem: String,
}

type Checked = Result<(), Refusal>;

pub(super) fn city(city: &City) -> Checked {
    require(
        "name",
        !city.name.trim().is_empty(),
        "must not be empty",
        &city.name,
    )?;
    within("quote_ttl_s", city.quote_ttl_s, 1, DAY_S)?;
    area(&city.area)?;
    require(
        "products",
        !city.products.is_empty(),
        "must name at least one",
        &0,
    )?;
    for (i, product) in city.products.iter().enumerate() {
        let once = city
            .products
            .iter()
            .take(i)
            .all(|before| before.id != product.id);
        require("products.id", once, "must stand once", &product.id)?;
        within(
            &format!("products.{}.seats", product.id),
            product.seats,
            1,
            100,
        )?;
        fare(&format!("products.{}.fare", product.id), &product.fare)?;
    }
    surge(&city.surge)?;
    dispatch(&city.dispatch)?;
    trip(&city.trip)
}

fn area(area: &Area) -> Checked {
    let Area {
        south,
        west,
        north,
        east,
    } = *area;
    require(
        "area.south",
        (-90.0..=90.0).contains(&south),
        "must be a latitude",
        &south,
    )?;
    require(
        "area.west",
        (-180.0..=180.0).contains(&west),
        "must be a longitude",
        &west,
    )?;
    require(
        "area.north",
        north <= 90.0 && north > south,
        "must be a latitude north of area.south",
        &north,
    )?;
    require(
        "area.east",
        east <= 180.0 && east > west,
        "must be a longitude east of area.west",
        &east,
    )
}

fn fare(name: &str, fare: &FarePolicy) -> Checked {
    for (field, amount) in [
        ("base_minor", fare.base_minor),
        ("per_km_minor", fare.per_km_minor),
        ("per_minute_minor", fare.per_minute_minor),
        ("minimum_minor", fare.minimum_minor),
        ("booking_fee_minor", fare.booking_fee_minor),
        ("cancellation_minor", fare.cancellation_minor),
        ("waiting_per_minute_minor", fare.waiting_per_minute_minor),
    ] {
        let fits = (0..=AMOUNT_MAX).contains(&amount);
        require(
            &format!("{name}.{field}"),
            fits,
            &format!("must be 0 to {AMOUNT_MAX}"),
            &amount,
        )?;
    }
    within(
        &format!("{name}.free_cancellation_s"),
        fare.free_cancellation_s,
        0,
        DAY_S,
    )?;
    within(
        &format!("{name}.waiting_free_s"),
        fare.waiting_free_s,
        0,
        DAY_S,
    )?;
    share(&format!("{name}.driver_share"), fare.driver_share)?;
    share(&format!("{name}.tax"), fare.tax)
}

fn surge(surge: &SurgeRules) -> Checked {
    within("surge.interval_s", surge.interval_s, 1, DAY_S)?;
    within("surge.window_s", surge.window_s, surge.interval_s, DAY_S)?;
    within("surge.half_life_s", surge.half_life_s, 1, DAY_S)?;
    within("surge.floor", surge.floor.0, 1, BasisPoints::ONE.0)?;
    within(
        "surge.cap",
        surge.cap.0,
        BasisPoints::ONE.0,
        100 * BasisPoints::ONE.0,
    )?;
    within("surge.step", surge.step.0, 1, BasisPoints::ONE.0)?;
    within(
        "surge.hysteresis",
        surge.hysteresis.0,
        0,
        BasisPoints::ONE.0,
    )?;
    share("surge.neighbour_weight", surge.neighbour_weight)?;
    within(
        "surge.stale_after_s",
        surge.stale_after_s,
        surge.interval_s,
        DAY_S,
    )
}

fn dispatch(dispatch: &DispatchRules) -> Checked {
    within("dispatch.window_ms", dispatch.window_ms, 0, 60_000)?;
    within("dispatch.offer_ttl_s", dispatch.offer_ttl_s, 1, DAY_S)?;
    within(
        "dispatch.request_ttl_s",
        dispatch.request_ttl_s,
        dispatch.offer_ttl_s,
        DAY_S,
    )?;
    within("dispatch.max_candidates", dispatch.max_candidates, 1, 1_000)?;
    within("dispatch.radius_m", dispatch.radius_m, 1, 200_000)?;
    within(
        "dispatch.max_position_age_s",
        dispatch.max_position_age_s,
        1,
        180,
    )
}

fn trip(trip: &TripRules) -> Checked {
    within("trip.pickup_geofence_m", trip.pickup_geofence_m, 1, 10_000)?;
    within("trip.boarding_s", trip.boarding_s, 0, DAY_S)?;
    within("trip.schedule_lead_s", trip.schedule_lead_s, 0, DAY_S)?;
    within(
        "trip.schedule_ahead_s",
        trip.schedule_ahead_s,
        trip.schedule_lead_s,
        AHEAD_MAX_S,
    )?;
    within("trip.no_show_after_s", trip.no_show_after_s, 1, DAY_S)?;
    within("trip.stall_min_s", trip.stall_min_s, 1, DAY_S)
}

fn share(field: &str, rate: BasisPoints) -> Checked {
    within(field, rate.0, 0, BasisPoints::ONE.0)
}

fn within(field: &str, figure: u32, least: u32, most: u32) -> Checked {
    require(
        field,
        (least..=most).contains(&figure),
        &format!("must be {least} to {most}"),
        &figure,
    )
}

fn require(field: &str, holds: bool, rule: &str, given: &dyn std::fmt::Display) -> Checked {
    if holds {
        return Ok(());
    }
    Err(Refusal {
        field: field.to_owned(),
        problem: format!("{rule}, not {given}"),
    })
}
