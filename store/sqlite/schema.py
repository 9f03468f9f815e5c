"""The tables of the thread database, their version, and the migrations between versions."""

from ml_intern.store.team.people.tables import PEOPLE_TABLES

APPLICATION_ID = 0x6D6C696E
"""`mlin` in the file header, which identifies the file as ml-intern's."""

SCHEMA_VERSION = 13

COMPUTE_TABLES = """
CREATE TABLE runs (
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
    limit_s REAL,
    usd_per_hour REAL,
    ledger_id INTEGER,
    log TEXT NOT NULL,
    log_offset INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'timeout', 'lost')),
    exit_code INTEGER,
    reason TEXT NOT NULL,
    tail TEXT NOT NULL,
    metrics TEXT NOT NULL,
    cost_usd REAL,
    created REAL NOT NULL,
    started REAL,
    finished REAL
);
CREATE INDEX runs_by_thread ON runs (thread_id);
CREATE INDEX runs_open ON runs (created) WHERE state IN ('queued', 'running');

CREATE TABLE experiments (
    id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL,
    root_id TEXT NOT NULL,
    folder TEXT NOT NULL,
    run_id TEXT,
    parent TEXT,
    name TEXT NOT NULL,
    config TEXT NOT NULL,
    seed INTEGER,
    git_commit TEXT NOT NULL,
    script_sha256 TEXT NOT NULL,
    data_revision TEXT NOT NULL,
    split_hashes TEXT NOT NULL,
    metrics TEXT NOT NULL,
    run_metrics TEXT NOT NULL,
    cost_usd REAL,
    created REAL NOT NULL
);
CREATE INDEX experiments_by_thread ON experiments (thread_id);
CREATE INDEX experiments_by_folder ON experiments (folder, created);
CREATE UNIQUE INDEX experiments_by_run ON experiments (run_id) WHERE run_id IS NOT NULL;
CREATE TRIGGER experiments_end_with_their_runs AFTER UPDATE OF state ON runs
WHEN NEW.state NOT IN ('queued', 'running')
BEGIN UPDATE experiments SET run_metrics = NEW.metrics, cost_usd = NEW.cost_usd WHERE run_id = NEW.id; END;
"""

NOTICE_COLUMNS = """
ALTER TABLE runs ADD COLUMN notify_when TEXT NOT NULL DEFAULT '{}';
ALTER TABLE runs ADD COLUMN notices TEXT NOT NULL DEFAULT '[]';
"""

FILE_TABLES = """
CREATE TABLE tainted_files (
    path TEXT NOT NULL,
    digest TEXT NOT NULL,
    sources TEXT NOT NULL,
    created REAL NOT NULL,
    PRIMARY KEY (path, digest)
) WITHOUT ROWID;
"""

QUEUE_TABLES = """
CREATE TABLE queued_messages (
    thread_id TEXT NOT NULL,
    id TEXT NOT NULL,
    position INTEGER NOT NULL,
    steer INTEGER NOT NULL,
    body TEXT NOT NULL,
    created REAL NOT NULL,
    PRIMARY KEY (thread_id, id)
) WITHOUT ROWID;
"""

EVENT_TABLES = """
CREATE TABLE event_numbers (thread_id TEXT PRIMARY KEY, reserved INTEGER NOT NULL) WITHOUT ROWID;
"""

EVIDENCE_TABLES = """
CREATE TABLE evidence (
    thread_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('call', 'lock', 'verdict')),
    ref TEXT NOT NULL,
    body TEXT NOT NULL,
    created REAL NOT NULL,
    UNIQUE (thread_id, kind, ref)
);
"""

SEARCH_TABLES = """
CREATE TABLE searches (
    id TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('measuring', 'running', 'paused', 'concluding', 'finished', 'stopped', 'failed')),
    wanted TEXT NOT NULL CHECK (wanted IN ('run', 'pause', 'finish', 'stop')),
    limits TEXT NOT NULL,
    body TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE TABLE attempts (
    search_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (search_id, number)
) WITHOUT ROWID;
"""

TEAM_TABLES = """
CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    body TEXT NOT NULL,
    author TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'begun', 'done', 'refused')),
    problem TEXT NOT NULL,
    created REAL NOT NULL,
    finished REAL
);
CREATE INDEX operations_by_thread ON operations (thread_id, position);
CREATE INDEX operations_open ON operations (thread_id) WHERE state IN ('open', 'begun');
CREATE TABLE served_threads (
    thread_id TEXT PRIMARY KEY,
    options TEXT NOT NULL,
    starts INTEGER NOT NULL,
    in_turn INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE events (
    thread_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body TEXT NOT NULL,
    created REAL NOT NULL,
    PRIMARY KEY (thread_id, seq)
) WITHOUT ROWID;
"""

