"""The tables of ml-intern in PostgreSQL, in the schema `ml_intern`. LangGraph's saver has its own in `public`."""

import psycopg

from ml_intern.configs.errors import DatabaseUnusable
from ml_intern.store.team.people.tables import PEOPLE_TABLES

VERSION = 4

TEAM_TABLES = """
CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    body TEXT NOT NULL,
    author TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'begun', 'done', 'refused')),
    problem TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    finished DOUBLE PRECISION
);
CREATE INDEX operations_by_thread ON operations (thread_id, position);
CREATE INDEX operations_open ON operations (thread_id) WHERE state IN ('open', 'begun');
CREATE TABLE served_threads (
    thread_id TEXT PRIMARY KEY,
    options TEXT NOT NULL,
    starts BIGINT NOT NULL,
    in_turn BIGINT NOT NULL
);
CREATE TABLE events (
    thread_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    body TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (thread_id, seq)
);
CREATE FUNCTION announce() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify(TG_ARGV[0], NEW.thread_id); RETURN NULL; END $$;
CREATE TRIGGER operations_are_announced AFTER INSERT OR UPDATE OF state ON operations
FOR EACH ROW EXECUTE FUNCTION announce('ml_intern_operations');
CREATE TRIGGER events_are_announced AFTER INSERT ON events
FOR EACH ROW EXECUTE FUNCTION announce('ml_intern_events');
"""
"""Listeners of the two channels get the ids of the threads in which something was posted, performed or happened."""

SCHEDULE_TABLES = """
CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    cron TEXT NOT NULL,
    timezone TEXT NOT NULL,
    prompt TEXT NOT NULL,
    folder TEXT NOT NULL,
    options TEXT NOT NULL,
    due DOUBLE PRECISION NOT NULL,
    missed BIGINT NOT NULL,
    thread_id TEXT NOT NULL,
    fired DOUBLE PRECISION,
    created DOUBLE PRECISION NOT NULL
);
"""

MAIN_TABLES = """
CREATE TABLE threads (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    folder TEXT NOT NULL,
    parent TEXT,
    forked_at BIGINT,
    created DOUBLE PRECISION NOT NULL,
    updated DOUBLE PRECISION NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('idle', 'running', 'waiting', 'interrupted')),
    turns BIGINT NOT NULL,
    cost_usd DOUBLE PRECISION NOT NULL,
    redo TEXT NOT NULL,
    options TEXT
);
CREATE INDEX threads_by_parent ON threads (parent) WHERE parent IS NOT NULL;
CREATE INDEX threads_by_use ON threads (updated);

CREATE TABLE journal (
    thread_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    tool TEXT NOT NULL,
    digest TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('started', 'finished')),
    result TEXT,
    handle TEXT,
    started DOUBLE PRECISION NOT NULL,
    finished DOUBLE PRECISION,
    PRIMARY KEY (thread_id, message_id, position)
);
CREATE INDEX journal_results ON journal (thread_id) WHERE result IS NOT NULL;
CREATE INDEX journal_open ON journal (thread_id) WHERE status = 'started';

CREATE TABLE ledger (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id TEXT NOT NULL,
    root_id TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('main', 'research', 'compaction', 'job')),
    model TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'failed')),
    input_tokens BIGINT NOT NULL DEFAULT 0 CHECK (input_tokens >= 0),
    output_tokens BIGINT NOT NULL DEFAULT 0 CHECK (output_tokens >= 0),
    cached_tokens BIGINT NOT NULL DEFAULT 0 CHECK (cached_tokens >= 0),
    cache_write_tokens BIGINT NOT NULL DEFAULT 0 CHECK (cache_write_tokens >= 0),
    reasoning_tokens BIGINT NOT NULL DEFAULT 0 CHECK (reasoning_tokens >= 0),
    reserved_usd DOUBLE PRECISION CHECK (reserved_usd >= 0),
    cost_usd DOUBLE PRECISION CHECK (cost_usd >= 0),
    why TEXT,
    started DOUBLE PRECISION NOT NULL,
    finished DOUBLE PRECISION
);
CREATE INDEX ledger_by_root ON ledger (root_id);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = TG_ARGV[0]; END $$;
CREATE TRIGGER ledger_is_kept BEFORE DELETE ON ledger
FOR EACH ROW EXECUTE FUNCTION refuse('the ledger is never deleted from');
CREATE TRIGGER ledger_is_final BEFORE UPDATE ON ledger
FOR EACH ROW WHEN (OLD.state <> 'open') EXECUTE FUNCTION refuse('this entry of the ledger is settled');

CREATE TABLE permissions (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    folder TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    prefix TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    UNIQUE (folder, thread_id, tool, prefix)
);

CREATE TABLE runs (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL,
    root_id TEXT NOT NULL,
    call TEXT NOT NULL,
    name TEXT NOT NULL,
    backend TEXT NOT NULL,
    host TEXT NOT NULL,
    folder TEXT NOT NULL,
    handle TEXT,
    command TEXT NOT NULL,
    hardware TEXT,
    limit_s DOUBLE PRECISION,
    usd_per_hour DOUBLE PRECISION,
    ledger_id BIGINT,
    log TEXT NOT NULL,
    log_offset BIGINT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'timeout', 'lost')),
    exit_code BIGINT,
    reason TEXT NOT NULL,
    tail TEXT NOT NULL,
    metrics TEXT NOT NULL,
    cost_usd DOUBLE PRECISION,
    created DOUBLE PRECISION NOT NULL,
    started DOUBLE PRECISION,
    finished DOUBLE PRECISION,
    notify_when TEXT NOT NULL DEFAULT '{}',
    notices TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX runs_by_thread ON runs (thread_id);
CREATE INDEX runs_open ON runs (created) WHERE state IN ('queued', 'running');

CREATE TABLE experiments (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL,
    root_id TEXT NOT NULL,
    folder TEXT NOT NULL,
    run_id TEXT,
    parent TEXT,
    name TEXT NOT NULL,
    config TEXT NOT NULL,
    seed BIGINT,
    git_commit TEXT NOT NULL,
    script_sha256 TEXT NOT NULL,
    data_revision TEXT NOT NULL,
    split_hashes TEXT NOT NULL,
    metrics TEXT NOT NULL,
    run_metrics TEXT NOT NULL,
    cost_usd DOUBLE PRECISION,
    created DOUBLE PRECISION NOT NULL
);
CREATE INDEX experiments_by_thread ON experiments (thread_id);
CREATE INDEX experiments_by_folder ON experiments (folder, created);
CREATE UNIQUE INDEX experiments_by_run ON experiments (run_id) WHERE run_id IS NOT NULL;
CREATE FUNCTION end_experiments() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    UPDATE ml_intern.experiments SET run_metrics = NEW.metrics, cost_usd = NEW.cost_usd WHERE run_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER experiments_end_with_their_runs AFTER UPDATE OF state ON runs
FOR EACH ROW WHEN (NEW.state NOT IN ('queued', 'running')) EXECUTE FUNCTION end_experiments();

CREATE TABLE tainted_files (
    path TEXT COLLATE "C" NOT NULL,
    digest TEXT NOT NULL,
    sources TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (path, digest)
);

CREATE TABLE queued_messages (
    thread_id TEXT NOT NULL,
    id TEXT NOT NULL,
    position BIGINT NOT NULL,
    steer BIGINT NOT NULL,
    body TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (thread_id, id)
);

CREATE TABLE event_numbers (thread_id TEXT PRIMARY KEY, reserved BIGINT NOT NULL);

CREATE TABLE evidence (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    thread_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('call', 'lock', 'verdict')),
    ref TEXT NOT NULL,
    body TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    UNIQUE (thread_id, kind, ref)
);

CREATE TABLE searches (
    id TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('measuring', 'running', 'paused', 'concluding', 'finished', 'stopped', 'failed')),
    wanted TEXT NOT NULL CHECK (wanted IN ('run', 'pause', 'finish', 'stop')),
    limits TEXT NOT NULL,
    body TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL
);
CREATE TABLE attempts (
    search_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (search_id, number)
);
"""

