"""The tables of people, in SQL that both databases understand. In a file of one machine they stay empty."""

PEOPLE_TABLES = """
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    admin BIGINT NOT NULL,
    created DOUBLE PRECISION NOT NULL
);
CREATE TABLE access_tokens (
    digest TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('token', 'session')),
    label TEXT NOT NULL,
    parent TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    expires DOUBLE PRECISION NOT NULL
);
CREATE INDEX access_tokens_by_user ON access_tokens (user_id);
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE TABLE thread_access (
    thread_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('read', 'answer', 'write', 'own')),
    PRIMARY KEY (thread_id, user_id)
);
CREATE INDEX thread_access_by_user ON thread_access (user_id);
CREATE TABLE budgets (
    user_id TEXT PRIMARY KEY,
    daily_usd DOUBLE PRECISION,
    monthly_usd DOUBLE PRECISION
);
CREATE TABLE user_keys (
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (user_id, name)
);
CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    created DOUBLE PRECISION NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (created);
ALTER TABLE ledger ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
CREATE INDEX ledger_by_user ON ledger (user_id, started);
CREATE INDEX ledger_by_time ON ledger (started);
"""
"""A budget with an empty user is that of the whole server. In the ledger, the user is the owner of the thread."""
