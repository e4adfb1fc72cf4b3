-- Intents (the money of one trip) and the work that is outstanding for them.
-- Times of intents are the city's; times of work are real (leases, retries).

CREATE TABLE intents (
    id             uuid        PRIMARY KEY,
    trip           uuid        NOT NULL CONSTRAINT one_intent_per_trip UNIQUE,
    rider          uuid        NOT NULL,
    state          text        NOT NULL,
    asked          text,       -- the step whose answer is outstanding, while UNKNOWN
    currency       text        NOT NULL CONSTRAINT intent_currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    held_minor     bigint      NOT NULL CONSTRAINT intent_held_positive CHECK (held_minor > 0),
    captured_minor bigint      NOT NULL DEFAULT 0,
    processor_id   text        CONSTRAINT one_intent_per_processor_payment UNIQUE,
    decline_code   text,
    version        bigint      NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CONSTRAINT intent_state_known
        CHECK (state IN ('REQUIRES_HOLD', 'HELD', 'CAPTURED', 'VOIDED', 'DECLINED', 'UNKNOWN')),
    CONSTRAINT intent_unknown_says_what
        CHECK (CASE WHEN state = 'UNKNOWN' THEN asked IS NOT NULL AND asked IN ('hold', 'capture', 'void') ELSE asked IS NULL END),
    CONSTRAINT intent_held_has_processor_id
        CHECK (CASE WHEN state IN ('HELD', 'CAPTURED') OR asked IN ('capture', 'void') THEN processor_id IS NOT NULL
                    WHEN state = 'VOIDED' THEN true
                    ELSE processor_id IS NULL END),
    CONSTRAINT intent_declined_has_code CHECK ((state = 'DECLINED') = (decline_code IS NOT NULL)),
    CONSTRAINT intent_captured_within_hold
        CHECK (CASE WHEN state = 'CAPTURED' THEN captured_minor BETWEEN 1 AND held_minor ELSE captured_minor = 0 END)
);
CREATE INDEX intents_newest ON intents (created_at DESC, id DESC);
CREATE INDEX intents_newest_of_state ON intents (state, created_at DESC, id DESC);

-- The state machine of domain/decide.rs a second time. UNKNOWN is three states: what is outstanding.
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
    ('HELD', 'CAPTURED'),
    ('HELD', 'UNKNOWN:capture'),
    ('UNKNOWN:capture', 'CAPTURED'),
    ('HELD', 'VOIDED'),
    ('HELD', 'UNKNOWN:void'),
    ('UNKNOWN:void', 'VOIDED');

CREATE FUNCTION intents_follow_transitions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text;
    becomes text := NEW.state || coalesce(':' || NEW.asked, '');
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF becomes <> 'REQUIRES_HOLD' OR NEW.version <> 0 THEN
            RAISE EXCEPTION 'an intent begins with nothing held' USING ERRCODE = '23514', CONSTRAINT = 'intent_begins_unheld';
        END IF;
        RETURN NEW;
    END IF;
    was := OLD.state || coalesce(':' || OLD.asked, '');
    IF (NEW.id, NEW.trip, NEW.rider, NEW.currency, NEW.held_minor, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.trip, OLD.rider, OLD.currency, OLD.held_minor, OLD.created_at)
        OR (OLD.processor_id IS NOT NULL AND NEW.processor_id IS DISTINCT FROM OLD.processor_id)
    THEN
        RAISE EXCEPTION 'what an intent is about does not change' USING ERRCODE = '23514', CONSTRAINT = 'intent_identity_fixed';
    END IF;
    IF was <> becomes AND NOT EXISTS (SELECT 1 FROM intent_transitions WHERE from_state = was AND to_state = becomes) THEN
        RAISE EXCEPTION 'intent % cannot go from % to %', NEW.id, was, becomes
            USING ERRCODE = '23514', CONSTRAINT = 'intent_transition_allowed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER intents_follow_transitions BEFORE INSERT OR UPDATE ON intents
    FOR EACH ROW EXECUTE FUNCTION intents_follow_transitions();

CREATE FUNCTION intents_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'intents are kept' USING ERRCODE = '23514', CONSTRAINT = 'intents_kept';
END $$;
CREATE TRIGGER intents_are_kept BEFORE DELETE ON intents FOR EACH ROW EXECUTE FUNCTION intents_are_kept();

-- What is to be asked of the processor. At most a hold and one settlement per intent, the settlement after the hold.
-- attempts is also the fencing token of a lease: it grows with every claim.
CREATE TABLE work (
    intent           uuid        NOT NULL REFERENCES intents,
    step             text        NOT NULL CONSTRAINT work_step_known CHECK (step IN ('hold', 'capture', 'void')),
    ordinal          smallint    GENERATED ALWAYS AS (CASE step WHEN 'hold' THEN 1 ELSE 2 END) STORED,
    charge_minor     bigint,
    driver           uuid,
    driver_pay_minor bigint,
    tax_minor        bigint,
    traceparent      text,
    due_at           timestamptz NOT NULL DEFAULT now(),
    lease_until      timestamptz,
    attempts         integer     NOT NULL DEFAULT 0,
    last_error       text,
    finished_at      timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT one_hold_and_one_settlement PRIMARY KEY (intent, ordinal),
    CONSTRAINT work_capture_says_how_much
        CHECK (CASE WHEN step = 'capture' THEN charge_minor > 0 AND tax_minor >= 0 AND charge_minor IS NOT NULL AND tax_minor IS NOT NULL
                    ELSE num_nonnulls(charge_minor, driver, driver_pay_minor, tax_minor) = 0 END),
    CONSTRAINT work_driver_has_pay
        CHECK (CASE WHEN driver IS NULL THEN driver_pay_minor IS NULL ELSE driver_pay_minor IS NOT NULL AND driver_pay_minor > 0 END)
);
CREATE INDEX work_outstanding ON work (due_at) WHERE finished_at IS NULL;
