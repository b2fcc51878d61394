"""The other functions of a PostgreSQL store: what has to be judged and written in one transaction on the server."""

from __future__ import annotations

FUNCTIONS = """
CREATE FUNCTION {s}.settle_1(p_process text, p_number bigint, OUT landed boolean, OUT refusals bigint[])
LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    SELECT batch, refused INTO r FROM {s}.processes WHERE process = p_process FOR NO KEY UPDATE;
    landed := FOUND AND r.batch >= p_number;
    refusals := r.refused;
    IF NOT landed THEN
        UPDATE {s}.processes SET batch = p_number, refused = '{{}}' WHERE process = p_process;
        IF NOT FOUND THEN
            INSERT INTO {s}.processes VALUES (p_process, clock_timestamp(), true, p_number, '{{}}');
        END IF;
    END IF;
END
$$;
CREATE FUNCTION {s}.horizon_1() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    newest bigint := pg_sequence_last_value('{s}.positions'::regclass);  -- before the locks are looked at
    under_way bigint;
BEGIN
    SELECT min(newest - (newest - objid::bigint) % 2147483648) INTO under_way FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 2 AND classid = '{s}.positions'::regclass::oid
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN least(newest, under_way);
END
$$;
CREATE FUNCTION {s}.arrive_1() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM {s}.upright) THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock('{s}.journal'::regclass::oid::int, 2);
    IF NOT EXISTS (SELECT 1 FROM {s}.upright) THEN
        PERFORM setval('{s}.positions', pg_sequence_last_value('{s}.positions'::regclass) + 1000000);
        INSERT INTO {s}.upright VALUES (clock_timestamp());
    END IF;
END
$$;
CREATE FUNCTION {s}.enter_1(
    p_session text, p_tenant text, p_process text, p_at bigint, p_expects bigint, p_again boolean,
    OUT verdict int, OUT o_epoch bigint, OUT o_seq bigint, OUT o_chain bytea, OUT o_opened_at bigint,
    OUT o_last_at bigint)
LANGUAGE plpgsql AS $$
DECLARE
    r record;
    ours boolean;
BEGIN
    LOOP
        SELECT * INTO r FROM {s}.sessions WHERE name = p_session FOR NO KEY UPDATE;
        o_epoch := coalesce(r.epoch, 0);
        ours := p_again AND r.owner = p_process AND o_epoch = p_expects + 1;
        IF p_expects <> o_epoch AND NOT coalesce(ours, false) THEN
            verdict := 1;
            RETURN;
        END IF;
        verdict := 0;
        IF r.id IS NOT NULL THEN
            IF r.tenant <> '' AND r.tenant <> p_tenant THEN
                verdict := 2;
                RETURN;
            END IF;
            UPDATE {s}.sessions SET tenant = p_tenant, owner = p_process, state = 'open',
                epoch = epoch + CASE WHEN ours THEN 0 ELSE 1 END, last_at = greatest(last_at, p_at)
                WHERE id = r.id RETURNING epoch, seq, chain, opened_at, last_at
                INTO o_epoch, o_seq, o_chain, o_opened_at, o_last_at;
            RETURN;
        END IF;
        INSERT INTO {s}.sessions (id, name, tenant, epoch, owner, state, seq, chain, opened_at, last_at)
            VALUES (nextval('{s}.session_ids'), p_session, p_tenant, 1, p_process, 'open', 0,
                decode(repeat('00', 32), 'hex'), p_at, p_at)
            ON CONFLICT (name) DO NOTHING RETURNING epoch, seq, chain, opened_at, last_at
            INTO o_epoch, o_seq, o_chain, o_opened_at, o_last_at;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
END
$$;
CREATE FUNCTION {s}.leave_1(p_session text, p_process text, p_state text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    SELECT id, owner INTO r FROM {s}.sessions WHERE name = p_session FOR NO KEY UPDATE;
    IF r.owner NOT IN ('', p_process) THEN
        RETURN r.owner;
    END IF;
    UPDATE {s}.sessions SET owner = '', state = p_state WHERE id = r.id;
    RETURN NULL;
END
$$;
CREATE FUNCTION {s}.bury_1(p_process text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {s}.processes VALUES (p_process, clock_timestamp(), true, 0, '{{}}') ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        UPDATE {s}.processes SET dead = true
            WHERE process = p_process AND (dead OR until <= clock_timestamp());
    END IF;
    RETURN FOUND;
END
$$;
CREATE FUNCTION {s}.keep_1(p_session text, p_seq bigint, p_head bytea, p_known int, p_parts bytea[])
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    home bigint;
    old record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT id INTO home FROM {s}.sessions WHERE name = p_session FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO {s}.snapshots (session, seq, head, parts)
        SELECT home, p_seq, p_head, cardinality(p_parts) WHERE p_known = 0 ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        UPDATE {s}.snapshots SET seq = p_seq, head = p_head, parts = parts + cardinality(p_parts)
            WHERE session = home AND seq < p_seq AND parts = p_known;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    INSERT INTO {s}.snapshot_parts (session, number, part)
        SELECT home, p_known + n.p - 1, n.part FROM unnest(p_parts) WITH ORDINALITY AS n (part, p);
    RETURN true;
END
$$;
CREATE FUNCTION {s}.prune_1(p_before bigint, p_limit bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT t.id, t.name FROM {s}.sessions t WHERE t.state = 'closed' AND t.last_at < p_before
            AND NOT EXISTS (SELECT 1 FROM {s}.open_calls o WHERE o.session = t.name)
        ORDER BY t.name LIMIT p_limit FOR UPDATE OF t SKIP LOCKED
    LOOP
        CONTINUE WHEN EXISTS (SELECT 1 FROM {s}.open_calls o WHERE o.session = r.name);  -- seen anew, under the lock
        DELETE FROM {s}.journal WHERE session = r.id;
        DELETE FROM {s}.snapshot_parts WHERE session = r.id;
        DELETE FROM {s}.snapshots WHERE session = r.id;
        DELETE FROM {s}.sessions WHERE id = r.id;
        RETURN NEXT r.name;
    END LOOP;
END
$$
"""
"""``settle_1`` finds out whether a batch landed and, where it did not, sees to it that it never will.

``arrive_1`` skips positions after a crash of the server, where the newest ones may have been lost that readers have
seen already. ``enter_1`` answers 1 where the epoch is not the expected one and 2 where another tenant has the session;
``p_again`` marks a second try after a lost connection, whose first one may have succeeded.
"""
