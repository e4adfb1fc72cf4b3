-- The ledger: transfers (promises, resolved once) and journals of entries (what came true, never changed).
-- A balance is the sum of an account's entries: credits minus debits. Every journal sums to zero per currency.

CREATE DOMAIN account_name AS text CONSTRAINT account_known CHECK (
    VALUE IN ('processor', 'platform:revenue', 'platform:tax')
    OR VALUE ~ '^(riders|drivers)/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
);

CREATE TABLE transfers (
    id           uuid         PRIMARY KEY,
    intent       uuid         NOT NULL CONSTRAINT one_transfer_per_intent UNIQUE REFERENCES intents,
    debit        account_name NOT NULL,
    credit       account_name NOT NULL,
    currency     text         NOT NULL CONSTRAINT transfer_currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint       NOT NULL CONSTRAINT transfer_amount_positive CHECK (amount_minor > 0),
    state        text         NOT NULL CONSTRAINT transfer_state_known CHECK (state IN ('pending', 'posted', 'voided')),
    posted_minor bigint,
    created_at   timestamptz  NOT NULL,
    resolved_at  timestamptz,
    CONSTRAINT transfer_between_two CHECK (debit <> credit),
    CONSTRAINT transfer_posted_within
        CHECK (CASE WHEN state = 'posted' THEN posted_minor IS NOT NULL AND posted_minor BETWEEN 1 AND amount_minor
                    ELSE posted_minor IS NULL END),
    CONSTRAINT transfer_resolved_has_time CHECK ((state = 'pending') = (resolved_at IS NULL))
);
CREATE INDEX transfers_pending ON transfers (currency) INCLUDE (debit, credit, amount_minor) WHERE state = 'pending';

CREATE FUNCTION transfers_resolve_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' THEN
            RAISE EXCEPTION 'a transfer begins pending' USING ERRCODE = '23514', CONSTRAINT = 'transfer_begins_pending';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.state <> 'pending' OR NEW.state = 'pending'
        OR (NEW.id, NEW.intent, NEW.debit, NEW.credit, NEW.currency, NEW.amount_minor, NEW.created_at)
            IS DISTINCT FROM (OLD.id, OLD.intent, OLD.debit, OLD.credit, OLD.currency, OLD.amount_minor, OLD.created_at)
    THEN
        RAISE EXCEPTION 'transfer % is resolved once and never changed otherwise', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'transfer_resolved_once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transfers_resolve_once BEFORE INSERT OR UPDATE OR DELETE ON transfers
    FOR EACH ROW EXECUTE FUNCTION transfers_resolve_once();

CREATE TABLE journals (
    id         uuid        PRIMARY KEY,
    transfer   uuid        NOT NULL CONSTRAINT one_journal_per_transfer UNIQUE REFERENCES transfers,
    created_at timestamptz NOT NULL,
    tx         xid8        NOT NULL DEFAULT pg_current_xact_id() -- entries are made with their journal or never
);

CREATE TABLE entries (
    journal      uuid         NOT NULL REFERENCES journals,
    line         smallint     NOT NULL,
    account      account_name NOT NULL,
    currency     text         NOT NULL CONSTRAINT entry_currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint       NOT NULL CONSTRAINT entry_not_zero CHECK (amount_minor <> 0), -- credit positive, debit negative
    CONSTRAINT one_entry_per_line PRIMARY KEY (journal, line)
);
CREATE INDEX entries_of_account ON entries (account, currency) INCLUDE (amount_minor);

-- Append only: what was entered is answered by another entry, never changed.
CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append only' USING ERRCODE = '23514', CONSTRAINT = 'ledger_append_only';
END $$;
CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE ON entries FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER journals_append_only BEFORE UPDATE OR DELETE ON journals FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER entries_not_truncated BEFORE TRUNCATE ON entries FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER journals_not_truncated BEFORE TRUNCATE ON journals FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER transfers_not_truncated BEFORE TRUNCATE ON transfers FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();

CREATE FUNCTION entries_come_with_their_journal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM journals WHERE id = NEW.journal AND tx = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'journal % is closed', NEW.journal USING ERRCODE = '23514', CONSTRAINT = 'journal_sealed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER entries_come_with_their_journal BEFORE INSERT ON entries
    FOR EACH ROW EXECUTE FUNCTION entries_come_with_their_journal();

-- At commit: a journal sums to zero per currency, and moves on its transfer's debit account what the transfer posted.
CREATE FUNCTION journal_balances(checked uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM entries WHERE journal = checked)
        OR EXISTS (SELECT 1 FROM entries WHERE journal = checked GROUP BY currency HAVING sum(amount_minor) <> 0)
    THEN
        RAISE EXCEPTION 'journal % does not sum to zero', checked USING ERRCODE = '23514', CONSTRAINT = 'journal_balanced';
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM journals j JOIN transfers t ON t.id = j.transfer
        WHERE j.id = checked AND t.state = 'posted' AND t.posted_minor = (
            SELECT -coalesce(sum(amount_minor), 0) FROM entries
            WHERE journal = checked AND account = t.debit AND currency = t.currency))
    THEN
        RAISE EXCEPTION 'journal % is not what its transfer posted', checked
            USING ERRCODE = '23514', CONSTRAINT = 'journal_matches_transfer';
    END IF;
END $$;
CREATE FUNCTION journals_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM journal_balances(NEW.id); RETURN NULL; END $$;
CREATE FUNCTION entries_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM journal_balances(NEW.journal); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER journals_balance AFTER INSERT ON journals
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION journals_balance();
CREATE CONSTRAINT TRIGGER entries_balance AFTER INSERT ON entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION entries_balance();

-- At commit: an intent and its transfer tell the same story, and what was posted has its journal.
CREATE FUNCTION intent_agrees_with_ledger(checked uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM intents i JOIN transfers t ON t.intent = i.id
        WHERE i.id = checked AND t.amount_minor = i.held_minor AND t.currency = i.currency
          AND CASE i.state
              WHEN 'CAPTURED' THEN t.state = 'posted' AND t.posted_minor = i.captured_minor
                   AND EXISTS (SELECT 1 FROM journals WHERE transfer = t.id)
              WHEN 'VOIDED' THEN t.state = 'voided'
              WHEN 'DECLINED' THEN t.state = 'voided'
              ELSE t.state = 'pending' END)
    THEN
        RAISE EXCEPTION 'intent % and its transfer disagree', checked
            USING ERRCODE = '23514', CONSTRAINT = 'intent_agrees_with_ledger';
    END IF;
END $$;
CREATE FUNCTION intents_agree() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM intent_agrees_with_ledger(NEW.id); RETURN NULL; END $$;
CREATE FUNCTION transfers_agree() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM intent_agrees_with_ledger(NEW.intent); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER intents_agree AFTER INSERT OR UPDATE ON intents
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION intents_agree();
CREATE CONSTRAINT TRIGGER transfers_agree AFTER INSERT OR UPDATE ON transfers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION transfers_agree();
