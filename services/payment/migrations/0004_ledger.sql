-- An intent and its ledger tell the same story: what every account got of a trip, posted and promised, is what the rows of
-- its intent, extras, refunds and disputes say. Recomputed at commit, after every change of either side.

-- What the rows of an intent say that every account got. Credits minus debits.
CREATE FUNCTION intent_story(of uuid) RETURNS TABLE (account text, posted numeric, pending numeric) LANGUAGE sql STABLE AS $$
    WITH i AS (
        SELECT *, 'riders/' || rider AS who_pays, 'drivers/' || driver AS who_drove,
               coalesce(state IN ('CAPTURED', 'PARTLY_REFUNDED', 'REFUNDED', 'CAPTURE_FAILED', 'VOIDED', 'CASH_COLLECTED', 'OWED')
                        OR (state = 'DECLINED' AND owed_minor IS NOT NULL), false) AS settled,
               method = 'CARD' AND state IN ('REQUIRES_HOLD', 'HELD', 'UNKNOWN') AS promised,
               state = 'CASH_COLLECTED' AS cash
        FROM intents WHERE id = of),
    lines (account, posted, pending) AS (
        -- the hold, and what was captured of it
        SELECT 'processor', -captured_minor, CASE WHEN promised THEN -amount_minor - raise_minor ELSE 0 END FROM i
        UNION ALL
        SELECT who_pays, captured_minor, CASE WHEN promised THEN amount_minor + raise_minor ELSE 0 END FROM i
        -- whose the charge is, whoever owes it
        UNION ALL SELECT who_pays, -charge_minor, 0 FROM i WHERE settled
        UNION ALL SELECT who_drove, driver_due_minor, 0 FROM i WHERE settled AND driver_due_minor > 0
        UNION ALL SELECT 'platform:tax', tax_minor, 0 FROM i WHERE settled
        UNION ALL SELECT 'platform:revenue', charge_minor - driver_due_minor - tax_minor, 0 FROM i WHERE settled
        -- the driver has the cash
        UNION ALL SELECT who_drove, -charge_minor, 0 FROM i WHERE cash
        UNION ALL SELECT who_pays, charge_minor, 0 FROM i WHERE cash
        -- charges beside the hold
        UNION ALL
        SELECT 'processor', CASE x.state WHEN 'DONE' THEN -x.amount_minor ELSE 0 END,
               CASE WHEN x.state IN ('AWAITED', 'UNKNOWN') THEN -x.amount_minor ELSE 0 END
        FROM i JOIN extras x ON x.intent = i.id
        UNION ALL
        SELECT who_pays, CASE WHEN x.state = 'DONE' AND x.kind = 'REST' THEN x.amount_minor ELSE 0 END,
               CASE WHEN x.state IN ('AWAITED', 'UNKNOWN') THEN x.amount_minor ELSE 0 END
        FROM i JOIN extras x ON x.intent = i.id
        UNION ALL
        SELECT 'drivers/' || x.driver, x.amount_minor, 0
        FROM i JOIN extras x ON x.intent = i.id WHERE x.state = 'DONE' AND x.kind = 'TIP'
        -- refunds
        UNION ALL
        SELECT 'processor', CASE r.state WHEN 'DONE' THEN r.amount_minor ELSE 0 END,
               CASE WHEN r.state IN ('AWAITED', 'UNKNOWN') THEN r.amount_minor ELSE 0 END
        FROM i JOIN refunds r ON r.intent = i.id
        UNION ALL
        SELECT who_pays, 0, CASE WHEN r.state IN ('AWAITED', 'UNKNOWN') THEN -r.amount_minor ELSE 0 END
        FROM i JOIN refunds r ON r.intent = i.id
        UNION ALL SELECT who_drove, -r.driver_minor, 0 FROM i JOIN refunds r ON r.intent = i.id WHERE r.state = 'DONE'
        UNION ALL SELECT 'platform:tax', -r.tax_minor, 0 FROM i JOIN refunds r ON r.intent = i.id WHERE r.state = 'DONE'
        UNION ALL
        SELECT 'platform:revenue', r.driver_minor + r.tax_minor - r.amount_minor, 0
        FROM i JOIN refunds r ON r.intent = i.id WHERE r.state = 'DONE'
        -- chargebacks
        UNION ALL
        SELECT 'processor', CASE d.state WHEN 'WON' THEN 0 ELSE d.amount_minor END, 0 FROM i JOIN disputes d ON d.intent = i.id
        UNION ALL
        SELECT 'processor:disputes', CASE d.state WHEN 'OPEN' THEN -d.amount_minor ELSE 0 END, 0
        FROM i JOIN disputes d ON d.intent = i.id
        UNION ALL
        SELECT 'platform:losses', CASE d.state WHEN 'LOST' THEN -d.amount_minor ELSE 0 END, 0
        FROM i JOIN disputes d ON d.intent = i.id)
    SELECT account, sum(posted), sum(pending) FROM lines WHERE account IS NOT NULL GROUP BY account
    HAVING sum(posted) <> 0 OR sum(pending) <> 0
