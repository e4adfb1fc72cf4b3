-- What the service asks before it writes. Each runs as the owner, since each locks rows that the service may not write.

-- Opens accounts that are new and locks all of them, in one order. An upsert that changes nothing, because under
-- SERIALIZABLE it reads the newest row or fails, and leaves no predicate lock on a page where others open accounts.
CREATE FUNCTION ledger.open(accounts text[], currencies text[]) RETURNS SETOF ledger.balances
    LANGUAGE sql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
    INSERT INTO balances (account, currency, shard)
    SELECT DISTINCT account, currency, 0 FROM unnest(accounts, currencies) AS wanted (account, currency)
    ORDER BY account, currency
    ON CONFLICT (account, currency, shard) DO UPDATE SET shard = excluded.shard
    RETURNING *
$$;

-- Sets or lifts an account's limits. Refused by balance_above_floor and balance_below_ceiling if it is beyond already.
CREATE FUNCTION ledger.set_limits(account text, currency text, floor_minor bigint, ceiling_minor bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
    INSERT INTO balances AS b (account, currency, shard, floor_minor, ceiling_minor)
    VALUES (set_limits.account, set_limits.currency, 0, NULL, NULL)
    ON CONFLICT (account, currency, shard) DO NOTHING;
    UPDATE balances b SET floor_minor = set_limits.floor_minor, ceiling_minor = set_limits.ceiling_minor
    WHERE b.account = set_limits.account AND b.currency = set_limits.currency AND b.shard = 0
$$;

-- Locks those of the pending transfers that are not resolved. Never by a scan of the table: that would be a predicate
-- lock on all of it.
CREATE FUNCTION ledger.take(wanted uuid[]) RETURNS SETOF ledger.pendings
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    one uuid;
BEGIN
    FOR one IN SELECT DISTINCT unnest(wanted) ORDER BY 1 LOOP
        RETURN QUERY SELECT * FROM pendings WHERE id = one FOR UPDATE;
    END LOOP;
END $$;

-- Locks pending transfers whose time is over, the longest over first; those that others hold are left to them.
CREATE FUNCTION ledger.due(now timestamptz, most bigint) RETURNS SETOF ledger.pendings
    LANGUAGE sql SECURITY DEFINER SET search_path = ledger, pg_temp SET enable_seqscan = off AS $$
    SELECT * FROM pendings WHERE expires_at <= now ORDER BY expires_at, id LIMIT most FOR UPDATE SKIP LOCKED
$$;
