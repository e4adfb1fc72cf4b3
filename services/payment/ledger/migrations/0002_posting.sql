-- What follows from transfers that were added, and who may write what.

-- A transfer ends its pending one: as it was promised, in time, once.
CREATE FUNCTION ledger.resolve(given ledger.transfers) RETURNS void LANGUAGE plpgsql
    SET search_path = ledger, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    promised pendings;
BEGIN
    DELETE FROM pendings WHERE id = given.pending_id RETURNING * INTO promised;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'transfer % is not pending', given.pending_id USING ERRCODE = '23514', CONSTRAINT = 'pending_open';
    END IF;
    IF (given.debit, given.credit, given.currency, given.pending_minor)
        IS DISTINCT FROM (promised.debit, promised.credit, promised.currency, promised.amount_minor)
    THEN
        RAISE EXCEPTION 'transfer % resolves something else than was promised', given.id
            USING ERRCODE = '23514', CONSTRAINT = 'resolution_matches_pending';
    END IF;
    IF given.kind = 'post_pending' AND given.at >= promised.expires_at THEN
        RAISE EXCEPTION 'transfer % has expired', given.pending_id USING ERRCODE = '23514', CONSTRAINT = 'pending_in_time';
    END IF;
END $$;

-- Runs once per statement that adds transfers, as the owner of the tables.
CREATE FUNCTION ledger.post() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
DECLARE
    given  transfers;
    shards smallint;
BEGIN
    IF EXISTS (SELECT FROM added GROUP BY group_id
               HAVING count(*) <> max(group_size) OR min(group_size) <> max(group_size)
                   OR count(DISTINCT group_line) <> count(*))
    THEN
        RAISE EXCEPTION 'a group of transfers is written as a whole' USING ERRCODE = '23514', CONSTRAINT = 'group_complete';
    END IF;

    INSERT INTO pendings (id, debit, credit, currency, amount_minor, expires_at, reference)
    SELECT id, debit, credit, currency, amount_minor, expires_at, reference FROM added WHERE kind = 'pending';
    FOR given IN SELECT * FROM added WHERE pending_id IS NOT NULL ORDER BY pending_id LOOP
        PERFORM resolve(given);
    END LOOP;

    INSERT INTO entries (transfer, side, account, currency, posted_minor, pending_minor, at)
    SELECT a.id, line.side, line.account, a.currency,
           CASE WHEN a.kind = 'pending' THEN 0 ELSE a.amount_minor END,
           CASE WHEN a.kind = 'pending' THEN a.amount_minor ELSE -coalesce(a.pending_minor, 0) END,
           a.at
    FROM added a CROSS JOIN LATERAL (VALUES (1, 'debit', a.debit), (2, 'credit', a.credit)) AS line (n, side, account)
    ORDER BY a.group_id, a.group_line, line.n;

    -- A group is on one shard of every hot account, so two groups meet on a hot row once in `hot_shards` times.
    SELECT hot_shards INTO STRICT shards FROM settings;
    INSERT INTO balances AS b (account, currency, shard, debits_posted, credits_posted, debits_pending, credits_pending)
    SELECT account, currency, shard, sum(debit * posted), sum(credit * posted), sum(debit * pending), sum(credit * pending)
    FROM (
        SELECT line.account, a.currency, line.debit, line.credit,
               CASE WHEN is_hot(line.account) THEN abs(uuid_hash_extended(a.group_id, 0) % shards) ELSE 0 END AS shard,
               CASE WHEN a.kind = 'pending' THEN 0 ELSE a.amount_minor END AS posted,
               CASE WHEN a.kind = 'pending' THEN a.amount_minor ELSE -coalesce(a.pending_minor, 0) END AS pending
        FROM added a CROSS JOIN LATERAL (VALUES (a.debit, 1, 0), (a.credit, 0, 1)) AS line (account, debit, credit)
    ) AS moves
    GROUP BY account, currency, shard
    ORDER BY account, currency, shard -- always in one order: no deadlock
    ON CONFLICT (account, currency, shard) DO UPDATE SET
        debits_posted = b.debits_posted + excluded.debits_posted,
        credits_posted = b.credits_posted + excluded.credits_posted,
        debits_pending = b.debits_pending + excluded.debits_pending,
        credits_pending = b.credits_pending + excluded.credits_pending;
    RETURN NULL;
