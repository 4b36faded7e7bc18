-- Volumes whose data somebody has asked to delete: that is done when no container uses them any more.
CREATE TABLE doomed_volumes (volume TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
