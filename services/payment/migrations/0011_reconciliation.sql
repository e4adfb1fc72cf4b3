-- Comparisons of the processor's books with ours and with the ledger, and what did not fit. Times are real.

CREATE TABLE reconciliations (
    id          uuid        PRIMARY KEY,
    started_at  timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz, -- while it runs: after this its process is taken for dead
    ended_at    timestamptz,
    payments    integer     NOT NULL DEFAULT 0,
    refunds     integer     NOT NULL DEFAULT 0,
    disputes    integer     NOT NULL DEFAULT 0,
    intents     integer     NOT NULL DEFAULT 0,
    found       integer     NOT NULL DEFAULT 0,
    resolved    integer     NOT NULL DEFAULT 0,
    open        integer     NOT NULL DEFAULT 0,
    error       text,
    CONSTRAINT reconciliation_runs_or_ended CHECK ((ended_at IS NULL) = (lease_until IS NOT NULL)),
    CONSTRAINT reconciliation_failed_has_ended CHECK (error IS NULL OR ended_at IS NOT NULL)
);
CREATE UNIQUE INDEX one_running_reconciliation ON reconciliations ((true)) WHERE ended_at IS NULL;
CREATE INDEX reconciliations_newest ON reconciliations (started_at DESC);

CREATE TABLE mismatches (
    id               uuid        PRIMARY KEY,
    kind             text        NOT NULL CONSTRAINT mismatch_kind_known CHECK (kind IN (
        'MISSING_THERE', 'MISSING_HERE', 'AMOUNT_DIFFERS', 'STATE_DIFFERS', 'LEDGER_DIFFERS', 'STUCK_UNKNOWN', 'STUCK_HOLD')),
    subject          text        NOT NULL,
    payment          text,       -- at the processor, to look at it again
    intent           uuid,       -- may be none of ours
    ours             text        NOT NULL,
    theirs           text        NOT NULL,
    state            text        NOT NULL DEFAULT 'OPEN' CONSTRAINT mismatch_state_known CHECK (state IN ('OPEN', 'RESOLVED')),
    found_at         timestamptz NOT NULL DEFAULT now(),
    seen_at          timestamptz NOT NULL DEFAULT now(),
    times_seen       integer     NOT NULL DEFAULT 1 CONSTRAINT mismatch_seen_once_at_least CHECK (times_seen > 0),
    resolved_at      timestamptz,
    operator         uuid,       -- none when it went away by itself
    reason           text        CONSTRAINT mismatch_reason_said CHECK (length(reason) BETWEEN 1 AND 500),
    resolved_request uuid        CONSTRAINT one_resolution_per_request UNIQUE,
    CONSTRAINT mismatch_resolved_says_when_and_why
        CHECK ((state = 'RESOLVED') = (resolved_at IS NOT NULL) AND (state = 'RESOLVED') = (reason IS NOT NULL)),
    CONSTRAINT mismatch_operator_asked CHECK ((operator IS NULL) = (resolved_request IS NULL) AND (operator IS NULL OR state = 'RESOLVED'))
);
CREATE UNIQUE INDEX one_open_mismatch ON mismatches (kind, subject) WHERE state = 'OPEN';
CREATE INDEX mismatches_of_subject ON mismatches (kind, subject);
CREATE INDEX mismatches_newest ON mismatches (found_at DESC, id DESC);

-- What a mismatch is about does not change, and it is resolved once.
CREATE FUNCTION mismatches_are_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) - '{seen_at,times_seen,ours,theirs,state,resolved_at,operator,reason,resolved_request}'::text[]
        <> to_jsonb(OLD) - '{seen_at,times_seen,ours,theirs,state,resolved_at,operator,reason,resolved_request}'::text[]
        OR (OLD.state = 'RESOLVED'
            AND to_jsonb(NEW) - '{seen_at,times_seen}'::text[] <> to_jsonb(OLD) - '{seen_at,times_seen}'::text[])
    THEN
        RAISE EXCEPTION 'mismatch % is resolved once and never changed otherwise', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'mismatch_resolved_once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER mismatches_are_fixed BEFORE UPDATE ON mismatches FOR EACH ROW EXECUTE FUNCTION mismatches_are_fixed();

CREATE FUNCTION mismatches_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'mismatches are kept' USING ERRCODE = '23514', CONSTRAINT = 'mismatches_kept';
END $$;
CREATE TRIGGER mismatches_are_kept BEFORE DELETE OR TRUNCATE ON mismatches
    FOR EACH STATEMENT EXECUTE FUNCTION mismatches_are_kept();
