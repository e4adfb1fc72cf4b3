-- The ledger. One table is written: transfers, append only. A trigger derives everything else from the rows added:
-- entries (two a transfer), open pendings, balances. Nobody else may write those, whoever is connected.
--
-- Guards take no predicate locks where others insert: under SERIALIZABLE a look at a page that everybody appends to
-- makes false conflicts. Hence no foreign keys among these tables; what they would hold, the trigger holds (it is the
-- only writer), and ledger.violations recomputes.

CREATE SCHEMA ledger;

CREATE DOMAIN ledger.account_name AS text CONSTRAINT account_known CHECK (
    VALUE IN ('processor', 'processor:disputes', 'platform:revenue', 'platform:tax', 'platform:fees',
              'platform:losses', 'platform:payouts', 'bank')
    OR VALUE ~ '^(riders|drivers)/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
);
CREATE DOMAIN ledger.currency_code AS text CONSTRAINT currency_iso CHECK (VALUE ~ '^[A-Z]{3}$');
CREATE DOMAIN ledger.transfer_code AS text CONSTRAINT code_known CHECK (VALUE IN (
    'hold', 'capture', 'release', 'expiry', 'driver_share', 'tax', 'platform_fee', 'cancellation_fee',
    'no_show_fee', 'waiting_fee', 'tip', 'cash_collected', 'cash_commission', 'debt_payment', 'write_off', 'refund',
    'chargeback', 'chargeback_reversal', 'dispute_fee', 'processor_fee', 'payout', 'payout_return', 'settlement',
    'adjustment'
));

-- Accounts that every ride touches. Their balances are spread over shards, so they cannot have limits.
CREATE FUNCTION ledger.is_hot(account text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN account IN ('processor', 'platform:revenue', 'platform:tax');

-- One row. Shards may be changed at any time: a balance is the sum of its shards, however many there were.
CREATE TABLE ledger.settings (
    one        boolean  PRIMARY KEY DEFAULT true CONSTRAINT settings_one CHECK (one),
    hot_shards smallint NOT NULL DEFAULT 1024 CONSTRAINT hot_shards_within CHECK (hot_shards BETWEEN 1 AND 16384)
);
INSERT INTO ledger.settings DEFAULT VALUES;

-- Facts, never changed. A group is written by one statement, all of it or nothing.
CREATE TABLE ledger.transfers (
    id            uuid                 CONSTRAINT transfer_once PRIMARY KEY,
    kind          text                 NOT NULL CONSTRAINT transfer_kind_known
                                       CHECK (kind IN ('posted', 'pending', 'post_pending', 'void_pending')),
    debit         ledger.account_name  NOT NULL,
    credit        ledger.account_name  NOT NULL,
    currency      ledger.currency_code NOT NULL,
    amount_minor  bigint               NOT NULL, -- what is posted or promised; nothing for a void
    pending_id    uuid,                          -- the pending transfer that this one resolves
    pending_minor bigint,                        -- and what had been promised by it
    expires_at    timestamptz,                   -- of a pending one: from then on it can only be voided
    code          ledger.transfer_code NOT NULL,
    reference     uuid                 NOT NULL, -- the trip or intent it is about
    at            timestamptz          NOT NULL, -- the city's time
    group_id      uuid                 NOT NULL, -- the id of the group's first transfer
    group_line    smallint             NOT NULL,
    group_size    smallint             NOT NULL,
    CONSTRAINT transfer_between_two CHECK (debit <> credit),
    CONSTRAINT transfer_amount_within CHECK (
        CASE WHEN kind = 'void_pending' THEN amount_minor = 0 ELSE amount_minor BETWEEN 1 AND 1000000000000000 END),
    CONSTRAINT transfer_resolves CHECK (
        CASE WHEN kind IN ('post_pending', 'void_pending') THEN pending_id IS NOT NULL AND pending_minor IS NOT NULL
             ELSE pending_id IS NULL AND pending_minor IS NULL END),
    CONSTRAINT transfer_posts_within_pending CHECK (amount_minor <= pending_minor),
    CONSTRAINT transfer_expires_later CHECK (expires_at IS NULL OR (kind = 'pending' AND expires_at > at)),
    CONSTRAINT transfer_in_group CHECK (group_size BETWEEN 1 AND 64 AND group_line BETWEEN 1 AND group_size)
);
CREATE UNIQUE INDEX pending_resolved_once ON ledger.transfers (pending_id) WHERE pending_id IS NOT NULL;
CREATE INDEX transfers_of_reference ON ledger.transfers (reference);

-- What transfers did to accounts: two lines each. Derived, never changed.
CREATE TABLE ledger.entries (
    seq           bigint GENERATED ALWAYS AS IDENTITY,
    transfer      uuid                 NOT NULL,
    side          text                 NOT NULL CONSTRAINT entry_side_known CHECK (side IN ('debit', 'credit')),
    account       ledger.account_name  NOT NULL,
    currency      ledger.currency_code NOT NULL,
    posted_minor  bigint               NOT NULL CONSTRAINT entry_posted_not_negative CHECK (posted_minor >= 0),
    pending_minor bigint               NOT NULL, -- below zero when a promise ends
    at            timestamptz          NOT NULL,
    CONSTRAINT entry_once_per_side PRIMARY KEY (transfer, side)
);
CREATE INDEX entries_of_account ON ledger.entries (account, currency, at, seq) INCLUDE (side, posted_minor)
    WHERE posted_minor > 0;

-- Pending transfers that are not resolved. Derived.
CREATE TABLE ledger.pendings (
    id           uuid                 PRIMARY KEY,
    debit        ledger.account_name  NOT NULL,
    credit       ledger.account_name  NOT NULL,
    currency     ledger.currency_code NOT NULL,
    amount_minor bigint               NOT NULL,
    expires_at   timestamptz,
    reference    uuid                 NOT NULL
);
CREATE INDEX pendings_by_expiry ON ledger.pendings (expires_at, id) WHERE expires_at IS NOT NULL;

-- Sums of entries. Derived; only the limits are set. The balance is credits minus debits: what is owed to somebody is
-- positive, what he owes negative. Limits count promises that would bring it nearer to them, and none that help.
-- "Debits must not exceed credits" is a floor of zero, "credits must not exceed debits" a ceiling of zero.
CREATE TABLE ledger.balances (
    account         ledger.account_name  NOT NULL,
    currency        ledger.currency_code NOT NULL,
    shard           smallint             NOT NULL DEFAULT 0,
    debits_posted   bigint               NOT NULL DEFAULT 0,
    credits_posted  bigint               NOT NULL DEFAULT 0,
    debits_pending  bigint               NOT NULL DEFAULT 0,
    credits_pending bigint               NOT NULL DEFAULT 0,
    floor_minor     bigint,
    ceiling_minor   bigint,
    PRIMARY KEY (account, currency, shard),
    CONSTRAINT balance_above_floor CHECK (credits_posted - debits_posted - debits_pending >= floor_minor),
    CONSTRAINT balance_below_ceiling CHECK (credits_posted + credits_pending - debits_posted <= ceiling_minor),
    CONSTRAINT balance_sharded_when_hot CHECK (shard = 0 OR ledger.is_hot(account)),
    CONSTRAINT balance_unlimited_when_hot
        CHECK ((floor_minor IS NULL AND ceiling_minor IS NULL) OR NOT ledger.is_hot(account))
) WITH (fillfactor = 60);
