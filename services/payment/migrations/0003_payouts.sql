-- Payouts to drivers: batches and their lines. Times are the city's.

CREATE TABLE payouts (
    id            uuid        PRIMARY KEY,
    currency      text        NOT NULL CONSTRAINT payout_currency_iso CHECK (currency ~ '^[A-Z]{3}$'),
    as_of         timestamptz NOT NULL,
    minimum_minor bigint      NOT NULL CONSTRAINT payout_minimum_positive CHECK (minimum_minor > 0),
    line_count    integer     NOT NULL CONSTRAINT payout_not_empty CHECK (line_count > 0),
    total_minor   bigint      NOT NULL,
    sha256        bytea       NOT NULL CONSTRAINT payout_file_is_sha256 CHECK (length(sha256) = 32),
    state         text        NOT NULL CONSTRAINT payout_state_known CHECK (state IN ('OPEN', 'CONFIRMED')),
    created_at    timestamptz NOT NULL,
    confirmed_at  timestamptz,
    CONSTRAINT payout_as_of_past CHECK (as_of <= created_at),
    CONSTRAINT payout_confirmed_has_time CHECK ((state = 'OPEN') = (confirmed_at IS NULL))
);

CREATE TABLE payout_lines (
    payout       uuid     NOT NULL REFERENCES payouts,
    number       integer  NOT NULL,
    driver       uuid     NOT NULL,
    currency     text     NOT NULL,
    amount_minor bigint   NOT NULL CONSTRAINT payout_line_amount_positive CHECK (amount_minor > 0),
    transfer     uuid     NOT NULL CONSTRAINT one_line_per_transfer UNIQUE, -- the pending one in the ledger
    state        text     NOT NULL CONSTRAINT payout_line_state_known CHECK (state IN ('PENDING', 'PAID', 'FAILED')),
    failure      text,
    CONSTRAINT one_line_per_number PRIMARY KEY (payout, number),
    CONSTRAINT one_line_per_driver UNIQUE (payout, driver),
    CONSTRAINT payout_line_failed_has_reason CHECK ((state = 'FAILED') = (failure IS NOT NULL))
);
CREATE UNIQUE INDEX one_open_payout_per_driver ON payout_lines (driver, currency) WHERE state = 'PENDING';

CREATE FUNCTION payouts_are_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state NOT IN ('OPEN', 'PENDING') THEN
            PERFORM refuse('payout_begins_open', 'nobody is paid before the bank said so');
        END IF;
        RETURN NEW;
    END IF;
    IF to_jsonb(NEW) - '{state,failure,confirmed_at}'::text[] <> to_jsonb(OLD) - '{state,failure,confirmed_at}'::text[]
        OR (OLD.state NOT IN ('OPEN', 'PENDING') AND NEW IS DISTINCT FROM OLD)
    THEN
        PERFORM refuse('payout_fixed', 'a payout is confirmed once and never changed otherwise');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payouts_are_fixed BEFORE INSERT OR UPDATE ON payouts FOR EACH ROW EXECUTE FUNCTION payouts_are_fixed();
CREATE TRIGGER payout_lines_are_fixed BEFORE INSERT OR UPDATE ON payout_lines FOR EACH ROW EXECUTE FUNCTION payouts_are_fixed();
CREATE TRIGGER payouts_are_kept BEFORE DELETE OR TRUNCATE ON payouts FOR EACH STATEMENT EXECUTE FUNCTION are_kept('payouts_kept');
CREATE TRIGGER payout_lines_are_kept BEFORE DELETE OR TRUNCATE ON payout_lines
    FOR EACH STATEMENT EXECUTE FUNCTION are_kept('payouts_kept');

-- At commit: a batch is its lines, and open as long as one of them is.
CREATE FUNCTION payout_agrees_with_lines(checked uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM payouts p JOIN payout_lines l ON l.payout = p.id WHERE p.id = checked GROUP BY p.id
        HAVING count(*) = p.line_count AND sum(l.amount_minor) = p.total_minor AND max(l.number) = p.line_count
           AND bool_and(l.currency = p.currency) AND bool_and((l.state = 'PENDING') = (p.state = 'OPEN')))
    THEN
        PERFORM refuse('payout_agrees_with_lines', format('payout %s and its lines disagree', checked));
    END IF;
END $$;
CREATE FUNCTION payouts_agree() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM payout_agrees_with_lines(NEW.id); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER payouts_agree AFTER INSERT OR UPDATE ON payouts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payouts_agree();

-- At commit: a line is pending, posted or void in the ledger as it says, for its driver and amount, and when it is made no
-- more than he is owed. A line of a batch that is not new belongs to one that is confirmed with it.
CREATE FUNCTION payout_line_agrees_with_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    line payout_lines;
BEGIN
    SELECT * INTO STRICT line FROM payout_lines WHERE payout = NEW.payout AND number = NEW.number;
    IF NOT EXISTS (
        SELECT FROM ledger.transfers t LEFT JOIN ledger.transfers r ON r.pending_id = t.id
        WHERE t.id = line.transfer AND t.kind = 'pending' AND t.reference = line.payout AND t.debit = 'drivers/' || line.driver
          AND t.credit = 'platform:payouts' AND t.currency = line.currency AND t.amount_minor = line.amount_minor
          AND CASE line.state WHEN 'PENDING' THEN r.id IS NULL
                              WHEN 'PAID' THEN r.kind = 'post_pending' AND r.amount_minor = t.amount_minor
                              WHEN 'FAILED' THEN r.kind = 'void_pending' END)
    THEN
        PERFORM refuse('payout_line_agrees_with_ledger', format('line %s of payout %s and the ledger disagree', NEW.number, NEW.payout));
    END IF;
    IF TG_OP = 'INSERT' AND 0 > (
        SELECT sum(credits_posted - debits_posted - debits_pending) FROM ledger.balances
        WHERE account = 'drivers/' || line.driver AND currency = line.currency)
    THEN
        PERFORM refuse('payout_within_owed', format('driver %s would be paid more than he is owed', line.driver));
    END IF;
    IF NOT EXISTS (SELECT FROM payouts WHERE id = line.payout AND (state = 'OPEN') = (line.state = 'PENDING')) THEN
        PERFORM refuse('payout_agrees_with_lines', format('payout %s and its lines disagree', line.payout));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER payout_lines_agree AFTER INSERT OR UPDATE ON payout_lines
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payout_line_agrees_with_ledger();
