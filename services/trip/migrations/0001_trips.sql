-- Trips, what happened to them, and the answers that were given: the second guard of the invariants I1 to I9.
-- Every guard has a name; the service maps the names that a race may hit to refusals (src/store/guards.rs).
--
-- Postgres reads and plans the expression of a CHECK and of a generated column anew for every statement, but plans what a
-- plpgsql function says once a session. So these expressions are calls, and what they say stands in functions (ADR 0011).

CREATE FUNCTION refuse(guard text, said text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', said USING ERRCODE = 'check_violation', CONSTRAINT = guard;
END $$;

-- When the sweeper must look at a trip; an acceptance counts for a second after its deadline. It follows from the state,
-- so that no trip can be without one (I9).
CREATE FUNCTION trip_due_at(state text, activates_at timestamptz, request_expires_at timestamptz, offer_expires_at timestamptz,
                            stalls_at timestamptz) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE state
            WHEN 'SCHEDULED' THEN activates_at
            WHEN 'REQUESTED' THEN request_expires_at
            WHEN 'OFFERED' THEN offer_expires_at + interval '1 second'
            WHEN 'EN_ROUTE' THEN stalls_at
        END;
END $$;

-- The driver who is asked or has accepted, while the trip is alive.
CREATE FUNCTION trip_engaged_driver(state text, offer_driver uuid, driver uuid) RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE WHEN state = 'OFFERED' THEN offer_driver
                WHEN state IN ('EN_ROUTE', 'ARRIVED', 'IN_PROGRESS') THEN driver
        END;
END $$;

CREATE TABLE trips (
    id                   uuid        NOT NULL CONSTRAINT trips_pkey PRIMARY KEY,
    version              bigint      NOT NULL,
    epoch                integer     NOT NULL,
    state                text        NOT NULL,
    last_event           text        NOT NULL,
    -- What was ordered; never changes.
    rider                uuid        NOT NULL,
    city                 text        NOT NULL,
    product              text        NOT NULL,
    pickup_lat_e7        integer     NOT NULL,
    pickup_lon_e7        integer     NOT NULL,
    dropoff_lat_e7       integer     NOT NULL,
    dropoff_lon_e7       integer     NOT NULL,
    quote                uuid        NOT NULL,
    currency             text        NOT NULL,
    fare_minor           bigint      NOT NULL,
    driver_pay_minor     bigint      NOT NULL,
    tax_minor            bigint      NOT NULL,
    cancellation_minor   bigint      NOT NULL,
    duration_s           integer     NOT NULL,
    distance_m           integer     NOT NULL,
    start_code           text        NOT NULL,
    pickup_time          timestamptz,
    -- Of a trip that was booked ahead: when the search for a driver begins.
    activates_at         timestamptz,
    payment_method       text        NOT NULL,
    traceparent          text,
    created_at           timestamptz NOT NULL,
    -- The search and the open offer.
    request_expires_at   timestamptz NOT NULL,
    offer_driver         uuid,
    offer_expires_at     timestamptz,
    offer_decision       uuid,
    offer_eta_s          integer,
    offer_distance_m     integer,
    -- Who was asked in vain, by offer: three columns of one list.
    excluded_drivers     uuid[]      NOT NULL,
    excluded_epochs      integer[]   NOT NULL,
    excluded_reasons     text[]      NOT NULL,
    -- The driver and how far he came.
    driver               uuid,
    accepted_epoch       integer,
    accepted_at          timestamptz,
    stalls_at            timestamptz,
    arrived_at           timestamptz,
    no_show_from         timestamptz,
    started_at           timestamptz,
    waiting_fee_minor    bigint,
    -- The end.
    ended_at             timestamptz,
    charge_minor         bigint,
    driver_due_minor     bigint,
    cancelled_by         text,
    cancel_operator      uuid,
    cancel_note          text,
    updated_at           timestamptz NOT NULL,
    due_at               timestamptz GENERATED ALWAYS AS
                                     (trip_due_at(state, activates_at, request_expires_at, offer_expires_at, stalls_at)) STORED,
    engaged_driver       uuid        GENERATED ALWAYS AS (trip_engaged_driver(state, offer_driver, driver)) STORED
) WITH (fillfactor = 80);

-- What holds for every trip by itself. A rule that comes to NULL holds, as in any CHECK. By name, as Postgres has its CHECKs:
-- the first that is broken is told.
CREATE FUNCTION trip_is_sound(t trips) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    broken text := CASE
        WHEN NOT (
            num_nulls(t.arrived_at, t.no_show_from) IN (0, 2)
            AND (t.state = 'CANCELLED' OR (t.arrived_at IS NOT NULL) = (t.state IN ('ARRIVED', 'IN_PROGRESS', 'COMPLETED')))
        ) THEN 'trips_arrived_once_there'
        WHEN NOT (
            t.cancelled_by IN ('RIDER_CHANGED_MIND', 'RIDER_WAITED_TOO_LONG', 'PAYMENT_DECLINED', 'RIDER_BUSY', 'NO_SHOW', 'OPERATOR')
        ) THEN 'trips_cancelled_by_is_known'
        WHEN NOT (
            (t.state = 'CANCELLED') = (t.cancelled_by IS NOT NULL)
            AND (t.cancelled_by IS NOT DISTINCT FROM 'OPERATOR') = (t.cancel_operator IS NOT NULL)
            AND num_nulls(t.cancel_operator, t.cancel_note) IN (0, 2)
        ) THEN 'trips_cancelled_by_someone'
        -- A ride costs its fare and the waiting, a cancellation the fee of the quote or nothing, no driver nothing. (What a
        -- driver is owed of a ride may be more than it costs: that is pricing's affair. Of a fee it is a part.)
        WHEN NOT (CASE t.state
            WHEN 'COMPLETED' THEN t.charge_minor = t.fare_minor + t.waiting_fee_minor AND t.driver_due_minor >= t.driver_pay_minor
            WHEN 'CANCELLED' THEN t.charge_minor IN (0, t.cancellation_minor) AND t.driver_due_minor <= t.charge_minor
                 AND (t.charge_minor = 0 OR t.cancelled_by IN ('RIDER_CHANGED_MIND', 'RIDER_WAITED_TOO_LONG', 'NO_SHOW'))
            WHEN 'EXPIRED' THEN t.charge_minor = 0 AND t.driver_due_minor = 0
            ELSE true END
        ) THEN 'trips_charge_follows_the_end'
        WHEN NOT (
            num_nulls(t.driver, t.accepted_epoch, t.accepted_at, t.stalls_at) IN (0, 4)
            AND (t.state = 'CANCELLED' OR (t.driver IS NOT NULL) = (t.state IN ('EN_ROUTE', 'ARRIVED', 'IN_PROGRESS', 'COMPLETED')))
        ) THEN 'trips_driver_once_accepted'
        WHEN NOT (
            (t.ended_at IS NOT NULL) = (t.state IN ('COMPLETED', 'CANCELLED', 'EXPIRED'))
            AND num_nulls(t.ended_at, t.charge_minor, t.driver_due_minor) IN (0, 3)
        ) THEN 'trips_ended_iff_terminal'
        WHEN NOT (
            cardinality(t.excluded_drivers) = cardinality(t.excluded_epochs)
            AND cardinality(t.excluded_drivers) = cardinality(t.excluded_reasons)
        ) THEN 'trips_exclusions_are_one_list'
        WHEN NOT (
            least(t.fare_minor, t.driver_pay_minor, t.tax_minor, t.cancellation_minor, t.waiting_fee_minor, t.charge_minor,
                  t.driver_due_minor) >= 0
        ) THEN 'trips_money_is_not_negative'
        -- I8
        WHEN NOT (
            t.offer_driver IS NULL OR t.offer_driver <> ALL (t.excluded_drivers)
        ) THEN 'trips_no_offer_to_excluded'
        WHEN NOT (
            (t.state = 'OFFERED') = (t.offer_driver IS NOT NULL)
            AND num_nulls(t.offer_driver, t.offer_expires_at, t.offer_eta_s, t.offer_distance_m) IN (0, 4)
        ) THEN 'trips_offer_iff_offered'
        WHEN NOT (
            t.payment_method IN ('CARD', 'CASH')
        ) THEN 'trips_payment_method_is_known'
        WHEN NOT (
            (t.state <> 'SCHEDULED' OR t.activates_at IS NOT NULL)
            AND (t.activates_at IS NULL OR t.activates_at <= t.pickup_time) IS TRUE
        ) THEN 'trips_scheduled_for_a_time'
        WHEN NOT (
            t.start_code ~ '^[0-9]{4}$'
        ) THEN 'trips_start_code_is_four_digits'
        WHEN NOT (
            num_nulls(t.started_at, t.waiting_fee_minor) IN (0, 2)
            AND (t.state = 'CANCELLED' OR (t.started_at IS NOT NULL) = (t.state IN ('IN_PROGRESS', 'COMPLETED')))
        ) THEN 'trips_started_once_in_the_car'
        WHEN NOT (
            t.state IN ('SCHEDULED', 'REQUESTED', 'OFFERED', 'EN_ROUTE', 'ARRIVED', 'IN_PROGRESS')
            OR t.state IN ('COMPLETED', 'CANCELLED', 'EXPIRED')
        ) THEN 'trips_state_is_known'
        WHEN NOT (
            t.version >= 1
        ) THEN 'trips_version_is_positive'
    END;
BEGIN
    IF broken IS NOT NULL THEN
        PERFORM refuse(broken, format('trip %s in state %s breaks %s', t.id, t.state, broken));
    END IF;
    RETURN true;
END $$;
ALTER TABLE trips ADD CONSTRAINT trips_are_sound CHECK (trip_is_sound(trips));

-- A quote is used once. (Before the rider's index, so that a quote sent twice is told as such.)
CREATE UNIQUE INDEX trips_quote_once ON trips (quote);
-- I1: one trip at a time for a rider, beside those he booked ahead …
CREATE UNIQUE INDEX trips_one_alive_per_rider ON trips (rider) WHERE state NOT IN ('SCHEDULED', 'COMPLETED', 'CANCELLED', 'EXPIRED');
-- … and one engagement for a driver: who is asked or drives is not asked again. Stricter than "one offer and one trip";
-- a policy that chains rides would part the two.
CREATE UNIQUE INDEX trips_one_engagement_per_driver ON trips (engaged_driver) WHERE engaged_driver IS NOT NULL;
-- The sweeper's list.
CREATE INDEX trips_due ON trips (due_at) WHERE due_at IS NOT NULL;
-- ListTrips, newest first.
CREATE INDEX trips_newest ON trips (created_at DESC, id DESC);
CREATE INDEX trips_by_city ON trips (city, state, created_at DESC, id DESC);
CREATE INDEX trips_by_rider ON trips (rider, created_at DESC, id DESC);
CREATE INDEX trips_by_driver ON trips (driver, created_at DESC, id DESC) WHERE driver IS NOT NULL;

-- What happened, numbered 1..n (I2). payload is a hexcab.trip.v1.TripEvent. Of a trip that is there: see guard_happened.
CREATE TABLE trip_events (
    trip        uuid        NOT NULL,
    version     bigint      NOT NULL CONSTRAINT trip_events_version_is_positive CHECK (version >= 1),
    kind        text        NOT NULL,
    occurred_at timestamptz NOT NULL,
    -- The outbox row that told the world.
    event       uuid        NOT NULL,
    payload     bytea       NOT NULL,
    CONSTRAINT trip_events_pkey PRIMARY KEY (trip, version)
);

-- The table of states and events, once more (DESIGN section 4). Nothing leads out of a terminal state (I3). An event that
-- may have several causes has a row for each that is possible: an operator's force is an edge of its own, and the only
-- one out of IN_PROGRESS but for completion.
CREATE TABLE trip_transitions (
    from_state text NOT NULL,
    event      text NOT NULL,
    -- Of TripCancelled the one of cancelled_by, of an offer or acceptance that came to nothing the reason of the exclusion.
    cause      text NOT NULL,
    to_state   text NOT NULL,
    CONSTRAINT trip_transitions_pkey PRIMARY KEY (from_state, event, cause)
);
INSERT INTO trip_transitions VALUES
    ('',            'TripRequested', '',                      'REQUESTED'),
    ('',            'TripScheduled', '',                      'SCHEDULED'),
    ('SCHEDULED',   'TripActivated', '',                      'REQUESTED'),
    ('SCHEDULED',   'TripCancelled', 'RIDER_CHANGED_MIND',    'CANCELLED'),
    ('SCHEDULED',   'TripCancelled', 'RIDER_WAITED_TOO_LONG', 'CANCELLED'),
    ('SCHEDULED',   'TripCancelled', 'PAYMENT_DECLINED',      'CANCELLED'),
    ('SCHEDULED',   'TripCancelled', 'RIDER_BUSY',            'CANCELLED'),
    ('SCHEDULED',   'TripCancelled', 'OPERATOR',              'CANCELLED'),
    ('REQUESTED',   'OfferMade',     '',                      'OFFERED'),
    ('REQUESTED',   'TripExpired',   '',                      'EXPIRED'),
    ('REQUESTED',   'TripCancelled', 'RIDER_CHANGED_MIND',    'CANCELLED'),
    ('REQUESTED',   'TripCancelled', 'RIDER_WAITED_TOO_LONG', 'CANCELLED'),
    ('REQUESTED',   'TripCancelled', 'PAYMENT_DECLINED',      'CANCELLED'),
    ('REQUESTED',   'TripCancelled', 'OPERATOR',              'CANCELLED'),
    ('OFFERED',     'OfferAccepted', '',                      'EN_ROUTE'),
    ('OFFERED',     'OfferDeclined', 'DECLINED',              'REQUESTED'),
    ('OFFERED',     'OfferExpired',  'TIMED_OUT',             'REQUESTED'),
    ('OFFERED',     'TripCancelled', 'RIDER_CHANGED_MIND',    'CANCELLED'),
    ('OFFERED',     'TripCancelled', 'RIDER_WAITED_TOO_LONG', 'CANCELLED'),
    ('OFFERED',     'TripCancelled', 'PAYMENT_DECLINED',      'CANCELLED'),
    ('OFFERED',     'TripCancelled', 'OPERATOR',              'CANCELLED'),
    ('EN_ROUTE',    'DriverArrived', '',                      'ARRIVED'),
    ('EN_ROUTE',    'TripReleased',  'RELEASED',              'REQUESTED'),
    ('EN_ROUTE',    'TripReleased',  'STALLED',               'REQUESTED'),
    ('EN_ROUTE',    'TripReleased',  'REASSIGNED',            'REQUESTED'),
    ('EN_ROUTE',    'TripCancelled', 'RIDER_CHANGED_MIND',    'CANCELLED'),
    ('EN_ROUTE',    'TripCancelled', 'RIDER_WAITED_TOO_LONG', 'CANCELLED'),
    ('EN_ROUTE',    'TripCancelled', 'PAYMENT_DECLINED',      'CANCELLED'),
    ('EN_ROUTE',    'TripCancelled', 'OPERATOR',              'CANCELLED'),
    ('ARRIVED',     'TripStarted',   '',                      'IN_PROGRESS'),
    ('ARRIVED',     'TripReleased',  'RELEASED',              'REQUESTED'),
    ('ARRIVED',     'TripReleased',  'REASSIGNED',            'REQUESTED'),
    ('ARRIVED',     'TripCancelled', 'RIDER_CHANGED_MIND',    'CANCELLED'),
    ('ARRIVED',     'TripCancelled', 'RIDER_WAITED_TOO_LONG', 'CANCELLED'),
    ('ARRIVED',     'TripCancelled', 'PAYMENT_DECLINED',      'CANCELLED'),
    ('ARRIVED',     'TripCancelled', 'NO_SHOW',               'CANCELLED'),
    ('ARRIVED',     'TripCancelled', 'OPERATOR',              'CANCELLED'),
    ('IN_PROGRESS', 'TripCompleted', '',                      'COMPLETED'),
    ('IN_PROGRESS', 'TripCancelled', 'OPERATOR',              'CANCELLED');

-- The same as the keys of one object, for the triggers: to look an edge up in the table for every change would cost more than all else
-- they ask. Immutable, so that a session reads the table once: a migration that changes the table replaces this function,
-- too, and sessions read anew.
CREATE FUNCTION trip_edges() RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN (SELECT jsonb_object_agg(concat_ws('-', from_state, event, cause, to_state), true) FROM trip_transitions);
END $$;

-- What was asked under which id, and what was answered (I6): the trip as this version left it (its event says how that
-- was), or a refusal. Exactly one of them, once the transaction ends.
CREATE TABLE requests (
    request_id uuid        NOT NULL CONSTRAINT requests_pkey PRIMARY KEY,
    body_hash  bytea       NOT NULL,
    asked_at   timestamptz NOT NULL,
    trip       uuid,
    version    bigint,
    refusal    text,
    CONSTRAINT requests_body_hash_is_sha256 CHECK (length(body_hash) = 32),
    CONSTRAINT requests_one_answer CHECK ((trip IS NULL OR refusal IS NULL) AND (trip IS NULL) = (version IS NULL))
);

-- A new trip is REQUESTED or SCHEDULED, at version 1.
CREATE FUNCTION guard_trip_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> 1 OR NEW.epoch <> 0 OR cardinality(NEW.excluded_drivers) <> 0 THEN
        PERFORM refuse('trips_version_steps_by_one', 'a new trip has version 1 and no offers');
    END IF;
    IF (trip_edges() ? concat_ws('-', '', NEW.last_event, '', NEW.state)) IS NOT TRUE THEN
        PERFORM refuse('trips_transition_is_known', format('no trip begins %s by %s', NEW.state, NEW.last_event));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_insert BEFORE INSERT ON trips FOR EACH ROW EXECUTE FUNCTION guard_trip_insert();

-- A trip changes by one known transition at a time.
CREATE FUNCTION guard_trip_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    asked_in_vain uuid := CASE NEW.last_event WHEN 'TripReleased' THEN OLD.driver
                                              WHEN 'OfferDeclined' THEN OLD.offer_driver
                                              WHEN 'OfferExpired' THEN OLD.offer_driver END;
    in_vain_epoch integer := CASE NEW.last_event WHEN 'TripReleased' THEN OLD.accepted_epoch ELSE OLD.epoch END;
    in_vain_reason text := NEW.excluded_reasons[cardinality(NEW.excluded_reasons)];
    its_cause text := CASE WHEN asked_in_vain IS NOT NULL THEN in_vain_reason
                           WHEN NEW.last_event = 'TripCancelled' THEN NEW.cancelled_by ELSE '' END;
BEGIN
    -- I2
    IF NEW.version <> OLD.version + 1 THEN
        PERFORM refuse('trips_version_steps_by_one', format('version %s after %s', NEW.version, OLD.version));
    END IF;
    -- I8: the list of the excluded only grows, and by him who was asked in vain. (First, since its last reason is a cause.)
    IF (asked_in_vain IS NULL AND (NEW.excluded_drivers, NEW.excluded_epochs, NEW.excluded_reasons)
                               <> (OLD.excluded_drivers, OLD.excluded_epochs, OLD.excluded_reasons))
       OR (asked_in_vain IS NOT NULL AND (NEW.excluded_drivers, NEW.excluded_epochs, NEW.excluded_reasons)
            <> (OLD.excluded_drivers || asked_in_vain, OLD.excluded_epochs || in_vain_epoch, OLD.excluded_reasons || in_vain_reason)) THEN
        PERFORM refuse('trips_asked_in_vain_is_excluded', 'who was asked in vain is excluded, and nobody else');
    END IF;
    -- I3
    IF its_cause IS NULL OR (trip_edges() ? concat_ws('-', OLD.state, NEW.last_event, its_cause, NEW.state)) IS NOT TRUE THEN
        PERFORM refuse('trips_transition_is_known',
                       format('%s does not become %s by %s of %s', OLD.state, NEW.state, NEW.last_event, its_cause));
    END IF;
    IF NEW.epoch <> OLD.epoch + (NEW.last_event = 'OfferMade')::integer THEN
        PERFORM refuse('trips_epoch_counts_offers', format('epoch %s after %s by %s', NEW.epoch, OLD.epoch, NEW.last_event));
    END IF;
    -- I4
    IF NEW.last_event = 'OfferAccepted' AND (NEW.driver <> OLD.offer_driver OR NEW.accepted_epoch <> OLD.epoch) THEN
        PERFORM refuse('trips_acceptance_of_the_open_offer', format('offer %s is not the open one', NEW.accepted_epoch));
    END IF;
    IF NEW.last_event = 'OfferAccepted' AND NEW.accepted_at > OLD.offer_expires_at + interval '1 second' THEN
        PERFORM refuse('trips_acceptance_in_time', 'the deadline has passed');
    END IF;
    -- I4, I9: nobody's time is over before it is.
    IF (NEW.last_event IN ('TripActivated', 'TripExpired', 'OfferExpired') OR its_cause = 'STALLED')
       AND NEW.updated_at <= OLD.due_at THEN
        PERFORM refuse('trips_deadline_has_passed', format('%s at %s, due after %s', NEW.last_event, NEW.updated_at, OLD.due_at));
    END IF;
    IF its_cause = 'NO_SHOW' AND NEW.updated_at < OLD.no_show_from THEN
        PERFORM refuse('trips_no_show_after_waiting', format('the driver waits until %s', OLD.no_show_from));
    END IF;
    -- The driver stays the one who accepted, and his times are what they were.
    IF (NEW.driver, NEW.accepted_epoch, NEW.accepted_at, NEW.stalls_at) IS DISTINCT FROM
       (OLD.driver, OLD.accepted_epoch, OLD.accepted_at, OLD.stalls_at) AND NEW.last_event NOT IN ('OfferAccepted', 'TripReleased') THEN
        PERFORM refuse('trips_driver_is_who_accepted', 'the driver changed without an acceptance');
    END IF;
    -- Guessing the rider's code ends after some tries. (Kept in 0002; the service reads it, too, but may have decided on
    -- what it remembered.)
    IF NEW.last_event = 'TripStarted' THEN
        IF EXISTS (SELECT FROM start_code_attempts WHERE trip = NEW.id AND wrong >= 10) THEN
            PERFORM refuse('trips_start_is_not_locked', 'too many wrong codes were tried');
        END IF;
    END IF;
    -- What waiting costs is settled at the start.
    IF NEW.waiting_fee_minor IS DISTINCT FROM OLD.waiting_fee_minor AND NEW.last_event <> 'TripStarted' THEN
        PERFORM refuse('trips_waiting_fee_of_the_start', 'the waiting fee changed after the start');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_update BEFORE UPDATE ON trips FOR EACH ROW EXECUTE FUNCTION guard_trip_update();

-- What was ordered stays. Asked only of a statement that sets one of these columns, which none of ours does.
CREATE FUNCTION guard_trip_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.rider, NEW.city, NEW.product, NEW.pickup_lat_e7, NEW.pickup_lon_e7, NEW.dropoff_lat_e7,
        NEW.dropoff_lon_e7, NEW.quote, NEW.currency, NEW.fare_minor, NEW.driver_pay_minor, NEW.tax_minor,
        NEW.cancellation_minor, NEW.duration_s, NEW.distance_m, NEW.start_code, NEW.pickup_time,
        NEW.activates_at, NEW.payment_method, NEW.traceparent, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.rider, OLD.city, OLD.product, OLD.pickup_lat_e7, OLD.pickup_lon_e7, OLD.dropoff_lat_e7,
        OLD.dropoff_lon_e7, OLD.quote, OLD.currency, OLD.fare_minor, OLD.driver_pay_minor, OLD.tax_minor,
        OLD.cancellation_minor, OLD.duration_s, OLD.distance_m, OLD.start_code, OLD.pickup_time,
        OLD.activates_at, OLD.payment_method, OLD.traceparent, OLD.created_at) THEN
        PERFORM refuse('trips_order_is_fixed', 'what was ordered does not change');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_order BEFORE UPDATE OF id, rider, city, product, pickup_lat_e7, pickup_lon_e7, dropoff_lat_e7,
    dropoff_lon_e7, quote, currency, fare_minor, driver_pay_minor, tax_minor, cancellation_minor, duration_s, distance_m,
    start_code, pickup_time, activates_at, payment_method, traceparent, created_at
    ON trips FOR EACH ROW EXECUTE FUNCTION guard_trip_order();

-- Trips and their events are kept.
CREATE FUNCTION guard_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse(TG_TABLE_NAME || '_are_kept', format('%s of %s', TG_OP, TG_TABLE_NAME));
    RETURN NULL;
END $$;
CREATE TRIGGER guard_delete BEFORE DELETE ON trips FOR EACH ROW EXECUTE FUNCTION guard_kept();
CREATE TRIGGER guard_kept BEFORE UPDATE OR DELETE ON trip_events FOR EACH ROW EXECUTE FUNCTION guard_kept();

-- I2, I7: the change, its event and its outbox row are there together. A change owes its event, the event turns that debt
-- into one of its outbox row, which pays it: what comes in this order leaves nothing owed at COMMIT. The debts of a
-- transaction are kept in a setting of its own rather than looked up in the tables: under SERIALIZABLE a lookup reads a whole
-- page of an index, and whoever writes to that page would be in conflict with it (ADR 0009).
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owed text := set_config('hexcab.owed', concat(current_setting('hexcab.owed', true),
                            'event ', NEW.id, ' ', NEW.version, ' ', NEW.last_event, ';'), true);
BEGIN
    RETURN NEW;
END $$;
CREATE TRIGGER note_change BEFORE INSERT OR UPDATE ON trips FOR EACH ROW EXECUTE FUNCTION note_change();

-- No event without its change, none before its time.
CREATE FUNCTION guard_event_happened() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    its  text := concat('event ', NEW.trip, ' ', NEW.version, ' ', NEW.kind, ';');
    owed text := current_setting('hexcab.owed', true);
BEGIN
    IF position(its IN coalesce(owed, '')) = 0 THEN
        PERFORM refuse('trip_events_happened', format('trip %s has not just come to version %s by %s', NEW.trip, NEW.version, NEW.kind));
    END IF;
    owed := set_config('hexcab.owed', replace(owed, its, concat('outbox ', NEW.event, ' trips/', NEW.trip, ';')), true);
    RETURN NEW;
END $$;
CREATE TRIGGER guard_happened BEFORE INSERT ON trip_events FOR EACH ROW EXECUTE FUNCTION guard_event_happened();

CREATE FUNCTION note_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owed text := current_setting('hexcab.owed', true);
BEGIN
    IF owed <> '' THEN
        owed := set_config('hexcab.owed', replace(owed, concat('outbox ', NEW.event_id, ' ', NEW.subject, ';'), ''), true);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER note_told BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION note_told();

CREATE FUNCTION guard_trip_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owed text := current_setting('hexcab.owed', true);
BEGIN
    IF owed <> '' THEN
        IF position('event ' IN owed) > 0 THEN
            PERFORM refuse('trips_version_has_its_event', format('owed: %s', owed));
        END IF;
        IF position('outbox ' IN owed) > 0 THEN
            PERFORM refuse('trips_change_is_in_the_outbox', format('owed: %s', owed));
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER guard_told AFTER INSERT OR UPDATE ON trips
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION guard_trip_told();

-- I6: an answer is given once and kept.
CREATE FUNCTION guard_answer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR num_nonnulls(OLD.trip, OLD.refusal) > 0
       OR (NEW.request_id, NEW.body_hash, NEW.asked_at) <> (OLD.request_id, OLD.body_hash, OLD.asked_at) THEN
        PERFORM refuse('requests_answer_is_kept', format('%s of an answer', TG_OP));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_answer BEFORE UPDATE OR DELETE ON requests FOR EACH ROW EXECUTE FUNCTION guard_answer();
