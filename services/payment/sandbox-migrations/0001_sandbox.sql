-- The sandbox processor's own book, in the shape of Stripe's PaymentIntents, Refunds, Disputes and Events; its answers by
-- idempotency key; and what it has still to tell. Times are real: a processor knows no city's clock.

CREATE TABLE payment_intents (
    id              text        PRIMARY KEY,
    seq             bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT payment_intents_in_order UNIQUE,
    amount          bigint      NOT NULL CONSTRAINT amount_positive CHECK (amount > 0),
    amount_received bigint      NOT NULL DEFAULT 0,
    currency        text        NOT NULL CONSTRAINT currency_iso CHECK (currency ~ '^[a-z]{3}$'),
    status          text        NOT NULL CONSTRAINT status_known
                    CHECK (status IN ('requires_capture', 'succeeded', 'canceled', 'requires_payment_method')),
    payment_method  text        NOT NULL,
    metadata        jsonb       NOT NULL DEFAULT '{}',
    decline_code    text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    capture_method  text        NOT NULL DEFAULT 'manual' CONSTRAINT capture_method_known
                    CHECK (capture_method IN ('manual', 'automatic')),
    raisable        boolean     NOT NULL DEFAULT false,
    raises          smallint    NOT NULL DEFAULT 0 CONSTRAINT raised_ten_times_at_most CHECK (raises BETWEEN 0 AND 10),
    canceled_at     timestamptz,
    cancellation_reason text,
    CONSTRAINT received_within_amount
        CHECK (CASE WHEN status = 'succeeded' THEN amount_received BETWEEN 1 AND amount ELSE amount_received = 0 END),
    CONSTRAINT declined_has_code CHECK ((status = 'requires_payment_method') = (decline_code IS NOT NULL)),
    CONSTRAINT canceled_has_time CHECK ((status = 'canceled') = (canceled_at IS NOT NULL))
);
CREATE INDEX payment_intents_by_metadata ON payment_intents USING gin (metadata jsonb_path_ops);
CREATE INDEX payment_intents_by_time ON payment_intents (created_at);

-- A payment that has ended stays as it ended.
CREATE FUNCTION payments_end_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> 'requires_capture' THEN
        RAISE EXCEPTION 'payment % has ended', OLD.id USING ERRCODE = '23514', CONSTRAINT = 'payment_ends_once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payments_end_once BEFORE UPDATE ON payment_intents FOR EACH ROW EXECUTE FUNCTION payments_end_once();

CREATE TABLE refunds (
    id             text        PRIMARY KEY,
    seq            bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT refunds_in_order UNIQUE,
    payment_intent text        NOT NULL REFERENCES payment_intents,
    amount         bigint      NOT NULL CONSTRAINT refund_positive CHECK (amount > 0),
    status         text        NOT NULL CONSTRAINT refund_status_known CHECK (status IN ('succeeded', 'failed')),
    failure_reason text,
    reason         text,
    metadata       jsonb       NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT refund_failed_has_reason CHECK ((status = 'failed') = (failure_reason IS NOT NULL))
);
CREATE INDEX refunds_of_payment ON refunds (payment_intent, seq);
CREATE INDEX refunds_by_time ON refunds (created_at);

-- No more is given back than was taken.
CREATE FUNCTION refunds_within_received() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount) FROM refunds WHERE payment_intent = NEW.payment_intent AND status <> 'failed')
        > (SELECT amount_received FROM payment_intents WHERE id = NEW.payment_intent)
    THEN
        RAISE EXCEPTION 'more is given back than was taken' USING ERRCODE = '23514', CONSTRAINT = 'refunds_within_received';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refunds_within_received AFTER INSERT OR UPDATE ON refunds
    FOR EACH ROW EXECUTE FUNCTION refunds_within_received();

CREATE TABLE disputes (
    id             text        PRIMARY KEY,
    seq            bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT disputes_in_order UNIQUE,
    payment_intent text        NOT NULL CONSTRAINT one_dispute_per_payment UNIQUE REFERENCES payment_intents,
    amount         bigint      NOT NULL CONSTRAINT dispute_positive CHECK (amount > 0),
    status         text        NOT NULL CONSTRAINT dispute_status_known CHECK (status IN ('needs_response', 'won', 'lost')),
    reason         text        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX disputes_by_time ON disputes (created_at);

-- The first answer to a key is its answer for ever after, for the same request.
CREATE TABLE idempotency_keys (
    key         text        PRIMARY KEY,
    fingerprint text        NOT NULL,
    status      smallint    NOT NULL,
    body        jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- What happened, with the object as it was then. Written with the change or not at all.
CREATE TABLE events (
    id              text        PRIMARY KEY,
    seq             bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT events_in_order UNIQUE,
    type            text        NOT NULL,
    payment_intent  text        NOT NULL REFERENCES payment_intents,
    object          jsonb       NOT NULL,
    idempotency_key text,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_by_time ON events (created_at);

-- What is to be told by webhook: an event, or a copy of it. Told until the other side says 2xx.
CREATE TABLE deliveries (
    event        text        NOT NULL REFERENCES events,
    copy         smallint    NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL DEFAULT now(),
    lease_until  timestamptz,
    attempts     integer     NOT NULL DEFAULT 0,
    last_answer  text,
    delivered_at timestamptz,
    PRIMARY KEY (event, copy)
);
CREATE INDEX deliveries_outstanding ON deliveries (due_at) WHERE delivered_at IS NULL;
