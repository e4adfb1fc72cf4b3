//! A city's rules: what is read, and what is refused by the name of its field.

use std::error::Error as _;

use chrono::{TimeZone, Utc};

use super::*;

const SF: &str = include_str!("../../../../infra/cities/sf/city.toml");

fn refusal(from: &str, to: &str) -> String {
    assert!(SF.contains(from), "{from}");
    let error = City::parse("city.toml", &SF.replacen(from, to, 1)).expect_err(to);
    format!(
        "{error}: {}",
        error.source().map_or_else(String::new, ToString::to_string)
    )
}

#[test]
fn every_built_in_city_reads() {
    for id in crate::BUILT_IN {
        assert_eq!(City::built_in(id).unwrap().id.as_str(), id);
        assert_eq!(City::load(id).unwrap(), City::built_in(id).unwrap());
    }
}

#[test]
fn a_city_that_is_not_built_in_is_refused_by_name() {
    let error = City::built_in("atlantis").unwrap_err().to_string();
    assert!(
        error.contains("atlantis") && error.contains("sf"),
        "{error}"
    );
    let error = City::load("/nowhere/atlantis").unwrap_err().to_string();
    assert!(error.contains("/nowhere/atlantis/city.toml"), "{error}");
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    assert!(refusal("quote_ttl_s = 120", "quote_ttl_s = 120\nquote_tll = 1").contains("quote_tll"));
    assert!(refusal("cap = 25000", "cap = 25000\nceiling = 1").contains("ceiling"));
}

#[test]
fn a_rule_that_cannot_be_is_refused_by_its_field() {
    for (from, to, field) in [
        ("name = \"San Francisco\"", "name = \" \"", "name"),
        ("quote_ttl_s = 120", "quote_ttl_s = 0", "quote_ttl_s"),
        ("south = 37.684", "south = 137.684", "area.south"),
        ("north = 37.840", "north = 37.0", "area.north"),
        ("east = -122.366", "east = -123.0", "area.east"),
        ("id = \"xl\"", "id = \"standard\"", "products.id"),
        ("seats = 6", "seats = 0", "products.xl.seats"),
        (
            "base_minor = 220",
            "base_minor = -1",
            "products.standard.fare.base_minor",
        ),
        ("tax = 325", "tax = 10001", "products.standard.fare.tax"),
        (
            "driver_share = 7500",
            "driver_share = 10001",
            "products.standard.fare.driver_share",
        ),
        ("interval_s = 15", "interval_s = 0", "surge.interval_s"),
        ("window_s = 300", "window_s = 14", "surge.window_s"),
        ("floor = 10000", "floor = 10001", "surge.floor"),
        ("cap = 25000", "cap = 9999", "surge.cap"),
        (
            "neighbour_weight = 3000",
            "neighbour_weight = 10001",
            "surge.neighbour_weight",
        ),
        (
            "stale_after_s = 120",
            "stale_after_s = 14",
            "surge.stale_after_s",
        ),
        (
            "request_ttl_s = 480",
            "request_ttl_s = 14",
            "dispatch.request_ttl_s",
        ),
        (
            "max_candidates = 20",
            "max_candidates = 0",
            "dispatch.max_candidates",
        ),
        ("radius_m = 6000", "radius_m = 0", "dispatch.radius_m"),
        (
            "pickup_geofence_m = 150",
            "pickup_geofence_m = 0",
            "trip.pickup_geofence_m",
        ),
        (
            "schedule_lead_s = 900",
            "schedule_lead_s = 86401",
            "trip.schedule_lead_s",
        ),
        (
            "schedule_ahead_s = 604800",
            "schedule_ahead_s = 899",
            "trip.schedule_ahead_s",
        ),
        (
            "schedule_ahead_s = 604800",
            "schedule_ahead_s = 2592001",
            "trip.schedule_ahead_s",
        ),
        (
            "no_show_after_s = 300",
            "no_show_after_s = 0",
            "trip.no_show_after_s",
        ),
        ("stall_min_s = 900", "stall_min_s = 0", "trip.stall_min_s"),
        (
            "time_zone = \"America/Los_Angeles\"",
            "time_zone = \"Mars/Olympus\"",
            "time_zone",
        ),
        ("currency = \"USD\"", "currency = \"XXX\"", "currency"),
        ("policy = \"batched\"", "policy = \"psychic\"", "policy"),
    ] {
        let message = refusal(from, to);
        assert!(
            message.starts_with("city.toml") && message.contains(field),
            "{to}: {message}"
        );
    }
}

#[test]
fn a_city_that_says_nothing_of_booking_and_waiting_has_the_usual_rules_and_takes_no_cash() {
    let kept = SF.lines().filter(|line| {
        !["schedule_", "no_show_", "stall_", "cash"]
            .iter()
            .any(|rule| line.starts_with(rule))
    });
    let city = City::parse("city.toml", &kept.collect::<Vec<_>>().join("\n")).unwrap();
    let usual = City::built_in("sf").unwrap();
    assert_eq!(
        city.trip,
        TripRules {
            cash: false,
            ..usual.trip
        }
    );
}

#[test]
fn a_city_without_products_is_refused() {
    let mut city = City::built_in("sf").unwrap();
    city.products.clear();
    let error = City::parse("city.toml", &toml::to_string(&city).unwrap()).unwrap_err();
    assert!(error.to_string().contains("products"), "{error}");
}

#[test]
fn a_written_city_reads_back() {
    let city = City::built_in("sf").unwrap();
    assert_eq!(
        City::parse("city.toml", &toml::to_string(&city).unwrap()).unwrap(),
        city
    );
}

#[test]
fn every_policy_is_called_what_its_name_says() {
    for policy in [
        DispatchPolicy::Nearest,
        DispatchPolicy::Batched,
        DispatchPolicy::Swaps,
        DispatchPolicy::Chained,
    ] {
        let mut city = City::built_in("sf").unwrap();
        city.dispatch.policy = policy;
        assert!(
            toml::to_string(&city)
                .unwrap()
                .contains(&format!("policy = \"{}\"", policy.as_str()))
        );
    }
}

#[test]
fn the_hour_of_the_week_is_local_and_follows_summer_time() {
    let city = City::built_in("sf").unwrap();
    // Friday 30 May 2008 17:30 PDT is Saturday 00:30 UTC; in winter PST is one hour further.
    let summer = Utc.with_ymd_and_hms(2008, 5, 31, 0, 30, 0).unwrap();
    assert_eq!(city.hour_of_week(summer), HourOfWeek::of_day(5, 17));
    let winter = Utc.with_ymd_and_hms(2008, 12, 6, 0, 30, 0).unwrap();
    assert_eq!(city.hour_of_week(winter), HourOfWeek::of_day(5, 16));
}

#[test]
fn the_area_holds_the_city_but_not_the_airport() {
    let area = City::built_in("sf").unwrap().area;
    let point = |lat, lon| Point::from_degrees(lat, lon).unwrap();
    assert!(area.contains(point(37.7749, -122.4194)));
    assert!(area.contains(point(37.684, -122.512)));
    assert!(!area.contains(point(37.6165, -122.3860)));
    assert!(!area.contains(point(37.7749, -122.27)));
}

#[test]
fn products_are_found_by_id() {
    let city = City::built_in("sf").unwrap();
    assert_eq!(
        city.product(&ProductId::new("xl").unwrap()).unwrap().seats,
        6
    );
    assert!(
        city.product(&ProductId::new("helicopter").unwrap())
            .is_none()
    );
}
