//! From a guard of the database, by its name, to the refusal it means.
//!
//! Only guards that a race or a stale caller can run into are here. Any other one that refuses has caught a bug of
//! ours, which is INTERNAL and an ERROR in the log.

use hexcab_pg::PgError;

use crate::domain::Refusal;

/// The refusal behind an error of Postgres, if it was one.
pub fn refusal(error: &PgError) -> Option<Refusal> {
    match error.constraint()? {
        "trips_quote_once" => Some(Refusal::QuoteUsed),
        "trips_one_alive_per_rider" => Some(Refusal::RiderBusy),
        "trips_one_engagement_per_driver" => Some(Refusal::DriverBusy),
        "trips_no_offer_to_excluded" => Some(Refusal::DriverExcluded),
        "trips_acceptance_of_the_open_offer" => Some(Refusal::OfferSuperseded),
        "start_code_attempts_within_limit" | "trips_start_is_not_locked" => {
            Some(Refusal::StartCodeLocked)
        }
        "trips_acceptance_in_time" => Some(Refusal::OfferExpired),
        _ => None,
    }
}
