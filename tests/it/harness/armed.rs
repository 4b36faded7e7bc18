//! Servers with something armed at their failpoints.

use std::os::unix::process::ExitStatusExt;

use super::{Mini, eventually};

impl Mini {
    /// Starts the server with actions at its failpoints, such as `live::committed=kill`; they count for this start only.
    pub fn boot_armed(&mut self, failpoints: &str) {
        self.env.push(("FAILPOINTS".into(), failpoints.into()));
        self.boot();
        self.env.pop();
    }

    /// Waits until the server has killed itself.
    #[track_caller]
    pub fn dies(&mut self) {
        let child = self.server.as_mut().expect("the server runs");
        let status = eventually("the server to kill itself", || child.try_wait().unwrap());
        assert_eq!(status.signal(), Some(9), "{status}; its log: {}", self.log());
        self.server = None;
    }
}
