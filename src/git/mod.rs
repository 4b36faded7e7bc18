//! The apps' repositories: real git takes and gives commits, hooks ask the server, git2 reads what came.

mod bridge;
mod calls;
mod commits;
mod fast_import;
mod hook;
mod measure;
mod options;
mod orphans;
mod program;
mod push;
mod quarantine;
mod record;
mod refs;
mod repos;
mod rules;
mod session;
mod spool;
mod stage;
#[cfg(test)]
mod testing;
mod upkeep;
mod wire;

pub use commits::{ObjectKind, TreeId};
pub use hook::hook_main;
pub use options::PushOptions;
pub use program::GitProgram;
pub use push::{HookOutput, PushHandler, PushRequest, RefUpdate, Verdict};
pub use record::{NewCommit, Recorded};
pub use refs::{DEPLOYED, branch_ref, release_ref};
pub use repos::Git;
pub use rules::{Facts, PushPlan, plan};
pub use stage::revive;
pub use upkeep::Repack;
