-- What is to be asked of the processor, and what people asked of us. Times of work are real (leases, retries).

-- Steps of one intent are done strictly in the order of `ordinal`: hold, raise, capture or void, rest, then refunds and
-- tips as they come. `attempts` is also the fencing token of a lease: it grows with every claim.
CREATE TABLE work (
    intent      uuid        NOT NULL REFERENCES intents,
    ordinal     smallint    NOT NULL,
    step        text        NOT NULL,
    raise_to    bigint,     -- minor units in all
    extra       uuid        CONSTRAINT one_step_per_extra UNIQUE REFERENCES extras,
    refund      uuid        CONSTRAINT one_step_per_refund UNIQUE REFERENCES refunds,
    traceparent text,
    due_at      timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    attempts    integer     NOT NULL DEFAULT 0,
    begun_at    timestamptz, -- the first claim
    last_error  text,
    finished_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT one_step_per_place PRIMARY KEY (intent, ordinal),
    CONSTRAINT work_step_in_its_place
        CHECK (CASE step WHEN 'hold' THEN ordinal = 1 WHEN 'raise' THEN ordinal = 2 WHEN 'capture' THEN ordinal = 3
                         WHEN 'void' THEN ordinal = 3 WHEN 'charge' THEN ordinal = 4
                         WHEN 'refund' THEN ordinal >= 5 WHEN 'tip' THEN ordinal >= 5 ELSE false END),
    CONSTRAINT work_says_of_what
        CHECK ((step = 'raise') = (raise_to IS NOT NULL) AND (step IN ('charge', 'tip')) = (extra IS NOT NULL)
           AND (step = 'refund') = (refund IS NOT NULL))
);
CREATE INDEX work_outstanding ON work (due_at) WHERE finished_at IS NULL;

-- At commit: a trip that ended is not left unsettled by a step that is done.
CREATE FUNCTION settlement_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM intents WHERE id = NEW.intent AND (
            state IN ('REQUIRES_HOLD', 'HELD', 'UNKNOWN')
            OR (state = 'DECLINED' AND owed_minor IS NULL AND charge_minor + driver_due_minor > 0)))
    THEN
        PERFORM refuse('settlement_kept', format('the charge of intent %s is neither taken nor owed', NEW.intent));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER settlement_is_kept AFTER INSERT OR UPDATE ON work
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.ordinal = 3 AND NEW.finished_at IS NOT NULL)
    EXECUTE FUNCTION settlement_is_kept();

-- At commit: what was asked once beside the hold is not left without its answer.
CREATE FUNCTION answer_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM extras WHERE id = NEW.extra AND state IN ('AWAITED', 'UNKNOWN'))
        OR EXISTS (SELECT FROM refunds WHERE id = NEW.refund AND state IN ('AWAITED', 'UNKNOWN'))
    THEN
        PERFORM refuse('answer_kept', format('a %s of intent %s is done and not answered', NEW.step, NEW.intent));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER answer_is_kept AFTER INSERT OR UPDATE ON work
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.ordinal > 3 AND NEW.finished_at IS NOT NULL)
    EXECUTE FUNCTION answer_is_kept();

-- What was asked under which id, and what was answered: what was made of it, or the refusal.
CREATE TABLE requests (
    request_id uuid        NOT NULL CONSTRAINT requests_pkey PRIMARY KEY,
    body_hash  bytea       NOT NULL CONSTRAINT requests_body_hash_is_sha256 CHECK (length(body_hash) = 32),
    asked_at   timestamptz NOT NULL,
    made       uuid[],
    refusal    text,
    CONSTRAINT requests_one_answer CHECK (num_nonnulls(made, refusal) <= 1)
);
CREATE FUNCTION requests_answered_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF num_nonnulls(OLD.made, OLD.refusal) > 0
        OR (NEW.request_id, NEW.body_hash, NEW.asked_at) IS DISTINCT FROM (OLD.request_id, OLD.body_hash, OLD.asked_at)
    THEN
        PERFORM refuse('request_answered_once', format('request %s has its answer', OLD.request_id));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER requests_answered_once BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION requests_answered_once();
CREATE TRIGGER requests_are_kept BEFORE DELETE OR TRUNCATE ON requests FOR EACH STATEMENT EXECUTE FUNCTION are_kept('requests_kept');
