//! Whole rides through a running city, each scenario through public APIs against separate processes.
//!
//! The city is one, started here as a user would start it, or one that is up already (`hexcab_e2e::City`); scenarios leave no open trip and no driver online behind, and
//! say what they must have for themselves. At the end the invariants are checked over everything that happened, and the
//! city is stopped and leaves no process.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod boards;
mod bookings;
mod cancels;
mod crashes;
mod grpc;
mod money;
mod nonsense;
mod offers;
mod quotes;
mod races;
mod ride;
mod stores;
mod telemetry;
mod trace;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use hexcab_e2e::{CIVIC_CENTER, City, Driver, FERRY_BUILDING, Has, Place, Rider};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use tokio::sync::{Mutex, RwLock};

/// A scenario's work.
type Work = fn(Arc<City>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a scenario must have for itself.
#[derive(Clone, Copy)]
enum Needs {
    /// Nothing: it brings no driver and harms nobody.
    Nothing,
    /// The pickup: its riders and drivers must not be matched with another scenario's.
    Pickup,
    /// The whole city: it breaks things.
    City,
}

/// The locks behind [`Needs`].
#[derive(Default)]
struct Places {
    city: RwLock<()>,
    pickup: Mutex<()>,
}

macro_rules! scenarios {
    ($($needs:ident $has:ident $module:ident :: $name:ident),+ $(,)?) => {
        vec![$(Scenario {
            name: concat!(stringify!($module), "::", stringify!($name)),
            needs: Needs::$needs,
            has: Has::$has,
            work: |city| Box::pin($module::$name(city)),
        }),+]
    };
}

struct Scenario {
    name: &'static str,
    needs: Needs,
    /// What it must have of the city.
    has: Has,
    work: Work,
}

fn all() -> Vec<Scenario> {
    scenarios![
        Nothing Inside offers::that_nobody_can_take_end_in_expiry,
        Pickup Inside ride::is_carried_from_quote_to_money,
        Pickup Inside ride::is_carried_by_websocket_and_by_grpc,
        Pickup Spans trace::of_a_ride_is_one_tree_over_every_hop,
        Pickup Numbers telemetry::that_is_emitted_is_what_is_listed,
        Pickup Inside bookings::wait_for_their_time_and_are_driven,
        Nothing Api bookings::can_be_called_off_for_nothing_and_leave_room_for_a_ride_now,
        Nothing Api quotes::expire,
        Nothing Api quotes::are_requested_once_whatever_is_repeated,
        Nothing Api quotes::cannot_be_reused_or_forged_or_borrowed,
        Nothing Api nonsense::is_refused_clearly,
        Nothing Api nonsense::in_a_websocket_leaves_the_session_up,
        Nothing Api nonsense::of_foreign_users_is_refused,
        Nothing Inside grpc::a_stranger_can_list_and_call_every_service,
        Pickup Api offers::that_are_declined_go_to_another_driver,
        Pickup Api offers::that_are_ignored_expire_and_go_on,
        Pickup Api offers::are_for_one_driver_only,
        Pickup Inside cancels::while_an_offer_is_open_end_the_trip,
        Pickup Api cancels::by_the_driver_bring_another_driver,
        Pickup Inside cancels::late_ones_cost_a_fee,
        Pickup Api cancels::by_an_operator_bring_another_driver,
        Pickup Inside cancels::for_a_rider_who_does_not_come_cost_a_fee,
        Pickup Api races::accept_and_cancel_at_the_same_moment,
        Pickup Inside money::declined_releases_the_driver,
        Pickup Inside money::for_waiting_is_held_and_taken_too,
        Pickup Inside money::in_cash_makes_the_driver_owe_what_is_not_his,
        Pickup Inside money::is_tipped_given_back_and_paid_out,
        City Keeper crashes::of_each_process_cost_only_delay,
        City Replicas crashes::of_each_replica_cost_only_delay,
        City Keeper stores::broker_that_dies_costs_only_delay,
        City Keeper stores::database_that_dies_costs_only_delay,
        City Inside invariants::hold_after_all_that,
        City Prometheus boards::ask_for_what_is_there,
    ]
}

mod invariants {
    pub async fn hold_after_all_that(city: std::sync::Arc<hexcab_e2e::City>) {
        city.verify().await;
    }
}

/// Scenarios at once.
const AT_ONCE: usize = 4;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(AT_ONCE).min(AT_ONCE));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let runtime: &'static tokio::runtime::Runtime = Box::leak(Box::new(runtime));
    let places: &'static Places = Box::leak(Box::default());
    static CITY: OnceLock<Arc<City>> = OnceLock::new();
    let city = || {
        CITY.get_or_init(|| runtime.block_on(async { Arc::new(City::start().await) }))
            .clone()
    };

    let scenarios = all().into_iter();
    let trials = scenarios.filter(|scenario| scenario.has.is_asked_for());
    let trials = trials.map(|scenario| {
        let Scenario {
            name,
            needs,
            has,
            work,
        } = scenario;
        let lacking = has.lacking();
        if let Some(why) = lacking {
            eprintln!("skipped: {name} {why}");
        }
        let trial = Trial::test(name, move || {
            let city = city();
            guarded(move || runtime.block_on(alone(places, needs, work(city))))
        });
        trial.with_ignored_flag(lacking.is_some())
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let stopped = match CITY.get().cloned() {
        Some(city) => guarded(move || runtime.block_on(async move { city.stop().await })),
        None => Ok(()),
    };
    if let Err(failed) = &stopped {
        eprintln!("the city did not stop as it should: {:?}", failed.message());
    }
    let code = i32::from(conclusion.has_failed() || stopped.is_err());
    std::process::exit(code);
}

/// Does the work with what it must have for itself.
async fn alone(places: &Places, needs: Needs, work: impl Future<Output = ()>) {
    match needs {
        Needs::Nothing => {
            let _shared = places.city.read().await;
            work.await;
        }
        Needs::Pickup => {
            let _pickup = places.pickup.lock().await;
            let _shared = places.city.read().await;
            work.await;
        }
        Needs::City => {
            let _whole = places.city.write().await;
            work.await;
        }
    }
}

fn guarded(work: impl FnOnce()) -> Result<(), Failed> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
            .into()
    })
}