END $$;
CREATE TRIGGER transfers_post AFTER INSERT ON ledger.transfers REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.post();

-- At commit: what was entered sums to zero in every currency, the posted and the promised each. The sums run along in
-- the transaction itself (a setting that is undone with it), so that checking them reads no table.
CREATE FUNCTION ledger.entries_add_up() RETURNS trigger LANGUAGE plpgsql SET search_path = ledger, pg_temp AS $$
DECLARE
    before jsonb := coalesce(nullif(current_setting('hexcab_ledger.sums', true), ''), '{}');
    after  jsonb;
BEGIN
    SELECT coalesce(jsonb_object_agg(key, total), '{}') INTO after FROM (
        SELECT key, sum(amount) AS total FROM (
            SELECT currency || ' posted' AS key, CASE side WHEN 'credit' THEN posted_minor ELSE -posted_minor END AS amount
            FROM added
            UNION ALL
            SELECT currency || ' pending', CASE side WHEN 'credit' THEN pending_minor ELSE -pending_minor END FROM added
            UNION ALL
            SELECT key, value::numeric FROM jsonb_each_text(before)
        ) AS lines
        GROUP BY key HAVING sum(amount) <> 0
    ) AS sums;
    PERFORM set_config('hexcab_ledger.sums', after::text, true);
    RETURN NULL;
END $$;
CREATE TRIGGER entries_add_up AFTER INSERT ON ledger.entries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.entries_add_up();

CREATE FUNCTION ledger.entries_sum_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('hexcab_ledger.sums', true), '') NOT IN ('', '{}') THEN
        RAISE EXCEPTION 'the entries do not sum to zero: %', current_setting('hexcab_ledger.sums')
            USING ERRCODE = '23514', CONSTRAINT = 'entries_sum_to_zero';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entries_sum_to_zero AFTER INSERT ON ledger.entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.entries_sum_to_zero();

-- Append only: what was entered is answered by another transfer, never changed.
CREATE FUNCTION ledger.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on ledger.% is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '23514', CONSTRAINT = TG_ARGV[0];
END $$;
CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.transfers
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse('ledger_append_only');
CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse('ledger_append_only');

-- What is derived is written by the trigger of the transfers only (depth 1), never by a statement of its own (depth 0).
CREATE TRIGGER entries_follow_transfers BEFORE INSERT ON ledger.entries
    FOR EACH STATEMENT WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION ledger.refuse('entries_follow_transfers');
CREATE TRIGGER pendings_follow_transfers BEFORE INSERT OR UPDATE OR DELETE ON ledger.pendings
    FOR EACH STATEMENT WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION ledger.refuse('pendings_follow_transfers');
CREATE TRIGGER pendings_not_truncated BEFORE TRUNCATE ON ledger.pendings
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse('pendings_follow_transfers');
CREATE TRIGGER balances_begin_at_zero BEFORE INSERT ON ledger.balances
    FOR EACH ROW WHEN (pg_trigger_depth() < 1
        AND (NEW.debits_posted, NEW.credits_posted, NEW.debits_pending, NEW.credits_pending) <> (0, 0, 0, 0))
    EXECUTE FUNCTION ledger.refuse('balances_follow_transfers');
CREATE TRIGGER balances_follow_transfers BEFORE UPDATE ON ledger.balances
    FOR EACH ROW WHEN (pg_trigger_depth() < 1
        AND (NEW.account, NEW.currency, NEW.shard,
             NEW.debits_posted, NEW.credits_posted, NEW.debits_pending, NEW.credits_pending)
         <> (OLD.account, OLD.currency, OLD.shard,
             OLD.debits_posted, OLD.credits_posted, OLD.debits_pending, OLD.credits_pending))
    EXECUTE FUNCTION ledger.refuse('balances_follow_transfers');
CREATE TRIGGER balances_kept BEFORE DELETE OR TRUNCATE ON ledger.balances
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse('balances_follow_transfers');
