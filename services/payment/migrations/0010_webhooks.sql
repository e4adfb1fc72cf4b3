-- What the processor told by webhook: hints, each kept once by the event's id and followed up until something came of it.
-- Times are real.

CREATE TABLE webhook_events (
    id          text        CONSTRAINT webhook_event_heard_once PRIMARY KEY,
    type        text        NOT NULL,
    about       text        NOT NULL CONSTRAINT webhook_about_known CHECK (about IN ('payment', 'dispute')),
    object      text        NOT NULL CONSTRAINT webhook_object_is_an_id CHECK (object ~ '^[A-Za-z0-9_]{1,255}$'),
    created_at  timestamptz NOT NULL, -- by the processor's clock
    received_at timestamptz NOT NULL DEFAULT now(),
    due_at      timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    attempts    integer     NOT NULL DEFAULT 0,
    last_error  text,
    followed_at timestamptz,
    outcome     text        CONSTRAINT webhook_outcome_known CHECK (outcome IN ('told', 'nothing', 'missing')),
    CONSTRAINT webhook_followed_has_outcome CHECK ((followed_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX webhook_events_outstanding ON webhook_events (due_at) WHERE followed_at IS NULL;

-- A hint is followed up once, and what was told does not change.
CREATE FUNCTION webhook_events_are_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.followed_at IS NOT NULL
        OR (NEW.id, NEW.type, NEW.about, NEW.object, NEW.created_at, NEW.received_at)
            IS DISTINCT FROM (OLD.id, OLD.type, OLD.about, OLD.object, OLD.created_at, OLD.received_at)
    THEN
        RAISE EXCEPTION 'webhook event % is followed up once', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'webhook_event_followed_once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER webhook_events_are_fixed BEFORE UPDATE ON webhook_events
    FOR EACH ROW EXECUTE FUNCTION webhook_events_are_fixed();
