//! The apps' repositories: real git takes and gives commits, hooks ask the server, git2 reads what came.

mod bridge;
mod calls;
mod commits;
mod hook;
mod measure;
mod options;
mod program;
mod push;
mod quarantine;
mod refs;
mod repos;
mod rules;
mod session;
mod spool;
#[cfg(test)]
mod testing;
mod wire;

pub use commits::ObjectKind;
pub use hook::hook_main;
pub use options::PushOptions;
pub use program::GitProgram;
pub use push::{HookOutput, PushHandler, PushRequest, RefUpdate, Verdict};
pub use refs::{DEPLOYED, branch_ref, release_ref};
pub use repos::Git;
pub use rules::{Facts, PushPlan, plan};
