"""The function on the server that lands a single append, which is what a quiet process writes: the short way."""

from __future__ import annotations

LAND_ONE = """
CREATE FUNCTION {s}.land_one_1(
    p_process text, p_number bigint, p_name text, p_epoch bigint, p_lease float8, p_tenant text,
    p_at bigint, p_under bigint, p_seq bigint, p_chain bytea, p_link bytea, frames bytea[],
    s_key text[], s_expects bigint[], s_value bytea[],
    m_session text[], m_call bigint[], m_tenant text[], m_tool text[], m_phase text[], m_at bigint[],
    OUT stale boolean, OUT heard boolean, OUT refusals bigint[],
    OUT epochs bigint[], OUT seqs bigint[], OUT chains bytea[])
LANGUAGE plpgsql AS $land$
DECLARE
    home bigint;
    r record;
    left_ float8;
    code int := 0;
    stands bigint := 0;
    due bigint := 0;
    version_ bigint;
BEGIN
    UPDATE {s}.processes SET batch = p_number, refused = '{{}}' WHERE process = p_process AND batch < p_number
        RETURNING CASE WHEN p_lease <= 0 THEN 0 WHEN dead THEN -1
            ELSE extract(epoch FROM until - clock_timestamp()) END INTO left_;
    IF NOT FOUND THEN
        INSERT INTO {s}.processes VALUES (p_process, clock_timestamp(), true, p_number, '{{}}')
            ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'batch % of % is over', p_number, p_process USING ERRCODE = 'TG001';
        END IF;
        left_ := -1;
    END IF;
    stale := false;
    refusals := '{{}}';

    IF s_key IS NULL AND left_ >= p_lease THEN  -- nothing but the head can stand in the way
        UPDATE {s}.sessions SET seq = seq + cardinality(frames), chain = p_link, last_at = greatest(last_at, p_at)
            WHERE name = p_name AND epoch = p_under AND seq = p_seq AND chain = p_chain RETURNING id INTO home;
    END IF;
    IF home IS NULL THEN
        SELECT id, epoch, seq, chain INTO r FROM {s}.sessions WHERE name = p_name FOR NO KEY UPDATE;
        home := r.id;
        IF p_epoch <> coalesce(r.epoch, 0) THEN
            code := 1;
            stands := coalesce(r.epoch, 0);
        END IF;
        FOR j IN 1 .. coalesce(cardinality(s_key), 0) LOOP
            EXIT WHEN code > 0;
            SELECT version INTO version_ FROM {s}.claims WHERE key = s_key[j] FOR NO KEY UPDATE;
            IF s_expects[j] <> coalesce(version_, 0) THEN
                code := 2;
                stands := coalesce(version_, 0);
                due := s_expects[j];
            END IF;
        END LOOP;
        IF code = 0 AND p_lease > 0 AND left_ < p_lease THEN
            code := 3;
        END IF;
        IF code > 0 THEN
            refusals := ARRAY[0, code, stands, due];
            UPDATE {s}.processes SET refused = refusals WHERE process = p_process;
            RETURN;
        END IF;
        IF p_under <> coalesce(r.epoch, 0) OR p_seq <> coalesce(r.seq, 0)
            OR p_chain <> coalesce(r.chain, decode(repeat('00', 32), 'hex')) THEN
            stale := true;  -- nothing is written; the caller packs anew behind this head
            epochs := ARRAY[coalesce(r.epoch, 0)];
            seqs := ARRAY[coalesce(r.seq, 0)];
            chains := ARRAY[coalesce(r.chain, decode(repeat('00', 32), 'hex'))];
            UPDATE {s}.processes SET batch = p_number - 1 WHERE process = p_process;
            PERFORM set_config('synchronous_commit', 'off', true);
            RETURN;
        END IF;
        IF home IS NULL THEN
            INSERT INTO {s}.sessions (id, name, tenant, epoch, owner, state, seq, chain, opened_at, last_at)
                VALUES (nextval('{s}.session_ids'), p_name, p_tenant, 0, '', 'open', cardinality(frames), p_link,
                    p_at, p_at) RETURNING id INTO home;
        ELSE
            UPDATE {s}.sessions SET seq = seq + cardinality(frames), chain = p_link, last_at = greatest(last_at, p_at)
                WHERE id = home;
        END IF;
        FOR j IN 1 .. coalesce(cardinality(s_key), 0) LOOP
            IF s_expects[j] = 0 THEN
                INSERT INTO {s}.claims (key, version, value) VALUES (s_key[j], 1, s_value[j]);
            ELSE
                UPDATE {s}.claims SET version = version + 1, value = s_value[j] WHERE key = s_key[j];
            END IF;
        END LOOP;
    END IF;

    FOR j IN 1 .. coalesce(cardinality(m_session), 0) LOOP
        IF m_phase[j] = '' THEN
            DELETE FROM {s}.open_calls WHERE session = m_session[j] AND call = m_call[j];
        ELSE
            INSERT INTO {s}.open_calls (session, call, tenant, tool, phase, at)
                VALUES (m_session[j], m_call[j], m_tenant[j], m_tool[j], m_phase[j], m_at[j])
                ON CONFLICT (session, call) DO UPDATE SET
                    tenant = excluded.tenant, tool = excluded.tool, phase = excluded.phase, at = excluded.at;
        END IF;
    END LOOP;
    IF cardinality(frames) > 0 THEN
        PERFORM pg_advisory_xact_lock_shared(
            '{s}.positions'::regclass::oid::int,
            (pg_sequence_last_value('{s}.positions'::regclass) % 2147483648)::int);
        FOR j IN 1 .. cardinality(frames) LOOP
            INSERT INTO {s}.journal (pos, session, seq, frame)
                VALUES (nextval('{s}.positions'), home, p_seq + j, frames[j]);
        END LOOP;
    END IF;
    heard := CASE WHEN pg_try_advisory_lock('{s}.journal'::regclass::oid::int, 1)
        THEN NOT pg_advisory_unlock('{s}.journal'::regclass::oid::int, 1) ELSE true END;
END
$land$
"""
"""The same rules as ``land_1`` (see there), in as few statements as one append needs.

``s_key`` is sorted and names no key twice; without claims the arrays are NULL, and so are those of marks.
"""
