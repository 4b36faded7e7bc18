//! How often it is tried to start what a live release lacks: what fails is tried again, less and less often.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::AppId;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The apps whose last try failed: when, and how long they are left alone after it.
#[derive(Default)]
pub(super) struct Patience(Mutex<HashMap<AppId, (Instant, Duration)>>);

// === impl Patience ===

impl Patience {
    /// Tells whether an app's processes may be tried again now.
    pub fn allows(&self, app: &AppId) -> bool {
        self.lock().get(app).is_none_or(|(failed_at, pause)| failed_at.elapsed() >= *pause)
    }

    /// Notes how a try went.
    pub fn note(&self, app: &AppId, went_well: bool) {
        let mut apps = self.lock();
        if went_well {
            apps.remove(app);
            return;
        }
        let pause = apps.get(app).map_or(FIRST_PAUSE, |(_, pause)| (*pause * 2).min(LONGEST_PAUSE));
        apps.insert(app.clone(), (Instant::now(), pause));
    }

    /// A panic elsewhere does not make this wrong: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, (Instant, Duration)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_left_alone_for_longer_and_longer_until_it_goes_well() {
        let (patience, app) = (Patience::default(), AppId::random());
        assert!(patience.allows(&app));

        for _ in 0..10 {
            patience.note(&app, false);
        }
        assert!(!patience.allows(&app));
        assert_eq!(patience.lock().get(&app).unwrap().1, LONGEST_PAUSE);

        patience.note(&app, true);
        assert!(patience.allows(&app) && patience.allows(&AppId::random()));
    }
}
