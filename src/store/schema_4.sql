-- Apps whose rows are gone, while something else of theirs may still be there: what the engine holds, repository, logs.
CREATE TABLE destroyed_apps (
    app TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
