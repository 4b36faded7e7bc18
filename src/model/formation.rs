//! What a release can run, and how many of each an app wants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ProcessType;

/// The process types of a release with their commands, as its Procfile says; without one: `web`, with the image's own command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessTable {
    processes: BTreeMap<ProcessType, Option<Vec<String>>>,
    /// What runs once before the release goes live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<Vec<String>>,
}

/// How many processes of each type an app wants. A type that nobody scaled has its default: one `web`, none of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formation(BTreeMap<ProcessType, u32>);

// === impl ProcessTable ===

impl ProcessTable {
    #[must_use]
    pub fn new(processes: BTreeMap<ProcessType, Option<Vec<String>>>, release: Option<Vec<String>>) -> Self {
        ProcessTable { processes, release }
    }

    /// Returns the types, in the order of their names.
    pub fn types(&self) -> impl Iterator<Item = &ProcessType> {
        self.processes.keys()
    }

    #[must_use]
    pub fn has(&self, kind: &ProcessType) -> bool {
        self.processes.contains_key(kind)
    }

    /// Returns the program and arguments of a type; `None` is the image's own command.
    #[must_use]
    pub fn command(&self, kind: &ProcessType) -> Option<&[String]> {
        if *kind == ProcessType::release() {
            return self.release_command();
        }
        self.processes.get(kind)?.as_deref()
    }

    /// Returns what runs once before the release goes live.
    #[must_use]
    pub fn release_command(&self) -> Option<&[String]> {
        self.release.as_deref()
    }

    /// Returns the processes that should run, by type and number from 1.
    #[must_use]
    pub fn wanted(&self, formation: &Formation) -> Vec<(ProcessType, u32)> {
        self.types().flat_map(|kind| (1..=formation.quantity(kind)).map(|number| (kind.clone(), number))).collect()
    }
}

impl Default for ProcessTable {
    fn default() -> Self {
        ProcessTable { processes: BTreeMap::from([(ProcessType::web(), None)]), release: None }
    }
}

// === impl Formation ===

impl Formation {
    /// Returns how many processes of a type are wanted.
    #[must_use]
    pub fn quantity(&self, kind: &ProcessType) -> u32 {
        self.0.get(kind).copied().unwrap_or(u32::from(kind.is_web()))
    }

    pub fn set(&mut self, kind: ProcessType, quantity: u32) {
        self.0.insert(kind, quantity);
    }

    /// Returns what was scaled, by type.
    pub fn scaled(&self) -> impl Iterator<Item = (&ProcessType, u32)> {
        self.0.iter().map(|(kind, quantity)| (kind, *quantity))
    }
}

impl FromIterator<(ProcessType, u32)> for Formation {
    fn from_iter<I: IntoIterator<Item = (ProcessType, u32)>>(pairs: I) -> Self {
        Formation(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> ProcessType {
        name.parse().unwrap()
    }

    fn wanted(table: &ProcessTable, formation: &Formation) -> Vec<String> {
        table.wanted(formation).iter().map(|(kind, number)| format!("{kind}.{number}")).collect()
    }

    #[test]
    fn one_web_runs_and_the_others_wait_until_they_are_scaled() {
        let table = ProcessTable::new([(kind("web"), None), (kind("worker"), Some(vec!["work".into()]))].into(), None);
        let mut formation = Formation::default();
        assert_eq!(wanted(&table, &formation), ["web.1"]);

        formation.set(kind("worker"), 1);
        formation.set(kind("web"), 2);
        formation.set(kind("gone"), 5);

        assert_eq!(wanted(&table, &formation), ["web.1", "web.2", "worker.1"]);
        formation.set(kind("web"), 0);
        assert_eq!(wanted(&table, &formation), ["worker.1"]);
    }

    #[test]
    fn a_table_survives_its_json() {
        let table = ProcessTable::new([(kind("worker"), Some(vec!["work".into(), "-x".into()]))].into(), Some(vec!["migrate".into()]));

        let read: ProcessTable = serde_json::from_str(&serde_json::to_string(&table).unwrap()).unwrap();

        assert_eq!(read, table);
        assert!(!read.has(&ProcessType::web()) && ProcessTable::default().command(&ProcessType::web()).is_none());
    }
}
