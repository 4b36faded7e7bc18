-- Processes: what a release can run, how many of each an app wants, where each one is; and what containers of an app may use.

-- model::ProcessTable as JSON; NULL: `web` alone, with the image's own command.
ALTER TABLE releases ADD COLUMN process_table TEXT;

-- What `ps:scale` asked for; a type that is not here has its default.
CREATE TABLE formation (
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (app, kind)
) STRICT, WITHOUT ROWID;

-- One row a container of a release, from before it is made until after it is removed. `releases` shows the first web process too,
-- so that the mini of before finds it.
CREATE TABLE processes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    number INTEGER NOT NULL CHECK (number >= 1),
    state TEXT NOT NULL,
    address TEXT,
    container_id TEXT,
    FOREIGN KEY (app, version) REFERENCES releases (app, version) ON DELETE CASCADE
) STRICT;

CREATE INDEX processes_of_app ON processes (app, version);

-- 1: `ps:stop` was said, and nothing has started the app since.
ALTER TABLE apps ADD COLUMN is_stopped INTEGER NOT NULL DEFAULT 0;
-- NULL: no limit.
ALTER TABLE apps ADD COLUMN memory_bytes INTEGER;
-- Thousandths of a processor.
ALTER TABLE apps ADD COLUMN cpu_millis INTEGER;
-- 1: releases of an app with storage run beside each other for a moment; 0: the old one ends first.
ALTER TABLE apps ADD COLUMN overlaps INTEGER NOT NULL DEFAULT 0;
-- What is asked to see whether a release is ready, and how long; NULL: the defaults.
ALTER TABLE apps ADD COLUMN health_path TEXT;
ALTER TABLE apps ADD COLUMN health_seconds INTEGER;

-- Volumes of an app, and where its containers see them.
CREATE TABLE storage (
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    PRIMARY KEY (app, name),
    UNIQUE (app, path)
) STRICT, WITHOUT ROWID;

-- `app` reaches `target` by its name.
CREATE TABLE links (
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    target TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    PRIMARY KEY (app, target)
) STRICT, WITHOUT ROWID;
