-- The sandbox processor's own book: payments in the shape of Stripe's PaymentIntents, and answers by idempotency key.

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
    CONSTRAINT received_within_amount
        CHECK (CASE WHEN status = 'succeeded' THEN amount_received BETWEEN 1 AND amount ELSE amount_received = 0 END),
    CONSTRAINT declined_has_code CHECK ((status = 'requires_payment_method') = (decline_code IS NOT NULL))
);
CREATE INDEX payment_intents_by_metadata ON payment_intents USING gin (metadata jsonb_path_ops);

-- The first answer to a key is its answer for ever after, for the same request.
CREATE TABLE idempotency_keys (
    key         text        PRIMARY KEY,
    fingerprint text        NOT NULL,
    status      smallint    NOT NULL,
    body        jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
