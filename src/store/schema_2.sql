-- API keys, the registries that images are pulled from, and releases that are no push.

CREATE TABLE tokens (
    -- The public half of the key: what people and logs see of it.
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    -- As in keys: 1 means only the apps in token_apps, also when those are none any more.
    scoped INTEGER NOT NULL,
    -- SHA-256 of the whole key, 32 bytes.
    digest BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER
) STRICT;

CREATE TABLE token_apps (
    token TEXT NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    PRIMARY KEY (token, app)
) STRICT, WITHOUT ROWID;

CREATE TABLE registries (
    -- As it stands before the first slash of an image's name, such as registry.example.com:5000.
    host TEXT PRIMARY KEY,
    username TEXT NOT NULL,
    sealed_password BLOB NOT NULL,
    added_at INTEGER NOT NULL,
    added_by TEXT NOT NULL
) STRICT;

-- The kind, where the first schema has no word for it; `kind` is then 'push', so that the mini of before reads the row.
ALTER TABLE releases ADD COLUMN newer_kind TEXT;
ALTER TABLE deploys ADD COLUMN newer_kind TEXT;

-- 1: mini made the commit of an upload, and no branch holds it (model::Revision).
ALTER TABLE releases ADD COLUMN is_recorded INTEGER NOT NULL DEFAULT 0;

-- TCP ports of the machine itself that an app may reach.
CREATE TABLE host_ports (
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    PRIMARY KEY (app, port)
) STRICT, WITHOUT ROWID;
