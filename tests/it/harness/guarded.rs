//! Servers with a firewall, as on their users' machines.

use super::Mini;

impl Mini {
    /// Starts a server with a firewall, as on its users' machines, and serves HTTP on all addresses of this one.
    ///
    /// Its bridges have a name of their own: the rules touch no other test's apps. They go with the server.
    pub fn start_guarded() -> Self {
        let mut mini = Self::unstarted(&[]);
        mini.guard();
        mini.boot();
        mini
    }

    /// Makes a server that is not started yet one with a firewall.
    pub fn guard(&mut self) {
        self.is_guarded = true;
        self.env.push(("MINI_FIREWALL".into(), "on".into()));
        self.env.push(("MINI_BRIDGES".into(), self.bridges()));
    }

    /// How the bridges of a guarded server begin.
    pub fn bridges(&self) -> String {
        let home = self.home.path().to_str().unwrap();
        let letters = home.bytes().rev().take(5).map(|byte| char::from(byte).to_ascii_lowercase());
        format!("t{}-", letters.collect::<String>())
    }
}
