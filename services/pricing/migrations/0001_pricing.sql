-- Fares, quotes, demand and surge. The code checks all of this too; what stands here holds whatever the code does.

-- The fare policies of a city, a version for every change of its city.toml. Versions are never changed.
CREATE TABLE fare_policies (
    city        text NOT NULL,
    version     integer NOT NULL CONSTRAINT fare_policies_from_1 CHECK (version >= 1),
    fares       jsonb NOT NULL,         -- product → policy
    valid_from  timestamptz NOT NULL,   -- city clock
    PRIMARY KEY (city, version)
);

CREATE FUNCTION minor_sum(amounts bigint[]) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT coalesce(sum(amount), 0) FROM unnest(amounts) AS amount);

CREATE TABLE quotes (
    quote_id               uuid PRIMARY KEY,
    request_id             uuid NOT NULL CONSTRAINT quotes_request_once UNIQUE,
    rider_id               uuid NOT NULL,
    city                   text NOT NULL,
    product                text NOT NULL,
    pickup_lat_e7          integer NOT NULL,
    pickup_lon_e7          integer NOT NULL,
    dropoff_lat_e7         integer NOT NULL,
    dropoff_lon_e7         integer NOT NULL,
    duration_s             integer NOT NULL CHECK (duration_s >= 0),
    distance_m             integer NOT NULL CHECK (distance_m >= 0),
    currency               text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    price_minor            bigint NOT NULL CHECK (price_minor >= 0),
    driver_pay_minor       bigint NOT NULL CHECK (driver_pay_minor >= 0),
    tax_minor              bigint NOT NULL CHECK (tax_minor >= 0),
    cancellation_fee_minor bigint NOT NULL CHECK (cancellation_fee_minor >= 0),
    line_labels            text[] NOT NULL,
    line_amounts_minor     bigint[] NOT NULL,
    surge_bp               integer NOT NULL CHECK (surge_bp > 0),
    surge_snapshot         uuid,        -- may be pruned before the quote
    fare_version           integer NOT NULL,
    create_time            timestamptz NOT NULL,   -- city clock
    expire_time            timestamptz NOT NULL,   -- city clock
    traceparent            text,
    CONSTRAINT quotes_fare_known FOREIGN KEY (city, fare_version) REFERENCES fare_policies,
    CONSTRAINT quotes_lines_are_the_price CHECK (minor_sum(line_amounts_minor) = price_minor),
    CONSTRAINT quotes_lines_are_labelled CHECK (cardinality(line_labels) = cardinality(line_amounts_minor)),
    CONSTRAINT quotes_shares_fit CHECK (driver_pay_minor + tax_minor <= price_minor),
    CONSTRAINT quotes_expire_later CHECK (expire_time > create_time)
);

-- A price that was given is never changed.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are never changed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_never_change';
END $$;
CREATE TRIGGER quotes_never_change BEFORE UPDATE ON quotes FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER fare_policies_never_change BEFORE UPDATE OR DELETE ON fare_policies
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Who asked for what where: a row for each quote given here, and for each trip requested. The primary key is the second
-- guard, beside the inbox, against counting a trip twice.
CREATE TABLE demand (
    kind        text NOT NULL CHECK (kind IN ('quote', 'request')),
    subject_id  uuid NOT NULL,          -- the quote or trip
    city        text NOT NULL,
    cell        bigint NOT NULL,        -- H3 r8 of the pickup
    rider_id    uuid NOT NULL,
    occur_time  timestamptz NOT NULL,   -- city clock
    observed_by uuid,                   -- the snapshot with which DemandObserved told of it
    CONSTRAINT demand_once PRIMARY KEY (kind, subject_id)
);
CREATE INDEX demand_in_window ON demand (city, occur_time);
CREATE INDEX demand_not_observed ON demand (city) WHERE observed_by IS NULL;

-- Surge multipliers of a city at one moment. One per slot of surge.interval_s, whichever replica computes it.
CREATE TABLE surge_snapshots (
    snapshot_id uuid PRIMARY KEY,
    city        text NOT NULL,
    slot        bigint NOT NULL,
    create_time timestamptz NOT NULL,   -- city clock
    cells       jsonb NOT NULL,
    CONSTRAINT surge_snapshots_once UNIQUE (city, slot)
);
CREATE INDEX surge_snapshots_by_time ON surge_snapshots (city, create_time);
