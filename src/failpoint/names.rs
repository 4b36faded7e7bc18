//! The failpoints there are, `story::moment` each, in the order in which their stories reach them.

/// Every name of the code; `tests/failpoints.rs` holds the two against each other.
pub const NAMES: &[&str] = &[
    // A new app.
    "create::repository",
    "create::before",
    "create::committed",
    // The journal: before a step is committed, after it, and after the side effect that it allows.
    "queued::before",
    "queued::committed",
    "sourced::before",
    "sourced::committed",
    "building::before",
    "building::committed",
    "built::before",
    "built::committed",
    "starting::numbered",
    "starting::before",
    "starting::committed",
    "starting::addressed",
    "starting::created",
    "starting::noted",
    "probing::committed",
    "probing::answered",
    "stored::before",
    "stored::committed",
    "stored::recorded",
    "live::before",
    "live::committed",
    "live::routed",
    "live::kept_up",
    "live::pointed",
    "draining::before",
    "draining::committed",
    "draining::drained",
    "retire::stopped",
    "retire::removed",
    "retire::noted",
    "done::committed",
    // Between git's own steps.
    "receive::proven",
    "receive::stored",
    "receive::switched",
    "receive::ended",
    // The refs of a release.
    "refs::kept",
    "refs::deployed",
    // Changes without a source.
    "config::before",
    "config::saved",
    "rollback::chosen",
    // Other processes for a live release.
    "alter::started",
    "alter::committed",
    "alter::routed",
    // The end of an app.
    "destroy::before",
    "destroy::committed",
    "destroy::cleared",
    "destroy::removed",
    // The start after an end.
    "restore::routed",
    "restore::journaled",
    "agree::ended",
    "agree::swept",
    // One request at each door.
    "proxy::request",
    "ssh::session",
    "api::call",
];