/// A rider and a driver beside him, and a trip that is offered to that driver.
struct Offered {
    rider: Rider,
    driver: Driver,
    trip: String,
    offer: Value,
}

const PICKUP: Place = CIVIC_CENTER;
const DROPOFF: Place = FERRY_BUILDING;

async fn offered(city: &City) -> Offered {
    let driver = Driver::new(city, PICKUP).await;
    let rider = Rider::new(&city.api).await;
    let trip = rider.request(PICKUP, DROPOFF).await;
    let offer = driver.offer(&trip).await;
    Offered {
        rider,
        driver,
        trip,
        offer,
    }
}

/// The rider's start code.
fn code(trip: &Value) -> String {
    trip["start_code"]
        .as_str()
        .expect("the rider is shown the code")
        .to_owned()
}

/// What the payment service says of a trip's money.
async fn intent(city: &City, trip: &str) -> Option<hexcab_proto::payment::v1::Intent> {
    use hexcab_proto::payment::v1::{
        GetIntentRequest, payment_service_client::PaymentServiceClient,
    };
    let config = hexcab_chassis::client::ClientConfig {
        service_token: Some(hexcab_chassis::Secret::new(city.service_token())),
        ..Default::default()
    };
    let channel =
        hexcab_chassis::client::channel(city.service("payment"), &config).expect("a channel");
    let request = GetIntentRequest {
        trip: format!("trips/{trip}"),
    };
    PaymentServiceClient::new(channel)
        .get_intent(request)
        .await
        .ok()?
        .into_inner()
        .intent
}

/// Waits until the trip's money is in this state.
async fn until_money(
    city: &City,
    trip: &str,
    state: hexcab_proto::payment::v1::IntentState,
) -> hexcab_proto::payment::v1::Intent {
    hexcab_e2e::eventually(
        &format!("the money of trip {trip} is {state:?}"),
        || async {
            intent(city, trip)
                .await
                .filter(|intent| intent.state() == state)
        },
    )
    .await
}
