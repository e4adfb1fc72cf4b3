//! Why a command was refused: the catalogue. A reason is contract; it is never renamed, and each says one thing.
//!
//! Refusals carry no data, so that one kept under a request id is given again word for word (I6).

/// What the caller should make of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request can never be right: INVALID_ARGUMENT.
    Malformed,
    /// Not his to command: PERMISSION_DENIED.
    NotYours,
    /// The state forbids it: FAILED_PRECONDITION.
    State,
    /// He decided on something old and may look again: ABORTED. Not kept under the request id.
    Stale,
}

macro_rules! refusals {
    ($($variant:ident $kind:ident $reason:literal $message:literal)*) => {
        /// Why a command was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Refusal {
            $(
                #[doc = concat!("`", $reason, "`: ", $message, ".")]
                #[error($message)]
                $variant,
            )*
        }

        impl Refusal {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The catalogued reason, for ErrorInfo.
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason),* }
            }

            /// What the caller should make of it.
            pub const fn kind(self) -> RefusalKind {
                match self { $(Self::$variant => RefusalKind::$kind),* }
            }

            /// The refusal with this reason.
            pub fn from_reason(reason: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|refusal| refusal.reason() == reason)
            }
        }
    };
}

refusals! {
    // Of a request.
    QuoteForged        Malformed "QUOTE_FORGED"         "the quote token is not one that pricing signed"
    CityNotServed      Malformed "CITY_NOT_SERVED"      "the quote is for a city that is not served here"
    NotYourQuote       NotYours  "NOT_YOUR_QUOTE"       "the quote was made for another rider"
    QuoteExpired       State     "QUOTE_EXPIRED"        "the quote is too old, ask for a new one"
    QuoteUsed          State     "QUOTE_USED"           "the quote became a trip already"
    RiderBusy          State     "RIDER_BUSY"           "the rider has a trip that is not over"
    PickupTimePassed   State     "PICKUP_TIME_PASSED"   "the pickup time lies in the past"
    ScheduleTooFar     State     "SCHEDULE_TOO_FAR"     "the pickup time lies further ahead than the city takes bookings for"
    CashNotTaken       State     "CASH_NOT_TAKEN"       "cash is not taken in this city"
    // Of a booking.
    TripScheduled      State     "TRIP_SCHEDULED"       "the trip is booked ahead, no driver is looked for yet"
    NotScheduled       State     "NOT_SCHEDULED"        "the trip is not, or no longer, one that is booked ahead"
    ScheduleNotDue     State     "SCHEDULE_NOT_DUE"     "the time to look for a driver has not come"
    // Of an offer.
    TripChanged        Stale     "TRIP_CHANGED"         "the trip is no longer at the version named"
    OfferPending       State     "OFFER_PENDING"        "another driver is being asked"
    TripTaken          State     "TRIP_TAKEN"           "a driver has accepted the trip"
    DriverExcluded     State     "DRIVER_EXCLUDED"      "the driver declined, timed out, gave this trip back or lost it before"
    DriverBusy         State     "DRIVER_BUSY"          "the driver is being asked or has a trip that is not over"
    SearchEnded        State     "SEARCH_ENDED"         "the time to find a driver is over"
    SearchNotOver      State     "SEARCH_NOT_OVER"      "there is time left to find a driver"
    // Of an answer to an offer.
    NoOpenOffer        State     "NO_OPEN_OFFER"        "there is no such offer on this trip"
    NotYourOffer       NotYours  "NOT_YOUR_OFFER"       "the offer was made to another driver"
    OfferExpired       State     "OFFER_EXPIRED"        "the offer's deadline has passed"
    OfferDeclined      State     "OFFER_DECLINED"       "the driver declined this offer before"
    OfferSuperseded    State     "OFFER_SUPERSEDED"     "a later offer took the place of this one"
    OfferStillOpen     State     "OFFER_STILL_OPEN"     "the offer's deadline has not passed"
    OfferTaken         State     "OFFER_TAKEN"          "the driver accepted this offer before"
    TripReleased       State     "TRIP_RELEASED"        "the driver gave this trip back before"
    TripStalled        State     "TRIP_STALLED"         "the driver did not reach the pickup in his time and lost the trip"
    TripReassigned     State     "TRIP_REASSIGNED"      "an operator took the trip from the driver"
    // Of the ride.
    NotYourTrip        NotYours  "NOT_YOUR_TRIP"        "the trip is another's"
    OfferNotAccepted   State     "OFFER_NOT_ACCEPTED"   "the driver has not accepted the offer yet"
    TooFarFromPickup   State     "TOO_FAR_FROM_PICKUP"  "the driver is not at the pickup yet"
    AlreadyArrived     State     "ALREADY_ARRIVED"      "the driver is at the pickup already"
    NotArrived         State     "NOT_ARRIVED"          "the driver has not arrived at the pickup"
    WrongStartCode     State     "WRONG_START_CODE"     "that is not the rider's code"
    StartCodeLocked    State     "START_CODE_LOCKED"    "too many wrong codes were tried on this trip"
    NotStarted         State     "NOT_STARTED"          "the ride has not started"
    TripStarted        State     "TRIP_STARTED"         "the rider is in the car"
    NoShowTooEarly     State     "NO_SHOW_TOO_EARLY"    "the driver has not waited long enough"
    NoDriver           State     "NO_DRIVER"            "no driver has the trip"
    NotStalled         State     "NOT_STALLED"          "the driver's time to reach the pickup is not over"
    AmountOutOfRange   State     "AMOUNT_OUT_OF_RANGE"  "an amount is out of range"
    // Of anything, once it is over.
    TripCompleted      State     "TRIP_COMPLETED"       "the trip is completed"
    TripCancelled      State     "TRIP_CANCELLED"       "the trip is cancelled"
    TripExpired        State     "TRIP_EXPIRED"         "the trip ended without a driver"
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn reasons_are_distinct_and_read_back() {
        let reasons: HashSet<_> = Refusal::ALL
            .iter()
            .map(|refusal| refusal.reason())
            .collect();
        assert_eq!(reasons.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::from_reason(refusal.reason()), Some(*refusal));
        }
    }
}
