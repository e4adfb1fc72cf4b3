-- What a rider owes because his hold was declined and his trip cost something all the same (the answer came after the
-- start, or after a late cancellation): the charge is entered as his debt, in a journal of no transfer, once per intent.

ALTER TABLE journals ALTER COLUMN transfer DROP NOT NULL;
ALTER TABLE journals ADD COLUMN debt_of uuid CONSTRAINT one_debt_per_intent UNIQUE REFERENCES intents;
ALTER TABLE journals ADD CONSTRAINT journal_of_transfer_or_debt CHECK (num_nonnulls(transfer, debt_of) = 1);

-- At commit: a journal sums to zero per currency, and is what its transfer posted or what its declined intent charges.
CREATE OR REPLACE FUNCTION journal_balances(checked uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    of_debt boolean := EXISTS (SELECT 1 FROM journals WHERE id = checked AND debt_of IS NOT NULL);
BEGIN
    IF NOT EXISTS (SELECT 1 FROM entries WHERE journal = checked)
        OR EXISTS (SELECT 1 FROM entries WHERE journal = checked GROUP BY currency HAVING sum(amount_minor) <> 0)
    THEN
        RAISE EXCEPTION 'journal % does not sum to zero', checked USING ERRCODE = '23514', CONSTRAINT = 'journal_balanced';
    END IF;
    IF NOT of_debt AND NOT EXISTS (
        SELECT 1 FROM journals j JOIN transfers t ON t.id = j.transfer
        WHERE j.id = checked AND t.state = 'posted' AND t.posted_minor = (
            SELECT -coalesce(sum(amount_minor), 0) FROM entries
            WHERE journal = checked AND account = t.debit AND currency = t.currency))
    THEN
        RAISE EXCEPTION 'journal % is not what its transfer posted', checked
            USING ERRCODE = '23514', CONSTRAINT = 'journal_matches_transfer';
    END IF;
    IF of_debt AND NOT EXISTS (
        SELECT 1 FROM journals j JOIN intents i ON i.id = j.debt_of JOIN work w ON w.intent = i.id AND w.step = 'capture'
        WHERE j.id = checked AND i.state = 'DECLINED'
          AND w.charge_minor = (
            SELECT -coalesce(sum(amount_minor), 0) FROM entries
            WHERE journal = checked AND account = 'riders/' || i.rider AND currency = i.currency)
          AND coalesce(w.driver_pay_minor, 0) = (
            SELECT coalesce(sum(amount_minor), 0) FROM entries
            WHERE journal = checked AND account = 'drivers/' || w.driver AND currency = i.currency)
          AND NOT EXISTS (SELECT 1 FROM entries WHERE journal = checked AND account = 'processor'))
    THEN
        RAISE EXCEPTION 'journal % is not what its declined intent charges', checked
            USING ERRCODE = '23514', CONSTRAINT = 'journal_matches_debt';
    END IF;
END $$;

-- Charges that were given up before there were debts are carried out now.
UPDATE work SET finished_at = NULL, due_at = now()
WHERE step = 'capture' AND finished_at IS NOT NULL AND intent IN (SELECT id FROM intents WHERE state = 'DECLINED');

-- At commit: a charge on a declined hold does not end without its debt.
CREATE FUNCTION declined_charge_is_owed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM intents WHERE id = NEW.intent AND state = 'DECLINED')
        AND NOT EXISTS (SELECT 1 FROM journals WHERE debt_of = NEW.intent)
    THEN
        RAISE EXCEPTION 'the charge of intent % is neither taken nor owed', NEW.intent
            USING ERRCODE = '23514', CONSTRAINT = 'declined_charge_is_owed';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER declined_charge_is_owed AFTER INSERT OR UPDATE ON work
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.step = 'capture' AND NEW.finished_at IS NOT NULL)
    EXECUTE FUNCTION declined_charge_is_owed();