PEOPLE_CHANGES = """
CREATE FUNCTION announce_people() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('ml_intern_people', ''); RETURN NULL; END $$;
CREATE TRIGGER users_are_announced AFTER UPDATE OR DELETE ON users
FOR EACH STATEMENT EXECUTE FUNCTION announce_people();
CREATE TRIGGER access_tokens_are_announced AFTER DELETE ON access_tokens
FOR EACH STATEMENT EXECUTE FUNCTION announce_people();
CREATE TRIGGER thread_access_is_announced AFTER UPDATE OR DELETE ON thread_access
FOR EACH STATEMENT EXECUTE FUNCTION announce_people();
"""
"""Listeners of the channel learn that somebody may do less than before."""

TABLES = MAIN_TABLES + TEAM_TABLES + SCHEDULE_TABLES + PEOPLE_TABLES + PEOPLE_CHANGES
"""The tables of a new database."""

CHANGES: dict[int, str] = {1: TEAM_TABLES, 2: SCHEDULE_TABLES, 3: PEOPLE_TABLES + PEOPLE_CHANGES}
"""Migrations from each version to the next."""

_SETUP_LOCK = 0x6D6C696E
"""The advisory lock of the process that creates or changes the tables."""


def prepare_tables(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    """Create the tables, or bring them to this version. `name` is the database in messages. Raises DatabaseUnusable."""
    with connection.transaction():
        # What another process made while this one waited must be seen.
        connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SETUP_LOCK,))
        connection.execute("CREATE SCHEMA IF NOT EXISTS ml_intern")
        connection.execute("CREATE TABLE IF NOT EXISTS ml_intern.version (number BIGINT NOT NULL)")
        found = connection.execute("SELECT max(number) FROM ml_intern.version").fetchone()
        version = found[0] if found else None
        if version is None:
            connection.execute(TABLES)
        elif isinstance(version, int) and version > VERSION:
            raise DatabaseUnusable(
                f"{name} was written by a newer ml-intern (schema {version}, this version supports {VERSION})",
                "upgrade ml-intern on this machine",
            )
        else:
            for older in range(int(str(version)), VERSION):
                connection.execute(CHANGES[older].encode())
        if version != VERSION:
            connection.execute("DELETE FROM ml_intern.version")
            connection.execute("INSERT INTO ml_intern.version VALUES (%s)", (VERSION,))
