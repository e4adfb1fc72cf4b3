-- The service's role: it adds transfers, calls the functions, and reads. No UPDATE, DELETE or TRUNCATE on anything here.
-- Roles belong to the whole cluster and many databases may be migrated at once, so losing that race is fine.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hexcab_payment') THEN
        CREATE ROLE hexcab_payment NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;
-- Whoever migrates may become it; a superuser may anyhow.
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'hexcab_payment', 'MEMBER') THEN
        EXECUTE format('GRANT hexcab_payment TO %I', current_user);
    END IF;
END $$;

-- A schema is nobody's but its owner's; functions are everybody's until it is said otherwise.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO hexcab_payment;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO hexcab_payment;
GRANT INSERT ON ledger.transfers TO hexcab_payment;
GRANT EXECUTE ON FUNCTION ledger.is_hot(text), ledger.open(text[], text[]),
    ledger.set_limits(text, text, bigint, bigint), ledger.take(uuid[]), ledger.due(timestamptz, bigint)
    TO hexcab_payment;
