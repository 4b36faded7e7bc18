//! What a deploy says, as lines of the app's log; a build that says very much is cut there.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Deployer, Talk};
use crate::command::{Batch, backlog, skipped};
use crate::logs::{LogLine, Source};
use crate::model::limits::MAX_BUILD_LOG_BYTES;
use crate::model::{AppId, Stamp};

/// How a detail begins: what builds and containers print.
const DETAIL: &str = "       ";

impl Deployer {
    /// Returns a talk that also writes into the app's log, as `mini[build]`.
    ///
    /// Of details no more than [`MAX_BUILD_LOG_BYTES`]: a build must not drive all else out of the log.
    pub(super) fn logged(&self, app: &AppId, talk: &Talk) -> Talk {
        let (teller, mut said) = backlog::<LogLine>();
        let (deployer, app) = (self.clone(), app.clone());
        let line_of = |text: &str| LogLine::new(Stamp::now(), Source::mini("build"), text);
        self.in_background(async move {
            while let Some(Batch { skipped: count, mut items }) = said.next().await {
                if count > 0 {
                    items.insert(0, line_of(&skipped(count)));
                }
                deployer.note_all(&app, items).await;
            }
        });
        let detail_bytes = AtomicU64::new(0);
        // The writer ends when the last clone of this talk is dropped.
        talk.and(move |line| {
            let is_detail = line.starts_with(DETAIL);
            let before = if is_detail { detail_bytes.fetch_add(line.len() as u64, Ordering::Relaxed) } else { 0 };
            if before <= MAX_BUILD_LOG_BYTES {
                teller.tell(line_of(line), line.len());
                if is_detail && before + line.len() as u64 > MAX_BUILD_LOG_BYTES {
                    teller.tell_surely(line_of(&format!(
                        "{DETAIL}… more is left out here: its end is in the deploy's own output, see `builds`"
                    )));
                }
            }
        })
    }
}
