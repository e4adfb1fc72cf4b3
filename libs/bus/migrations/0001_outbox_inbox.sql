-- Events that wait to be published: written in the transaction of the change they report, read by one relay.
CREATE TABLE outbox (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The transaction that wrote it. The relay reads only below the oldest one still running, so that a late commit is
    -- never skipped (DESIGN section 9).
    tx_id       xid8 NOT NULL DEFAULT pg_current_xact_id(),
    event_id    uuid NOT NULL CONSTRAINT outbox_event_once UNIQUE,
    topic       text NOT NULL,
    key         text NOT NULL,
    kind        text NOT NULL,
    source      text NOT NULL,
    subject     text NOT NULL,
    occur_time  timestamptz NOT NULL,
    traceparent text,
    payload     bytea NOT NULL,
    -- The machine's time, for the age of what waits.
    write_time  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX outbox_in_commit_order ON outbox (tx_id, seq);
CREATE INDEX outbox_by_time ON outbox (write_time);

-- How far the relay is. One row.
CREATE TABLE outbox_cursor (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    tx_id xid8 NOT NULL DEFAULT '0',
    seq   bigint NOT NULL DEFAULT 0
);
INSERT INTO outbox_cursor DEFAULT VALUES;

-- Events that had their effect here: written in the transaction of the effect.
CREATE TABLE inbox (
    consumer     text NOT NULL,
    event_id     uuid NOT NULL,
    kind         text NOT NULL,
    subject      text NOT NULL,
    consume_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT inbox_once PRIMARY KEY (consumer, event_id)
);
