-- Intents: the money of one trip. Beside the hold: extras (a rest, a tip) and refunds, each asked of the processor once,
-- and disputes. Times are the city's. The schema `ledger` is migrated first, and with it the service's role.

ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE ON TABLES TO hexcab_payment;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO hexcab_payment;

CREATE FUNCTION refuse(guard text, said text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', said USING ERRCODE = '23514', CONSTRAINT = guard;
END $$;

-- Rows that are kept for ever: the guard's name is the trigger's argument.
CREATE FUNCTION are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refuse(TG_ARGV[0], format('%s are kept', TG_TABLE_NAME));
    RETURN NULL;
END $$;

CREATE TABLE intents (
    id               uuid        PRIMARY KEY,
    trip             uuid        NOT NULL CONSTRAINT one_intent_per_trip UNIQUE,
    rider            uuid        NOT NULL,
    method           text        NOT NULL CONSTRAINT intent_method_known CHECK (method IN ('CARD', 'CASH')),
    state            text        NOT NULL,
    asked            text,       -- the step whose answer is outstanding, while UNKNOWN
    currency         text        NOT NULL CONSTRAINT intent_currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    amount_minor     bigint      NOT NULL CONSTRAINT intent_amount_not_negative CHECK (amount_minor >= 0), -- to be held, or expected in cash
    raise_minor      bigint      NOT NULL DEFAULT 0 CONSTRAINT intent_raise_not_negative CHECK (raise_minor >= 0), -- to be held beyond that
    held_minor       bigint      NOT NULL DEFAULT 0, -- on hold, or when it ended
    captured_minor   bigint      NOT NULL DEFAULT 0,
    rest_minor       bigint      NOT NULL DEFAULT 0, -- charged beside the hold for what the trip cost above it
    owed_minor       bigint,     -- by the rider, because it could not be taken
    refunded_minor   bigint      NOT NULL DEFAULT 0,
    processor_id     text        CONSTRAINT one_intent_per_processor_payment UNIQUE,
    decline_code     text,
    ended_as         text        CONSTRAINT intent_ending_known CHECK (ended_as IN ('DRIVEN', 'CANCELLED', 'NO_SHOW')),
    ended_at         timestamptz,
    charge_minor     bigint,
    driver           uuid,
    driver_due_minor bigint,
    tax_minor        bigint,
    version          bigint      NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CONSTRAINT intent_state_known CHECK (state IN (
        'REQUIRES_HOLD', 'HELD', 'UNKNOWN', 'CAPTURED', 'PARTLY_REFUNDED', 'REFUNDED', 'CAPTURE_FAILED', 'VOIDED', 'DECLINED',
        'AWAITS_CASH', 'CASH_COLLECTED', 'OWED')),
    CONSTRAINT intent_unknown_says_what
        CHECK (CASE WHEN state = 'UNKNOWN' THEN asked IS NOT NULL AND asked IN ('hold', 'raise', 'capture', 'void')
                    ELSE asked IS NULL END),
    CONSTRAINT intent_state_fits_method
        CHECK (CASE WHEN state IN ('AWAITS_CASH', 'CASH_COLLECTED', 'OWED') THEN method = 'CASH'
                    WHEN state = 'VOIDED' THEN true
                    ELSE method = 'CARD' END),
    CONSTRAINT intent_held_has_processor_id
        CHECK ((held_minor > 0) = (processor_id IS NOT NULL) AND held_minor >= 0
           AND CASE WHEN state IN ('HELD', 'CAPTURED', 'PARTLY_REFUNDED', 'REFUNDED', 'CAPTURE_FAILED')
                        OR asked IN ('raise', 'capture', 'void') THEN processor_id IS NOT NULL
                    WHEN state = 'VOIDED' THEN true
                    ELSE processor_id IS NULL END),
    CONSTRAINT intent_declined_has_code CHECK ((state IN ('DECLINED', 'CAPTURE_FAILED')) = (decline_code IS NOT NULL)),
    CONSTRAINT intent_ending_whole
        CHECK (num_nonnulls(ended_as, ended_at, charge_minor, driver_due_minor, tax_minor) IN (0, 5)
           AND (ended_as IS NOT NULL OR driver IS NULL)
           AND charge_minor >= 0 AND driver_due_minor >= 0 AND tax_minor BETWEEN 0 AND charge_minor
           AND (driver IS NOT NULL OR (ended_as IS DISTINCT FROM 'DRIVEN' AND coalesce(driver_due_minor, 0) = 0))),
    CONSTRAINT intent_captured_within_hold
        CHECK (CASE WHEN state IN ('CAPTURED', 'PARTLY_REFUNDED', 'REFUNDED') THEN captured_minor BETWEEN 1 AND held_minor
                    ELSE captured_minor = 0 END),
    -- What a trip charges is taken, owed or collected, and nothing else is.
    CONSTRAINT intent_settled_as_charged
        CHECK (CASE WHEN state IN ('CAPTURED', 'PARTLY_REFUNDED', 'REFUNDED')
                        THEN charge_minor IS NOT NULL AND captured_minor = least(charge_minor, held_minor)
                             AND rest_minor IN (0, charge_minor - captured_minor) AND owed_minor IS NOT NULL
                             AND owed_minor IN (0, charge_minor - captured_minor)
                             AND (rest_minor = 0 OR owed_minor = 0)
                    WHEN rest_minor <> 0 THEN false
                    WHEN state IN ('CAPTURE_FAILED', 'OWED')
                        THEN charge_minor IS NOT NULL AND charge_minor > 0 AND owed_minor IS NOT NULL AND owed_minor = charge_minor
                    WHEN state = 'DECLINED'
                        THEN owed_minor IS NULL OR (charge_minor IS NOT NULL AND owed_minor = charge_minor)
                    WHEN owed_minor IS NOT NULL THEN false
                    WHEN state = 'CASH_COLLECTED' THEN ended_as IS NOT NULL AND ended_as = 'DRIVEN' AND charge_minor > 0
                    WHEN state = 'VOIDED' THEN charge_minor IS NOT NULL AND charge_minor = 0
                    ELSE true END),
    CONSTRAINT intent_refunded_within_taken
        CHECK (CASE state WHEN 'PARTLY_REFUNDED' THEN refunded_minor BETWEEN 1 AND captured_minor + rest_minor - 1
                          WHEN 'REFUNDED' THEN refunded_minor = captured_minor + rest_minor
                          ELSE refunded_minor = 0 END)
);
CREATE INDEX intents_newest ON intents (created_at DESC, id DESC);
CREATE INDEX intents_newest_of_state ON intents (state, created_at DESC, id DESC);

-- The state machine of domain/decide.rs a second time. UNKNOWN is four states: what is outstanding.
CREATE TABLE intent_transitions (
    from_state text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO intent_transitions (from_state, to_state) VALUES
    ('REQUIRES_HOLD', 'HELD'),
    ('REQUIRES_HOLD', 'DECLINED'),
    ('REQUIRES_HOLD', 'UNKNOWN:hold'),
    ('REQUIRES_HOLD', 'VOIDED'),
    ('UNKNOWN:hold', 'HELD'),
    ('UNKNOWN:hold', 'DECLINED'),
    ('HELD', 'UNKNOWN:raise'),
    ('UNKNOWN:raise', 'HELD'),
    ('HELD', 'CAPTURED'),
    ('HELD', 'CAPTURE_FAILED'),
    ('HELD', 'UNKNOWN:capture'),
    ('UNKNOWN:capture', 'CAPTURED'),
    ('UNKNOWN:capture', 'CAPTURE_FAILED'),
    ('HELD', 'VOIDED'),
    ('HELD', 'UNKNOWN:void'),
    ('UNKNOWN:void', 'VOIDED'),
    ('CAPTURED', 'PARTLY_REFUNDED'),
    ('CAPTURED', 'REFUNDED'),
    ('PARTLY_REFUNDED', 'REFUNDED'),
    ('AWAITS_CASH', 'CASH_COLLECTED'),
    ('AWAITS_CASH', 'OWED'),
    ('AWAITS_CASH', 'VOIDED');

CREATE FUNCTION intents_follow_transitions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text;
    becomes text := NEW.state || coalesce(':' || NEW.asked, '');
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF becomes <> (CASE NEW.method WHEN 'CASH' THEN 'AWAITS_CASH' ELSE 'REQUIRES_HOLD' END)
            OR (NEW.version, NEW.raise_minor) <> (0, 0)
        THEN
            PERFORM refuse('intent_begins_unheld', 'an intent begins with nothing held');
        END IF;
        RETURN NEW;
    END IF;
    was := OLD.state || coalesce(':' || OLD.asked, '');
    IF (NEW.id, NEW.trip, NEW.rider, NEW.method, NEW.currency, NEW.amount_minor, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.trip, OLD.rider, OLD.method, OLD.currency, OLD.amount_minor, OLD.created_at)
        OR (OLD.processor_id IS NOT NULL AND NEW.processor_id IS DISTINCT FROM OLD.processor_id)
        OR (OLD.ended_at IS NOT NULL
            AND (NEW.ended_as, NEW.ended_at, NEW.charge_minor, NEW.driver, NEW.driver_due_minor, NEW.tax_minor)
                IS DISTINCT FROM (OLD.ended_as, OLD.ended_at, OLD.charge_minor, OLD.driver, OLD.driver_due_minor, OLD.tax_minor))
    THEN
        PERFORM refuse('intent_identity_fixed', 'what an intent is about, and how its trip ended, does not change');
    END IF;
    IF was <> becomes AND NOT EXISTS (SELECT FROM intent_transitions WHERE from_state = was AND to_state = becomes) THEN
        PERFORM refuse('intent_transition_allowed', format('intent %s cannot go from %s to %s', NEW.id, was, becomes));
    END IF;
    -- Money is on hold from the hold on, more of it after a raise, and what was taken is counted up only.
    IF (NEW.held_minor <> OLD.held_minor AND NOT (NEW.state = 'HELD' AND NEW.held_minor > OLD.held_minor
            AND NEW.held_minor = NEW.amount_minor + CASE WHEN OLD.held_minor = 0 THEN 0 ELSE NEW.raise_minor END))
        OR (OLD.captured_minor <> 0 AND NEW.captured_minor <> OLD.captured_minor)
        OR (OLD.rest_minor <> 0 AND NEW.rest_minor <> OLD.rest_minor)
        OR (coalesce(OLD.owed_minor, 0) <> 0 AND NEW.owed_minor IS DISTINCT FROM OLD.owed_minor)
        OR NEW.refunded_minor < OLD.refunded_minor
        OR NEW.version < OLD.version
    THEN
        PERFORM refuse('intent_counts_up', format('the money of intent %s is counted backwards', NEW.id));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER intents_follow_transitions BEFORE INSERT OR UPDATE ON intents
    FOR EACH ROW EXECUTE FUNCTION intents_follow_transitions();
CREATE TRIGGER intents_are_kept BEFORE DELETE OR TRUNCATE ON intents
    FOR EACH STATEMENT EXECUTE FUNCTION are_kept('intents_kept');

-- Charges beside the hold, each a payment of its own at the processor: one rest, and one tip that was not refused.
CREATE TABLE extras (
    id           uuid        PRIMARY KEY,
    intent       uuid        NOT NULL REFERENCES intents,
    kind         text        NOT NULL CONSTRAINT extra_kind_known CHECK (kind IN ('REST', 'TIP')),
    amount_minor bigint      NOT NULL CONSTRAINT extra_amount_positive CHECK (amount_minor > 0),
    driver       uuid,
    state        text        NOT NULL CONSTRAINT extra_state_known CHECK (state IN ('AWAITED', 'UNKNOWN', 'DONE', 'REFUSED')),
    processor_id text        CONSTRAINT one_extra_per_processor_payment UNIQUE,
    code         text,
    created_at   timestamptz NOT NULL,
    CONSTRAINT extra_tip_has_driver CHECK ((kind = 'TIP') = (driver IS NOT NULL)),
    CONSTRAINT extra_answer_whole CHECK ((state = 'DONE') = (processor_id IS NOT NULL) AND (state = 'REFUSED') = (code IS NOT NULL))
);
CREATE INDEX extras_of_intent ON extras (intent);
CREATE UNIQUE INDEX one_rest_per_intent ON extras (intent) WHERE kind = 'REST';
CREATE UNIQUE INDEX one_tip_per_intent ON extras (intent) WHERE kind = 'TIP' AND state <> 'REFUSED';

-- Money given back out of what was captured, or out of the rest.
CREATE TABLE refunds (
    id           uuid        PRIMARY KEY,
    intent       uuid        NOT NULL REFERENCES intents,
    rest         uuid        REFERENCES extras,
    amount_minor bigint      NOT NULL CONSTRAINT refund_amount_positive CHECK (amount_minor > 0),
    driver_minor bigint      NOT NULL,
    tax_minor    bigint      NOT NULL,
    clawback     boolean     NOT NULL,
    reason       text        NOT NULL CONSTRAINT refund_reason_said CHECK (length(reason) BETWEEN 1 AND 500),
    operator     uuid        NOT NULL,
    state        text        NOT NULL CONSTRAINT refund_state_known CHECK (state IN ('AWAITED', 'UNKNOWN', 'DONE', 'REFUSED')),
    processor_id text        CONSTRAINT one_refund_per_processor_refund UNIQUE,
    code         text,
    created_at   timestamptz NOT NULL,
    CONSTRAINT refund_parts_not_negative CHECK (driver_minor >= 0 AND tax_minor >= 0),
    CONSTRAINT refund_driver_bears_by_clawback CHECK (clawback OR driver_minor = 0),
    CONSTRAINT refund_answer_whole CHECK ((state = 'DONE') = (processor_id IS NOT NULL) AND (state = 'REFUSED') = (code IS NOT NULL))
);
CREATE INDEX refunds_of_intent ON refunds (intent);

-- What is asked once is answered once, and is about the same for ever.
CREATE FUNCTION answers_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'AWAITED' THEN
            PERFORM refuse('answer_begins_awaited', 'nothing is answered before it is asked');
        END IF;
        RETURN NEW;
    END IF;
    IF to_jsonb(NEW) - '{state,processor_id,code}'::text[] <> to_jsonb(OLD) - '{state,processor_id,code}'::text[]
        OR (OLD.state IN ('DONE', 'REFUSED') AND NEW IS DISTINCT FROM OLD)
        OR (OLD.state = 'UNKNOWN' AND NEW.state = 'AWAITED')
    THEN
        PERFORM refuse('answer_final', format('%s of %s is answered once and never changed otherwise', OLD.id, TG_TABLE_NAME));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER extras_are_final BEFORE INSERT OR UPDATE ON extras FOR EACH ROW EXECUTE FUNCTION answers_are_final();
CREATE TRIGGER refunds_are_final BEFORE INSERT OR UPDATE ON refunds FOR EACH ROW EXECUTE FUNCTION answers_are_final();
CREATE TRIGGER extras_are_kept BEFORE DELETE OR TRUNCATE ON extras FOR EACH STATEMENT EXECUTE FUNCTION are_kept('extras_kept');
CREATE TRIGGER refunds_are_kept BEFORE DELETE OR TRUNCATE ON refunds FOR EACH STATEMENT EXECUTE FUNCTION are_kept('refunds_kept');

-- Payments that riders' banks took back. The id is the processor's.
CREATE TABLE disputes (
    id           text        PRIMARY KEY,
    intent       uuid        NOT NULL REFERENCES intents,
    payment      text        NOT NULL,
    amount_minor bigint      NOT NULL CONSTRAINT dispute_amount_positive CHECK (amount_minor > 0),
    reason       text        NOT NULL,
    state        text        NOT NULL CONSTRAINT dispute_state_known CHECK (state IN ('OPEN', 'WON', 'LOST')),
    opened_at    timestamptz NOT NULL,
    closed_at    timestamptz,
    CONSTRAINT dispute_closed_has_time CHECK ((state = 'OPEN') = (closed_at IS NULL))
);
CREATE INDEX disputes_of_intent ON disputes (intent);

CREATE FUNCTION disputes_close_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'OPEN'
        OR to_jsonb(NEW) - '{state,closed_at}'::text[] <> to_jsonb(OLD) - '{state,closed_at}'::text[]
    THEN
        PERFORM refuse('dispute_closed_once', format('dispute %s is closed once and never changed otherwise', OLD.id));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER disputes_close_once BEFORE UPDATE ON disputes FOR EACH ROW EXECUTE FUNCTION disputes_close_once();
CREATE TRIGGER disputes_are_kept BEFORE DELETE OR TRUNCATE ON disputes FOR EACH STATEMENT EXECUTE FUNCTION are_kept('disputes_kept');

-- At commit: no more is given back than was taken and is not the bank's, of each payment; nobody bears more than he got.
-- The intent is locked, so that two refunds at once cannot both fit.
CREATE FUNCTION refunds_are_within_taken() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    i    intents;
    rest extras;
BEGIN
    SELECT * INTO STRICT i FROM intents WHERE id = NEW.intent FOR UPDATE;
    SELECT * INTO rest FROM extras WHERE intent = i.id AND kind = 'REST';
    IF i.captured_minor < (
            SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE intent = i.id AND refunds.rest IS NULL AND state <> 'REFUSED')
        + (SELECT coalesce(sum(amount_minor), 0) FROM disputes WHERE intent = i.id AND payment = i.processor_id AND state <> 'WON')
        OR i.rest_minor < (
            SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE intent = i.id AND refunds.rest IS NOT NULL AND state <> 'REFUSED')
        + (SELECT coalesce(sum(amount_minor), 0) FROM disputes WHERE intent = i.id AND payment = rest.processor_id AND state <> 'WON')
    THEN
        PERFORM refuse('refunds_within_taken', format('more is given back of intent %s than was taken', i.id));
    END IF;
    IF EXISTS (SELECT FROM refunds WHERE intent = i.id AND state <> 'REFUSED'
               HAVING sum(driver_minor) > i.driver_due_minor OR sum(tax_minor) > i.tax_minor)
    THEN
        PERFORM refuse('refund_parts_within_shares', format('somebody bears more of a refund of intent %s than he got', i.id));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refunds_are_within_taken AFTER INSERT ON refunds
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refunds_are_within_taken();
