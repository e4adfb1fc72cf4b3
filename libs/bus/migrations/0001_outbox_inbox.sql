-- Outbox and inbox are partitioned by event_id. An event's id is a UUID of version 7, which begins with the milliseconds
-- of its making: so that is by time, a lookup by id goes to one partition, and an id stays unique over all of them, which
-- a key like write_time could not promise (docs/adr/0006).

-- The least id that can be made at this instant.
CREATE FUNCTION bus_id_at(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(greatest(0, floor(extract(epoch FROM at) * 1000))::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Events that wait to be published: written in the transaction of the change they report, read by one relay.
-- Contract for who appends in a statement of its own: event_id (version 7), topic, key, kind, source, subject, occur_time,
-- traceparent and payload are given, the rest has defaults (hexcab_bus::outbox).
CREATE TABLE outbox (
    event_id    uuid NOT NULL,
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    -- The transaction that wrote it. The relay reads only below the oldest one still running, so that a late commit is
    -- never skipped (DESIGN section 9).
    tx_id       xid8 NOT NULL DEFAULT pg_current_xact_id(),
    topic       text NOT NULL,
    key         text NOT NULL,
    kind        text NOT NULL,
    source      text NOT NULL,
    subject     text NOT NULL,
    occur_time  timestamptz NOT NULL,
    traceparent text,
    payload     bytea NOT NULL,
    -- The machine's time, for the age of what waits.
    write_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT outbox_event_once PRIMARY KEY (event_id)
) PARTITION BY RANGE (event_id);
CREATE INDEX outbox_in_commit_order ON outbox (tx_id, seq);
-- What has no partition (ids of another kind or of a clock that is far off): an append never fails for want of one.
CREATE TABLE outbox_rest PARTITION OF outbox DEFAULT;

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
) PARTITION BY RANGE (event_id);
CREATE TABLE inbox_rest PARTITION OF inbox DEFAULT;

-- How far a consumer is with an aggregate (an event's subject): for effects that replace what was known of it.
CREATE TABLE inbox_versions (
    consumer     text NOT NULL,
    subject      text NOT NULL,
    version      bigint NOT NULL,
    consume_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT inbox_versions_pkey PRIMARY KEY (consumer, subject)
);
CREATE INDEX inbox_versions_by_time ON inbox_versions (consume_time);

CREATE FUNCTION guard_inbox_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <= OLD.version THEN
        RAISE EXCEPTION '% has seen % at version %, not at %', OLD.consumer, OLD.subject, OLD.version, NEW.version
            USING ERRCODE = 'check_violation', CONSTRAINT = 'inbox_versions_grow';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_version BEFORE UPDATE ON inbox_versions FOR EACH ROW EXECUTE FUNCTION guard_inbox_version();

-- What is partitioned, into how long pieces, and the id under which it was forgotten on purpose.
CREATE TABLE bus_tables (
    name      text     NOT NULL CONSTRAINT bus_tables_pkey PRIMARY KEY,
    width     interval NOT NULL CONSTRAINT bus_tables_width_is_positive CHECK (width > interval '0'),
    kept_from uuid     NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
INSERT INTO bus_tables VALUES ('outbox', '1 day'), ('inbox', '7 days');

CREATE TABLE bus_partitions (
    partition text        NOT NULL CONSTRAINT bus_partitions_pkey PRIMARY KEY,
    parent    text        NOT NULL CONSTRAINT bus_partitions_of_a_table REFERENCES bus_tables,
    from_time timestamptz NOT NULL,
    to_time   timestamptz NOT NULL,
    CONSTRAINT bus_partitions_have_a_length CHECK (from_time < to_time)
);

-- The functions below are the owner's (SECURITY DEFINER): the role that a service works under need not own tables.

-- Makes partitions until two pieces of time beyond `at` have theirs. Appends do not wait for that: a table is made aside
-- and then attached. Returns how many.
CREATE FUNCTION bus_prepare(at timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    of        bus_tables;
    length_s  numeric;
    begins    timestamptz;
    name      text;
    made      integer := 0;
BEGIN
    FOR of IN SELECT * FROM bus_tables LOOP
        CONTINUE WHEN EXISTS (SELECT FROM bus_partitions WHERE parent = of.name AND to_time > at + 2 * of.width);
        -- One process makes them, others wait and then find them.
        LOCK TABLE bus_partitions IN SHARE ROW EXCLUSIVE MODE;
        length_s := extract(epoch FROM of.width);
        SELECT greatest(max(to_time), to_timestamp(floor(extract(epoch FROM at) / length_s) * length_s)) INTO begins
            FROM bus_partitions WHERE parent = of.name;
        WHILE begins <= at + 2 * of.width LOOP
            name := of.name || to_char(begins AT TIME ZONE 'UTC', '_YYYYMMDD_HH24MI');
            BEGIN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name, of.name);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                               of.name, name, bus_id_at(begins), bus_id_at(begins + of.width));
                INSERT INTO bus_partitions VALUES (name, of.name, begins, begins + of.width);
                made := made + 1;
            EXCEPTION WHEN check_violation THEN
                RAISE WARNING '%: rows of this time are in %_rest already, and stay there', name, of.name;
            END;
            begins := begins + of.width;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

-- Whether a partition of the outbox holds a row that the relay has not passed. By the index, whatever the statistics say:
-- appends may be waiting.
CREATE FUNCTION bus_unsent(partition text) RETURNS boolean LANGUAGE plpgsql SET search_path FROM CURRENT
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    unsent boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE (tx_id, seq) > ((SELECT tx_id FROM outbox_cursor), (SELECT seq FROM outbox_cursor)))',
                   partition) INTO unsent;
    RETURN unsent;
