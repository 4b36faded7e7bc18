//! What both ends of a channel know of the client: still there, asked to stop, or away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// The client's presence at one channel. Clones share it.
#[derive(Clone)]
pub(super) struct Presence {
    /// The channel is over for both sides.
    closed: CancellationToken,
    /// The desk need not go on; what it still says is sent as long as the channel is open.
    gone: CancellationToken,
    interrupted: Arc<AtomicBool>,
}

// === impl Presence ===

impl Presence {
    /// Makes the presence of a new channel on a connection that ends with `cut`.
    pub fn new(cut: &CancellationToken) -> Self {
        let closed = cut.child_token();
        let gone = closed.child_token();
        Presence { closed, gone, interrupted: Arc::default() }
    }

    /// Notes ^C: the desk is told to stop, the channel stays open for its last words.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        self.gone.cancel();
    }

    /// Ends the channel.
    pub fn close(&self) {
        self.closed.cancel();
    }

    pub fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    pub fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }
}