SCHEDULE_TABLES = """
CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    cron TEXT NOT NULL,
    timezone TEXT NOT NULL,
    prompt TEXT NOT NULL,
    folder TEXT NOT NULL,
    options TEXT NOT NULL,
    due REAL NOT NULL,
    missed INTEGER NOT NULL,
    thread_id TEXT NOT NULL,
    fired REAL,
    created REAL NOT NULL
) WITHOUT ROWID;
"""

MAIN_TABLES = """
CREATE TABLE threads (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    folder TEXT NOT NULL,
    parent TEXT,
    forked_at INTEGER,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('idle', 'running', 'waiting', 'interrupted')),
    turns INTEGER NOT NULL,
    cost_usd REAL NOT NULL,
    redo TEXT NOT NULL,
    options TEXT
);
CREATE INDEX threads_by_parent ON threads (parent) WHERE parent IS NOT NULL;

CREATE TABLE lanes (
    no INTEGER PRIMARY KEY,
    thread_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    UNIQUE (thread_id, namespace)
);
CREATE TABLE name_sets (no INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE bases (no INTEGER PRIMARY KEY, lane INTEGER NOT NULL, raw BLOB NOT NULL);
CREATE INDEX bases_by_lane ON bases (lane);
CREATE TABLE checkpoints (
    no INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL,
    id BLOB NOT NULL,
    parent BLOB,
    source TEXT NOT NULL,
    step INTEGER NOT NULL,
    names INTEGER NOT NULL,
    base INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX checkpoints_by_id ON checkpoints (lane, id);
CREATE TABLE task_writes (
    no INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL,
    checkpoint BLOB NOT NULL,
    task BLOB NOT NULL,
    names INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX task_writes_by_checkpoint ON task_writes (lane, checkpoint);

CREATE TABLE journal (
    thread_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    tool TEXT NOT NULL,
    digest TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('started', 'finished')),
    result TEXT,
    handle TEXT,
    started REAL NOT NULL,
    finished REAL,
    PRIMARY KEY (thread_id, message_id, position)
) WITHOUT ROWID;
CREATE INDEX journal_results ON journal (thread_id) WHERE result IS NOT NULL;
CREATE INDEX journal_open ON journal (thread_id) WHERE status = 'started';

CREATE TABLE ledger (
    id INTEGER PRIMARY KEY,
    thread_id TEXT NOT NULL,
    root_id TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('main', 'research', 'compaction', 'job')),
    model TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'failed')),
    input_tokens INTEGER NOT NULL DEFAULT 0 CHECK (input_tokens >= 0),
    output_tokens INTEGER NOT NULL DEFAULT 0 CHECK (output_tokens >= 0),
    cached_tokens INTEGER NOT NULL DEFAULT 0 CHECK (cached_tokens >= 0),
    cache_write_tokens INTEGER NOT NULL DEFAULT 0 CHECK (cache_write_tokens >= 0),
    reasoning_tokens INTEGER NOT NULL DEFAULT 0 CHECK (reasoning_tokens >= 0),
    reserved_usd REAL CHECK (reserved_usd >= 0),
    cost_usd REAL CHECK (cost_usd >= 0),
    why TEXT,
    started REAL NOT NULL,
    finished REAL
);
CREATE INDEX ledger_by_root ON ledger (root_id);
CREATE TRIGGER ledger_is_kept BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is never deleted from'); END;
CREATE TRIGGER ledger_is_final BEFORE UPDATE ON ledger WHEN OLD.state <> 'open'
BEGIN SELECT RAISE(ABORT, 'this entry of the ledger is settled'); END;

CREATE TABLE permissions (
    id INTEGER PRIMARY KEY,
    folder TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    prefix TEXT NOT NULL,
    created REAL NOT NULL,
    UNIQUE (folder, thread_id, tool, prefix)
);
"""

TABLES = (
    MAIN_TABLES + COMPUTE_TABLES + FILE_TABLES + QUEUE_TABLES + EVENT_TABLES + EVIDENCE_TABLES + NOTICE_COLUMNS
    + SEARCH_TABLES + TEAM_TABLES + SCHEDULE_TABLES + PEOPLE_TABLES
)  # fmt: skip
"""The tables of a new database."""

CHANGES: dict[int, str] = {
    1: "ALTER TABLE ledger ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0 CHECK (cache_write_tokens >= 0);",
    2: "DROP TABLE runs;\n" + COMPUTE_TABLES,
    3: "ALTER TABLE threads ADD COLUMN options TEXT;",
    4: FILE_TABLES,
    5: QUEUE_TABLES,
    6: EVENT_TABLES,
    7: EVIDENCE_TABLES,
    8: NOTICE_COLUMNS,
    9: SEARCH_TABLES,
    10: TEAM_TABLES,
    11: SCHEDULE_TABLES,
    12: PEOPLE_TABLES,
}
"""Migrations from each version to the next. The table `runs` of version 2 was never written to."""
