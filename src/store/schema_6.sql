-- What the proxy needs of apps: domains of their owners' own, and what it does for an app besides forwarding.

CREATE TABLE domains (
    -- As DNS has it: lower case, punycode, no trailing dot.
    name TEXT PRIMARY KEY,
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX domains_of_app ON domains (app);

-- model::Edge as JSON; NULL: nothing was asked for.
ALTER TABLE apps ADD COLUMN edge TEXT;