$$;

-- What the ledger says of it.
CREATE FUNCTION ledger_story(of uuid) RETURNS TABLE (account text, posted numeric, pending numeric) LANGUAGE sql STABLE AS $$
    SELECT line.account::text, sum(line.sign * CASE t.kind WHEN 'pending' THEN 0 ELSE t.amount_minor END),
           sum(line.sign * CASE t.kind WHEN 'pending' THEN t.amount_minor ELSE -coalesce(t.pending_minor, 0) END)
    FROM ledger.transfers t CROSS JOIN LATERAL (VALUES (t.debit, -1), (t.credit, 1)) AS line (account, sign)
    WHERE t.reference = of GROUP BY line.account
    HAVING sum(line.sign * CASE t.kind WHEN 'pending' THEN 0 ELSE t.amount_minor END) <> 0
        OR sum(line.sign * CASE t.kind WHEN 'pending' THEN t.amount_minor ELSE -coalesce(t.pending_minor, 0) END) <> 0
$$;

CREATE FUNCTION intent_agrees_with_ledger(checked uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    SELECT string_agg(format('%s: rows %s/%s, ledger %s/%s', account, s.posted, s.pending, l.posted, l.pending), '; ') INTO said
    FROM intent_story(checked) s FULL JOIN ledger_story(checked) l USING (account)
    WHERE (s.posted, s.pending) IS DISTINCT FROM (l.posted, l.pending);
    IF said IS NOT NULL THEN
        PERFORM refuse('intent_agrees_with_ledger', format('intent %s and its ledger disagree: %s', checked, said));
    END IF;
END $$;

CREATE FUNCTION intents_agree() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM intent_agrees_with_ledger(NEW.id); RETURN NULL; END $$;
CREATE FUNCTION parts_agree() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM intent_agrees_with_ledger(NEW.intent); RETURN NULL; END $$;
-- Of a group, one line for each intent that it is about. What is about no intent (payouts, settlements with the bank,
-- corrections) is not a trip's money.
CREATE FUNCTION transfers_agree() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.group_line > 1 AND EXISTS (SELECT FROM ledger.transfers WHERE id = NEW.group_id AND reference = NEW.reference) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM intents WHERE id = NEW.reference) THEN
        PERFORM intent_agrees_with_ledger(NEW.reference);
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER intents_agree AFTER INSERT OR UPDATE ON intents
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION intents_agree();
CREATE CONSTRAINT TRIGGER extras_agree AFTER INSERT OR UPDATE ON extras
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION parts_agree();
CREATE CONSTRAINT TRIGGER refunds_agree AFTER INSERT OR UPDATE ON refunds
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION parts_agree();
CREATE CONSTRAINT TRIGGER disputes_agree AFTER INSERT OR UPDATE ON disputes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION parts_agree();
CREATE CONSTRAINT TRIGGER transfers_agree AFTER INSERT ON ledger.transfers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION transfers_agree();
