"""The function on the server that lands a batch: judged and written in one transaction and one round trip."""

from __future__ import annotations

LAND = """
CREATE FUNCTION {s}.land_1(
    p_process text, p_number bigint, names text[],
    a_session int[], a_epoch bigint[], a_lease float8[], a_tenant text[], a_at bigint[], a_under bigint[],
    a_seq bigint[], a_chain bytea[], a_link bytea[], a_rows int[], a_swaps int[],
    f_append int[], f_seq bigint[], f_frame bytea[],
    keys text[], s_key int[], s_expects bigint[], s_value bytea[],
    m_append int[], m_session text[], m_call bigint[], m_tenant text[], m_tool text[], m_phase text[], m_at bigint[],
    OUT stale boolean, OUT heard boolean, OUT refusals bigint[],
    OUT epochs bigint[], OUT seqs bigint[], OUT chains bytea[])
LANGUAGE plpgsql AS $land$
DECLARE
    sessions_ int := cardinality(names);
    ids bigint[] := array_fill(0::bigint, ARRAY[sessions_]);
    fresh int[] := array_fill(0, ARRAY[sessions_]);  -- the append that makes the session, 0 where it is there
    touched boolean[] := array_fill(false, ARRAY[sessions_]);
    ats bigint[] := array_fill(NULL::bigint, ARRAY[sessions_]);
    landed boolean[] := array_fill(false, ARRAY[cardinality(a_session)]);
    q bigint[];
    c bytea[];
    before bigint[];
    versions bigint[];
    newest int[];
    r record;
    left_ float8;
    any_ boolean := false;
    rows_ boolean := false;
    made boolean := false;
    cursor_ int := 0;
    s int;
    k int;
    code int;
    stands bigint;
    due bigint;
    done int;
BEGIN
    UPDATE {s}.processes SET batch = p_number, refused = '{{}}' WHERE process = p_process AND batch < p_number
        RETURNING CASE WHEN dead THEN -1 ELSE extract(epoch FROM until - clock_timestamp()) END INTO left_;
    IF NOT FOUND THEN
        INSERT INTO {s}.processes VALUES (p_process, clock_timestamp(), true, p_number, '{{}}')
            ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'batch % of % is over', p_number, p_process USING ERRCODE = 'TG001';
        END IF;
        left_ := -1;
    END IF;

    stale := false;
    heard := false;
    refusals := '{{}}';
    epochs := array_fill(0::bigint, ARRAY[sessions_]);
    seqs := epochs;
    chains := array_fill(decode(repeat('00', 32), 'hex'), ARRAY[sessions_]);
    FOR r IN
        SELECT n.p, t.id, t.epoch, t.seq, t.chain FROM unnest(names) WITH ORDINALITY AS n (name, p)
        JOIN {s}.sessions t ON t.name = n.name ORDER BY n.p FOR NO KEY UPDATE OF t
    LOOP
        ids[r.p] := r.id;
        epochs[r.p] := r.epoch;
        seqs[r.p] := r.seq;
        chains[r.p] := r.chain;
    END LOOP;
    q := seqs;
    c := chains;
    IF cardinality(keys) > 0 THEN
        before := array_fill(0::bigint, ARRAY[cardinality(keys)]);
        newest := array_fill(0, ARRAY[cardinality(keys)]);
        FOR r IN
            SELECT n.p, t.version FROM unnest(keys) WITH ORDINALITY AS n (key, p)
            JOIN {s}.claims t ON t.key = n.key ORDER BY n.p FOR NO KEY UPDATE OF t
        LOOP
            before[r.p] := r.version;
        END LOOP;
        versions := before;
    END IF;

    FOR i IN 1 .. cardinality(a_session) LOOP
        s := a_session[i];
        code := 0;
        done := 0;
        stands := 0;
        due := 0;
        IF a_epoch[i] <> epochs[s] THEN
            code := 1;
            stands := epochs[s];
        ELSE
            WHILE done < a_swaps[i] LOOP
                k := s_key[cursor_ + done + 1];
                IF versions[k] <> s_expects[cursor_ + done + 1] THEN
                    code := 2;
                    stands := versions[k];
                    due := s_expects[cursor_ + done + 1];
                    EXIT;
                END IF;
                done := done + 1;
                versions[k] := versions[k] + 1;
            END LOOP;
            IF code = 0 AND a_lease[i] > 0 AND left_ < a_lease[i] THEN
                code := 3;
            END IF;
        END IF;
        IF code > 0 THEN
            WHILE done > 0 LOOP
                k := s_key[cursor_ + done];
                versions[k] := versions[k] - 1;
                done := done - 1;
            END LOOP;
            refusals := refusals || ARRAY[i - 1, code, stands, due];
        ELSE
            any_ := true;
            landed[i] := true;
            stale := stale OR a_seq[i] <> q[s] OR a_under[i] <> epochs[s] OR a_chain[i] <> c[s];
            ats[s] := greatest(ats[s], a_at[i]);
            IF ids[s] = 0 THEN
                ids[s] := nextval('{s}.session_ids');
                fresh[s] := i;
                made := true;
            END IF;
            IF a_rows[i] > 0 THEN
                rows_ := true;
                touched[s] := fresh[s] = 0;
                q[s] := q[s] + a_rows[i];
                c[s] := a_link[i];
            END IF;
            FOR j IN cursor_ + 1 .. cursor_ + a_swaps[i] LOOP
                newest[s_key[j]] := j;
            END LOOP;
        END IF;
        cursor_ := cursor_ + a_swaps[i];
    END LOOP;

    IF stale THEN  -- nothing is written; the caller packs anew behind these heads
        UPDATE {s}.processes SET batch = p_number - 1 WHERE process = p_process;
        PERFORM set_config('synchronous_commit', 'off', true);
        RETURN;
    END IF;
    epochs := NULL;
    seqs := NULL;
    chains := NULL;
    IF cardinality(refusals) > 0 THEN
        UPDATE {s}.processes SET refused = refusals WHERE process = p_process;
    END IF;
    IF NOT any_ THEN
        RETURN;
    END IF;

    IF made THEN
        INSERT INTO {s}.sessions (id, name, tenant, epoch, owner, state, seq, chain, opened_at, last_at)
            SELECT ids[n.p], names[n.p], a_tenant[n.i], 0, '', 'open', q[n.p], c[n.p], a_at[n.i], ats[n.p]
            FROM unnest(fresh) WITH ORDINALITY AS n (i, p) WHERE n.i > 0 ORDER BY n.p;
    END IF;
    IF sessions_ = 1 THEN
        IF touched[1] THEN
            UPDATE {s}.sessions SET seq = q[1], chain = c[1], last_at = greatest(last_at, ats[1]) WHERE id = ids[1];
        END IF;
    ELSIF rows_ THEN
        UPDATE {s}.sessions t SET seq = q[n.p], chain = c[n.p], last_at = greatest(t.last_at, ats[n.p])
            FROM unnest(touched) WITH ORDINALITY AS n (yes, p) WHERE n.yes AND t.id = ids[n.p];
    END IF;
    IF cursor_ > 0 THEN
        UPDATE {s}.claims t SET version = versions[n.p], value = s_value[n.j]
            FROM unnest(newest) WITH ORDINALITY AS n (j, p) WHERE n.j > 0 AND before[n.p] > 0 AND t.key = keys[n.p];
        INSERT INTO {s}.claims (key, version, value) SELECT keys[n.p], versions[n.p], s_value[n.j]
            FROM unnest(newest) WITH ORDINALITY AS n (j, p) WHERE n.j > 0 AND before[n.p] = 0 ORDER BY n.p;
    END IF;
    IF cardinality(m_append) > 0 THEN
        IF '' = ANY (m_phase) THEN
            DELETE FROM {s}.open_calls t USING (
                SELECT DISTINCT ON (m.session, m.call) m.* FROM
                    unnest(m_append, m_session, m_call, m_phase) WITH ORDINALITY AS m (i, session, call, phase, o)
                WHERE landed[m.i] ORDER BY m.session, m.call, m.o DESC) n
                WHERE n.phase = '' AND t.session = n.session AND t.call = n.call;
        END IF;
        INSERT INTO {s}.open_calls (session, call, tenant, tool, phase, at)
            SELECT n.session, n.call, n.tenant, n.tool, n.phase, n.at FROM (
                SELECT DISTINCT ON (m.session, m.call) m.* FROM
                    unnest(m_append, m_session, m_call, m_tenant, m_tool, m_phase, m_at)
                    WITH ORDINALITY AS m (i, session, call, tenant, tool, phase, at, o)
                WHERE landed[m.i] ORDER BY m.session, m.call, m.o DESC) n
            WHERE n.phase <> ''
            ON CONFLICT (session, call) DO UPDATE SET
                tenant = excluded.tenant, tool = excluded.tool, phase = excluded.phase, at = excluded.at;
    END IF;
    IF rows_ THEN
        PERFORM pg_advisory_xact_lock_shared(
            '{s}.positions'::regclass::oid::int,
            (pg_sequence_last_value('{s}.positions'::regclass) % 2147483648)::int);
        INSERT INTO {s}.journal (pos, session, seq, frame)
            SELECT nextval('{s}.positions'), n.session, n.seq, n.frame FROM (
                SELECT ids[a_session[f.i]] AS session, f.seq, f.frame FROM
                    unnest(f_append, f_seq, f_frame) WITH ORDINALITY AS f (i, seq, frame, o)
                WHERE landed[f.i] ORDER BY f.o) n;
    END IF;
    heard := CASE WHEN pg_try_advisory_lock('{s}.journal'::regclass::oid::int, 1)
        THEN NOT pg_advisory_unlock('{s}.journal'::regclass::oid::int, 1) ELSE true END;
END
$land$
"""
"""Lands a batch.

``names`` and ``keys`` are distinct and sorted, so that two processes lock rows in one order. Everything is locked and
judged first and written afterwards; where a frame was packed behind a head that is not the present one nothing is
written and the heads are given back (``stale``). ``refusals`` are fours: number of the append, reason (1 epoch,
2 claim, 3 lease), what stands there, and what was expected of a claim.

A batch that takes positions holds a shared advisory lock, whose key is the newest position given out before, until its
transaction is over; ``horizon_1`` finds the batches that are under way by these locks. So no reader sees a position
before a smaller one, nobody waits, and long transactions of others do not matter.

Whoever listens holds another lock (``journal``, 1). A batch does not notify inside its transaction, because
PostgreSQL lets notifying transactions commit one by one, each with its own fsync; ``heard`` asks the caller to do it.
"""
