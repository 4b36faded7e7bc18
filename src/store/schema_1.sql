-- Moments are milliseconds since 1970 (model::Stamp); words are the model's own; sealed values are seal.rs's format.

CREATE TABLE apps (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    deploy_branch TEXT,
    subnet TEXT,
    next_address INTEGER NOT NULL DEFAULT 0,
    current_version INTEGER,
    last_version INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE keys (
    fingerprint TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    -- 1: only the apps in key_apps. A column of its own, so that destroying a key's last app leaves it none, not all.
    scoped INTEGER NOT NULL,
    line TEXT NOT NULL,
    added_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;

CREATE TABLE key_apps (
    fingerprint TEXT NOT NULL REFERENCES keys (fingerprint) ON DELETE CASCADE,
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    PRIMARY KEY (fingerprint, app)
) STRICT, WITHOUT ROWID;

CREATE TABLE removed_keys (
    fingerprint TEXT PRIMARY KEY,
    removed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE config (
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE releases (
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    commit_id TEXT,
    image_id TEXT NOT NULL,
    image_tag TEXT NOT NULL,
    by TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    live_at INTEGER,
    retired_at INTEGER,
    reason TEXT,
    sealed_config BLOB NOT NULL,
    container_id TEXT,
    address TEXT,
    port INTEGER,
    PRIMARY KEY (app, version)
) STRICT;

-- What start-up and the router ask for; most rows are retired and not in it.
CREATE INDEX releases_in_motion ON releases (state) WHERE state IN ('starting', 'live', 'draining');
CREATE UNIQUE INDEX one_live_release ON releases (app) WHERE state = 'live';

CREATE TABLE deploys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    stage TEXT NOT NULL,
    failed_in TEXT,
    commit_id TEXT,
    image_id TEXT,
    version INTEGER,
    by TEXT NOT NULL,
    message TEXT,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    reason TEXT
) STRICT;

CREATE INDEX deploys_of_app ON deploys (app, id);
CREATE INDEX deploys_unfinished ON deploys (id) WHERE finished_at IS NULL;
