-- What can be read of the ledger, and whether it is right.

-- Every account's sums in every currency.
CREATE VIEW ledger.trial_balance AS
SELECT account::text, currency::text,
       sum(debits_posted)::bigint AS debits_posted, sum(credits_posted)::bigint AS credits_posted,
       sum(debits_pending)::bigint AS debits_pending, sum(credits_pending)::bigint AS credits_pending
FROM ledger.balances
GROUP BY account, currency;

-- The same, from the entries alone.
CREATE VIEW ledger.entered AS
SELECT account::text, currency::text,
       coalesce(sum(posted_minor) FILTER (WHERE side = 'debit'), 0) AS debits_posted,
       coalesce(sum(posted_minor) FILTER (WHERE side = 'credit'), 0) AS credits_posted,
       coalesce(sum(pending_minor) FILTER (WHERE side = 'debit'), 0) AS debits_pending,
       coalesce(sum(pending_minor) FILTER (WHERE side = 'credit'), 0) AS credits_pending
FROM ledger.entries
GROUP BY account, currency;

-- Everything that must be true of the whole ledger, recomputed. No row: it is. Reads all of it; for `hexcab verify`.
CREATE VIEW ledger.violations (rule, subject) AS
SELECT 'entries sum to zero', currency::text
FROM ledger.entries GROUP BY currency
HAVING sum(CASE side WHEN 'credit' THEN posted_minor ELSE -posted_minor END) <> 0
    OR sum(CASE side WHEN 'credit' THEN pending_minor ELSE -pending_minor END) <> 0
UNION ALL
SELECT 'balances sum to zero', currency::text
FROM ledger.balances GROUP BY currency
HAVING sum(credits_posted - debits_posted) <> 0 OR sum(credits_pending - debits_pending) <> 0
UNION ALL
SELECT 'an entry is of a transfer', e.transfer::text
FROM ledger.entries e LEFT JOIN ledger.transfers t ON t.id = e.transfer WHERE t.id IS NULL
UNION ALL
SELECT 'a transfer has the two entries it says', t.id::text
FROM ledger.transfers t
WHERE (SELECT count(*) FROM ledger.entries e
       WHERE e.transfer = t.id AND e.currency = t.currency AND e.at = t.at
         AND e.account = CASE e.side WHEN 'debit' THEN t.debit ELSE t.credit END
         AND e.posted_minor = CASE t.kind WHEN 'pending' THEN 0 ELSE t.amount_minor END
         AND e.pending_minor = CASE t.kind WHEN 'pending' THEN t.amount_minor ELSE -coalesce(t.pending_minor, 0) END) <> 2
UNION ALL
SELECT 'a balance is the sum of its entries', account || ' ' || currency
FROM ledger.trial_balance b FULL JOIN ledger.entered e USING (account, currency)
WHERE (coalesce(b.debits_posted, 0), coalesce(b.credits_posted, 0), coalesce(b.debits_pending, 0), coalesce(b.credits_pending, 0))
   <> (coalesce(e.debits_posted, 0), coalesce(e.credits_posted, 0), coalesce(e.debits_pending, 0), coalesce(e.credits_pending, 0))
UNION ALL
SELECT 'promises are not below zero', account || ' ' || currency
FROM ledger.trial_balance WHERE debits_pending < 0 OR credits_pending < 0
UNION ALL
SELECT 'a pending transfer is resolved at most once', pending_id::text
FROM ledger.transfers WHERE pending_id IS NOT NULL GROUP BY pending_id HAVING count(*) > 1
UNION ALL
SELECT 'a resolution is of what was promised', r.id::text
FROM ledger.transfers r LEFT JOIN ledger.transfers p ON p.id = r.pending_id AND p.kind = 'pending'
WHERE r.pending_id IS NOT NULL
  AND (r.debit, r.credit, r.currency, r.pending_minor) IS DISTINCT FROM (p.debit, p.credit, p.currency, p.amount_minor)
UNION ALL
SELECT 'no more is posted than was promised', r.id::text
FROM ledger.transfers r JOIN ledger.transfers p ON p.id = r.pending_id WHERE r.amount_minor > p.amount_minor
UNION ALL
SELECT 'what has expired is not posted', r.id::text
FROM ledger.transfers r JOIN ledger.transfers p ON p.id = r.pending_id
WHERE r.kind = 'post_pending' AND r.at >= p.expires_at
UNION ALL
SELECT 'what is open is what is not resolved', coalesce(o.id, p.id)::text
FROM ledger.pendings o
FULL JOIN (SELECT * FROM ledger.transfers p WHERE kind = 'pending'
             AND NOT EXISTS (SELECT FROM ledger.transfers r WHERE r.pending_id = p.id)) AS p ON p.id = o.id
WHERE (o.debit, o.credit, o.currency, o.amount_minor, o.expires_at, o.reference)
    IS DISTINCT FROM (p.debit, p.credit, p.currency, p.amount_minor, p.expires_at, p.reference)
UNION ALL
SELECT 'a balance is within its limits', account || ' ' || currency
FROM ledger.balances
WHERE credits_posted - debits_posted - debits_pending < floor_minor
   OR credits_posted + credits_pending - debits_posted > ceiling_minor
UNION ALL
SELECT 'a group is whole', group_id::text
FROM ledger.transfers GROUP BY group_id
HAVING count(*) <> max(group_size) OR min(group_size) <> max(group_size) OR count(DISTINCT group_line) <> count(*);

GRANT SELECT ON ledger.trial_balance, ledger.entered, ledger.violations TO hexcab_payment;
