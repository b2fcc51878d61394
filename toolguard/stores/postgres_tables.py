"""The tables of a PostgreSQL store, format by format; ``{s}`` stands for the schema's name."""

from __future__ import annotations

FORMAT = 1
"""Version of the tables and functions; a store of a newer format is refused."""

TABLES = """
CREATE TABLE {s}.meta (key text COLLATE "C" PRIMARY KEY, value text NOT NULL);
CREATE SEQUENCE {s}.session_ids;
CREATE TABLE {s}.sessions (
    id bigint PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, tenant text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL, owner text COLLATE "C" NOT NULL, state text COLLATE "C" NOT NULL, seq bigint NOT NULL,
    chain bytea NOT NULL, opened_at bigint NOT NULL, last_at bigint NOT NULL) WITH (fillfactor = 60);
CREATE INDEX sessions_open ON {s}.sessions (name) WHERE state = 'open';
CREATE SEQUENCE {s}.positions MINVALUE 0 START 0;
CREATE TABLE {s}.journal (pos bigint PRIMARY KEY, session bigint NOT NULL, seq bigint NOT NULL, frame bytea NOT NULL);
CREATE UNIQUE INDEX journal_place ON {s}.journal (session, seq);
CREATE TABLE {s}.claims (key text COLLATE "C" PRIMARY KEY, version bigint NOT NULL, value bytea NOT NULL)
    WITH (fillfactor = 80);
CREATE TABLE {s}.open_calls (
    session text COLLATE "C" NOT NULL, call bigint NOT NULL, tenant text COLLATE "C" NOT NULL,
    tool text COLLATE "C" NOT NULL, phase text COLLATE "C" NOT NULL, at bigint NOT NULL, PRIMARY KEY (session, call))
    WITH (fillfactor = 80);
CREATE TABLE {s}.notes (key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE {s}.processes (
    process text COLLATE "C" PRIMARY KEY, until timestamptz NOT NULL, dead boolean NOT NULL, batch bigint NOT NULL,
    refused bigint[] NOT NULL) WITH (fillfactor = 20);
CREATE TABLE {s}.snapshots (session bigint PRIMARY KEY, seq bigint NOT NULL, head bytea NOT NULL, parts int NOT NULL);
CREATE TABLE {s}.snapshot_parts (
    session bigint NOT NULL, number int NOT NULL, part bytea NOT NULL, PRIMARY KEY (session, number));
CREATE UNLOGGED TABLE {s}.upright (since timestamptz NOT NULL);
INSERT INTO {s}.upright VALUES (clock_timestamp());
SELECT nextval('{s}.positions')
"""
"""``upright`` is empty after a crash of the server: that is how it is noticed."""

STEPS: dict[int, str] = {}
"""What each newer format adds to the one before it."""
