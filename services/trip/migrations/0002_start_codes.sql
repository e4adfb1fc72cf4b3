-- How often a wrong start code was tried on a trip. Beside trips, whose rows change by events only (I2): a code that was
-- wrong is no event.
CREATE TABLE start_code_attempts (
    trip  uuid    NOT NULL CONSTRAINT start_code_attempts_pkey PRIMARY KEY REFERENCES trips,
    wrong integer NOT NULL CONSTRAINT start_code_attempts_within_limit CHECK (wrong BETWEEN 1 AND 10)
);

-- Attempts are counted one by one and never forgotten.
CREATE FUNCTION guard_start_code_attempts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (TG_OP = 'INSERT' AND NEW.wrong <> 1) OR (TG_OP = 'UPDATE' AND (NEW.trip, NEW.wrong) IS DISTINCT FROM (OLD.trip, OLD.wrong + 1)) THEN
        PERFORM refuse('start_code_attempts_step_by_one', format('%s wrong codes', NEW.wrong));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_step BEFORE INSERT OR UPDATE ON start_code_attempts FOR EACH ROW EXECUTE FUNCTION guard_start_code_attempts();
CREATE TRIGGER guard_kept BEFORE DELETE ON start_code_attempts FOR EACH ROW EXECUTE FUNCTION guard_kept();
