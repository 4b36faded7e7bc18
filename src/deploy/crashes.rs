//! How often processes died lately: one death is an accident, many are a loop.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::model::ContainerId;
use crate::model::limits::{CRASH_LOOP, CRASH_LOOP_TIME};
use crate::model::size::in_words;
use crate::store::{App, Process};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Death {
    pub exit_code: i64,
    pub oom: bool,
}

/// The deaths of processes that are to run.
#[derive(Default)]
pub(super) struct Crashes(Mutex<Known>);

#[derive(Default)]
struct Known {
    deaths: HashMap<ContainerId, (VecDeque<Instant>, Death)>,
    /// Those that mini stops itself.
    expected: HashSet<ContainerId>,
}

// === impl Death ===

impl Death {
    /// Says why, in a clause: `out of memory, limit 512 MiB`.
    pub fn why(self, app: &App) -> String {
        match (self.oom, app.memory_bytes) {
            (true, Some(limit)) => format!("out of memory, limit {}", in_words(limit)),
            (true, None) => "out of memory".to_owned(),
            (false, _) => format!("exit code {}", self.exit_code),
        }
    }
}

// === impl Crashes ===

impl Crashes {
    /// Notes a death and returns how many there were lately, this one included.
    pub fn note(&self, container: &ContainerId, death: Death) -> usize {
        let mut known = self.lock();
        let (times, last) = known.deaths.entry(container.clone()).or_insert_with(|| (VecDeque::new(), death));
        *last = death;
        times.push_back(Instant::now());
        while times.len() > CRASH_LOOP || times.front().is_some_and(|at| at.elapsed() > CRASH_LOOP_TIME) {
            times.pop_front();
        }
        times.len()
    }

    /// Returns how a process died last, and whether it does so again and again.
    pub fn of(&self, container: &ContainerId) -> Option<(Death, bool)> {
        let known = self.lock();
        let (times, death) = known.deaths.get(container)?;
        let lately = times.iter().filter(|at| at.elapsed() <= CRASH_LOOP_TIME).count();
        (lately > 0).then_some((*death, lately >= CRASH_LOOP))
    }

    pub fn forget(&self, container: &ContainerId) {
        let mut known = self.lock();
        known.deaths.remove(container);
        known.expected.remove(container);
    }

    pub fn is_expected(&self, container: &ContainerId) -> bool {
        self.lock().expected.contains(container)
    }

    pub fn expect(&self, processes: &[Process], ends: bool) {
        let mut known = self.lock();
        for container in processes.iter().filter_map(|process| process.container.as_ref()) {
            if ends {
                known.expected.insert(container.clone())
            } else {
                known.expected.remove(container)
            };
        }
    }

    /// A panic elsewhere does not make this wrong: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_deaths_are_a_loop_and_the_last_one_is_told() {
        let (crashes, container) = (Crashes::default(), "c".repeat(64).parse().unwrap());
        assert_eq!(crashes.of(&container), None);

        for _ in 1..CRASH_LOOP {
            crashes.note(&container, Death { exit_code: 1, oom: false });
        }
        assert_eq!(crashes.of(&container), Some((Death { exit_code: 1, oom: false }, false)));
        assert_eq!(crashes.note(&container, Death { exit_code: 137, oom: true }), CRASH_LOOP);

        assert_eq!(crashes.of(&container), Some((Death { exit_code: 137, oom: true }, true)));
        crashes.forget(&container);
        assert_eq!(crashes.of(&container), None);
    }
}