END $$;

-- How many seconds the first row behind the cursor has waited, and how many rows there are (`at_most` are counted), those
-- of transactions that the relay still waits for included. By the index, as above: it is asked all the time.
CREATE FUNCTION bus_waiting(at_most bigint, OUT age_s float8, OUT waiting bigint) LANGUAGE sql STABLE
    SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    SELECT coalesce((SELECT extract(epoch FROM clock_timestamp() - o.write_time)
                     FROM outbox_cursor c CROSS JOIN LATERAL (
                         SELECT write_time FROM outbox WHERE (tx_id, seq) > (c.tx_id, c.seq)
                         ORDER BY tx_id, seq LIMIT 1) o WHERE c.one), 0),
           (SELECT count(*)
            FROM outbox_cursor c CROSS JOIN LATERAL (
                SELECT FROM outbox WHERE (tx_id, seq) > (c.tx_id, c.seq) ORDER BY tx_id, seq LIMIT at_most) o
            WHERE c.one)
$$;

-- Numbers the outbox anew when it came from another server: ids of transactions that have not been here yet. From then on
-- its order is that of seq; what was sent after the first row that was not is sent again. False when there is nothing to do.
CREATE FUNCTION bus_rebase() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    sent_upto bigint;
BEGIN
    -- A transaction that can be seen has an id below xmax of the snapshot that sees it, and the cursor passes no other.
    IF NOT EXISTS (SELECT FROM outbox_cursor WHERE tx_id >= pg_snapshot_xmax(pg_current_snapshot()))
       AND NOT EXISTS (SELECT FROM outbox WHERE tx_id >= pg_snapshot_xmax(pg_current_snapshot())) THEN
        RETURN false;
    END IF;
    SELECT coalesce(min(seq) - 1, (SELECT max(seq) FROM outbox), 0) INTO sent_upto FROM outbox
        WHERE (tx_id, seq) > ((SELECT tx_id FROM outbox_cursor), (SELECT seq FROM outbox_cursor));
    UPDATE outbox SET tx_id = '0' WHERE tx_id <> '0';
    UPDATE outbox_cursor SET tx_id = '0', seq = sent_upto;
    RETURN true;
END $$;

