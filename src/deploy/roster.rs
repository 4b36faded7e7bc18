//! Which one-offs this server looks after: what is not on the roster was left by another.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{ContainerSummary, ONE_OFF};
use crate::error::{Error, Result};
use crate::model::AppId;
use crate::model::limits::MAX_ONE_OFFS;
use crate::store::App;

/// The containers of one-offs that somebody here will remove; clones share it.
#[derive(Clone, Default)]
pub(super) struct Roster(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    names: HashSet<String>,
    /// The last number given, by app: two one-offs under one number would share their log lines.
    last: HashMap<AppId, u32>,
}

/// A place on the roster; free again when dropped.
pub(super) struct Place {
    roster: Roster,
    /// The container's name.
    pub name: String,
    /// `3` of `run.3`
    pub index: u32,
}

// === impl Roster ===

impl Roster {
    /// Gives an app's next one-off its number. `present` are the containers there are. Errors: `Busy` when it has too many already.
    pub fn take(&self, app: &App, present: &[ContainerSummary]) -> Result<Place> {
        let of_app = |container: &&ContainerSummary| container.app == app.id && container.is_one_off();
        let present: Vec<&ContainerSummary> = present.iter().filter(of_app).collect();
        if present.len() >= MAX_ONE_OFFS {
            return Err(
                Error::busy(format!("{MAX_ONE_OFFS} programs of `{}` run already", app.name)).hint(format!("see them: ps {}", app.name))
            );
        }
        let mut known = self.lock();
        let last = known.last.entry(app.id.clone()).or_default();
        let highest = present.iter().map(|container| container.index).max().unwrap_or(0);
        let index = (*last).max(highest).saturating_add(1);
        *last = index;
        let name = format!("mini-{}-{}-{ONE_OFF}-{index}", app.name, &app.id.as_str()[..6]);
        known.names.insert(name.clone());
        drop(known);
        Ok(Place { roster: self.clone(), name, index })
    }

    /// Takes on a one-off that another server left; `None` when somebody here has it.
    pub fn adopt(&self, container: &ContainerSummary) -> Option<Place> {
        let is_new = self.lock().names.insert(container.name.clone());
        is_new.then(|| Place { roster: self.clone(), name: container.name.clone(), index: container.index })
    }

    /// A panic elsewhere does not make the roster wrong: each change is one assignment.
    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Place ===

impl Place {
    /// Names the process: `run.3`.
    pub fn process(&self) -> String {
        format!("{ONE_OFF}.{}", self.index)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roster.lock().names.remove(&self.name);
    }
}
