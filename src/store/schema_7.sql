-- HTTPS at domains of apps' owners' own: each row goes with its domain.

CREATE TABLE certificates (
    domain TEXT NOT NULL REFERENCES domains (name) ON DELETE CASCADE,
    -- auto: got by the server itself; own: brought by the app's owner.
    source TEXT NOT NULL,
    chain_pem TEXT NOT NULL,
    sealed_key BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    added_at INTEGER NOT NULL,
    PRIMARY KEY (domain, source)
) STRICT, WITHOUT ROWID;

-- What did not work when a certificate was ordered, so that a restart does not begin anew.
CREATE TABLE certificate_orders (
    domain TEXT PRIMARY KEY REFERENCES domains (name) ON DELETE CASCADE,
    failures INTEGER NOT NULL,
    -- NULL: as soon as may be.
    next_at INTEGER,
    last_error TEXT
) STRICT, WITHOUT ROWID;

-- Accounts at certificate authorities, by the address of the directory.
CREATE TABLE acme_accounts (
    directory TEXT PRIMARY KEY,
    sealed_credentials BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Whether the server gets certificates for an app's domains by itself.
ALTER TABLE apps ADD COLUMN auto_certificates INTEGER NOT NULL DEFAULT 1;
