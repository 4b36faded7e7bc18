//! The verb that makes room on the server's disks.

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, PruneRow, Reply};
use crate::deploy::{Freed, Kept, Upkeep};
use crate::error::Result;

impl Platform {
    pub(super) async fn prune(&self, _permit: &Permit, all: bool) -> Result<Reply> {
        let upkeep = if all { Upkeep::All } else { Upkeep::Asked };
        let freed = Box::pin(self.deployer.make_room(upkeep)).await?;
        Ok(Reply::Value(Answer::Pruned(freed.iter().map(row).collect())))
    }
}

fn row(freed: &Freed) -> PruneRow {
    let what = match freed.what {
        Kept::Images => "images",
        Kept::BuildCache => "build cache (all that build on this engine share it)",
        Kept::Commits => "commits of old releases",
        Kept::Files => "forgotten files",
    };
    PruneRow { what: what.to_owned(), removed: freed.count, freed_bytes: freed.bytes }
}