-- Drops the oldest partition of a table if all of it is before this time. `name` is null when there is none; `dropped`
-- is false when it holds rows that the relay has not passed. Appends wait for it, so it waits for none of them for long.
CREATE FUNCTION bus_drop_oldest(of text, before timestamptz, OUT name text, OUT dropped boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '100ms' AS $$
DECLARE
    ends timestamptz;
BEGIN
    -- An older snapshot would not see the row that was committed just before the lock was had.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'bus_drop_oldest must see what is committed: call it outside of a transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    SELECT partition, to_time INTO name, ends FROM bus_partitions
        WHERE parent = of AND to_time <= before ORDER BY to_time LIMIT 1;
    IF name IS NULL THEN
        RETURN;
    END IF;
    dropped := false;
    IF of = 'outbox' AND bus_unsent(name) THEN
        RETURN;
    END IF;
    -- The table before its partition, as an append does.
    EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', of);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name);
    -- Asked again: nothing can be appended, and nobody republishes, from here on.
    IF of = 'outbox' AND bus_unsent(name) THEN
        RETURN;
    END IF;
    EXECUTE format('DROP TABLE %I', name);
    DELETE FROM bus_partitions WHERE partition = name;
    UPDATE bus_tables t SET kept_from = greatest(kept_from, bus_id_at(ends)) WHERE t.name = of;
    dropped := true;
END $$;

-- Deletes rows from before this time that have no partition to go with, and versions of aggregates that are long done;
-- some at a time. Returns how many.
CREATE FUNCTION bus_sweep(of text, before timestamptz, at_most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    swept    bigint;
    outdated bigint;
BEGIN
    CASE of
        WHEN 'outbox' THEN
            DELETE FROM outbox_rest WHERE event_id IN (
                SELECT event_id FROM outbox_rest
                WHERE write_time < before
                  AND (tx_id, seq) <= ((SELECT tx_id FROM outbox_cursor), (SELECT seq FROM outbox_cursor))
                LIMIT at_most);
            GET DIAGNOSTICS swept = ROW_COUNT;
        WHEN 'inbox' THEN
            DELETE FROM inbox_rest WHERE (consumer, event_id) IN (
                SELECT consumer, event_id FROM inbox_rest WHERE consume_time < before LIMIT at_most);
            GET DIAGNOSTICS swept = ROW_COUNT;
    END CASE;
    IF swept > 0 THEN
        UPDATE bus_tables t SET kept_from = greatest(kept_from, bus_id_at(before)) WHERE t.name = of;
    END IF;
    IF of = 'inbox' THEN
        DELETE FROM inbox_versions WHERE (consumer, subject) IN (
            SELECT consumer, subject FROM inbox_versions WHERE consume_time < before LIMIT at_most);
        GET DIAGNOSTICS outdated = ROW_COUNT;
        swept := swept + outdated;
    END IF;
    RETURN swept;
END $$;

-- An event from before the inbox's memory is refused: nobody knows whether it had its effect. Such ids have no partition
-- any more, so that only the rest has to ask.
CREATE FUNCTION guard_inbox_memory() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF get_byte(uuid_send(NEW.event_id), 6) >> 4 = 7
       AND NEW.event_id < (SELECT kept_from FROM bus_tables WHERE name = 'inbox')
       AND NOT EXISTS (SELECT FROM inbox_rest WHERE consumer = NEW.consumer AND event_id = NEW.event_id) THEN
        RAISE EXCEPTION 'event % is older than the inbox remembers: whether it had its effect is not known', NEW.event_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'inbox_remembers';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_memory BEFORE INSERT ON inbox_rest FOR EACH ROW EXECUTE FUNCTION guard_inbox_memory();

-- Gives a role what a service needs of all this, and no more: it appends, consumes and relays, and changes no event.
CREATE FUNCTION bus_grant(role text) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT ON outbox, inbox TO %I', role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON inbox_versions TO %I', role);
    EXECUTE format('GRANT SELECT, UPDATE ON outbox_cursor TO %I', role);
    EXECUTE format('GRANT SELECT ON bus_tables, bus_partitions TO %I', role);
END $$;
