//! The routing table: read by every request without a lock, replaced as a whole by each change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::zone::{Place, place};
use super::{HostName, Lease, Release, Traffic, TrafficCounters};
use crate::error::{Error, Result};
use crate::model::{AppId, AppName};

/// What answers a host.
#[derive(Clone)]
pub enum Target {
    /// A release, held until this lease is dropped.
    Upstream(Lease),
    /// The app is there and takes no requests; the reason is a clause for its visitors: lower case, no full stop.
    Down { app: AppName, reason: Arc<str>, counters: Arc<TrafficCounters> },
    /// The app is there and nothing was deployed yet.
    NoRelease { app: AppName, counters: Arc<TrafficCounters> },
    /// The server itself: its bare address, or the label `mini`.
    Api,
    /// Nothing of ours.
    None,
}

/// The table of hosts; clones share it. Only room `deploy` changes it.
#[derive(Clone)]
pub struct Routes {
    shared: Arc<Shared>,
}

struct Shared {
    domain: Option<String>,
    table: ArcSwap<Table>,
    /// Changes are one at a time: each copies the table, changes the copy and publishes it.
    writing: Mutex<()>,
}

/// Apps by name.
type Table = HashMap<String, Entry>;

#[derive(Clone)]
struct Entry {
    app: AppName,
    id: AppId,
    counters: Arc<TrafficCounters>,
    down: Option<Arc<str>>,
    release: Option<Lease>,
}

// === impl Routes ===

impl Routes {
    /// Makes an empty table that also knows `<app>.<domain>`; a port in `domain` is ignored.
    ///
    /// # Errors
    /// `domain` is an address.
    pub fn new(domain: Option<&HostName>) -> Result<Routes> {
        let domain = match domain.map(HostName::name) {
            Some(None) => return Err(Error::setup("`--domain` is an address").hint("give a name such as example.com")),
            Some(Some(name)) => Some(name.to_owned()),
            None => None,
        };
        Ok(Routes { shared: Arc::new(Shared { domain, table: ArcSwap::default(), writing: Mutex::default() }) })
    }

    /// Finds what answers `host`, taking a lease when that is a release.
    #[must_use]
    pub fn lookup(&self, host: &HostName) -> Target {
        match place(host, self.shared.domain.as_deref()) {
            Place::Bare => Target::Api,
            Place::Elsewhere => Target::None,
            Place::App(label) => self.shared.table.load().get(label).map_or(Target::None, Entry::target),
        }
    }

    /// Makes an app's hosts known; an id that is already there moves to the new name and keeps the rest.
    pub fn add_app(&self, app: AppName, id: AppId) {
        self.change(|table| {
            let old = name_of(table, &id).and_then(|name| table.remove(&name));
            let mut entry = old.unwrap_or_else(|| Entry { app: app.clone(), id, counters: Arc::default(), down: None, release: None });
            entry.app = app.clone();
            table.insert(app.into(), entry);
        });
    }

    /// Forgets an app and returns the release that it had.
    pub fn remove_app(&self, id: &AppId) -> Option<Lease> {
        self.change(|table| name_of(table, id).and_then(|name| table.remove(&name))).and_then(|entry| retired(entry.release))
    }

    /// Lets `release` answer from now on and returns what it replaced, to be drained (drop the lease before waiting).
    ///
    /// An app that is not in the table stays unknown: `release` is then dropped, which drains it.
    pub fn switch(&self, id: &AppId, mut release: Release) -> Option<Lease> {
        self.change_entry(id, |entry| {
            release.count_on(&entry.counters);
            retired(entry.release.replace(Arc::new(release)))
        })
    }

    /// Answers an app's requests with 503 and `reason`, whether it has a release or not.
    pub fn set_down(&self, id: &AppId, reason: &str) {
        self.change_entry(id, |entry| {
            entry.down = Some(Arc::from(reason));
            None
        });
    }

    /// Ends [`set_down`](Self::set_down).
    pub fn set_up(&self, id: &AppId) {
        self.change_entry(id, |entry| {
            entry.down = None;
            None
        });
    }

    /// Returns what the app's requests came to since it is in this table; zero for an unknown app.
    #[must_use]
    pub fn traffic(&self, id: &AppId) -> Traffic {
        self.shared.table.load().values().find(|entry| entry.id == *id).map(|entry| entry.counters.read()).unwrap_or_default()
    }

    fn change_entry(&self, id: &AppId, with: impl FnOnce(&mut Entry) -> Option<Lease>) -> Option<Lease> {
        self.change(|table| table.values_mut().find(|entry| entry.id == *id).and_then(with))
    }

    fn change<T>(&self, with: impl FnOnce(&mut Table) -> T) -> T {
        let _one_at_a_time = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.shared.table.load());
        let result = with(&mut table);
        self.shared.table.store(Arc::new(table));
        result
    }
}

// === impl Entry ===

impl Entry {
    fn target(&self) -> Target {
        match (&self.down, &self.release) {
            (Some(reason), _) => Target::Down { app: self.app.clone(), reason: Arc::clone(reason), counters: Arc::clone(&self.counters) },
            (None, Some(release)) => Target::Upstream(Arc::clone(release)),
            (None, None) => Target::NoRelease { app: self.app.clone(), counters: Arc::clone(&self.counters) },
        }
    }
}

fn name_of(table: &Table, id: &AppId) -> Option<String> {
    table.iter().find(|(_, entry)| entry.id == *id).map(|(name, _)| name.clone())
}

fn retired(release: Option<Lease>) -> Option<Lease> {
    release.inspect(|release| release.retire())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Drained;
    use super::*;
    use crate::model::Version;

    fn release(id: &AppId, version: u32) -> (Release, Drained) {
        Release::new("blog".parse().unwrap(), id.clone(), Version(version), "127.0.0.1:1".parse().unwrap())
    }

    fn routes() -> (Routes, AppId) {
        let (routes, id) = (Routes::new(None).unwrap(), AppId::random());
        routes.add_app("blog".parse().unwrap(), id.clone());
        (routes, id)
    }

    fn blog(routes: &Routes) -> Target {
        routes.lookup(&"blog.localhost".parse().unwrap())
    }

    fn lease(routes: &Routes) -> Lease {
        match blog(routes) {
            Target::Upstream(lease) => lease,
            _ => panic!("no release answers"),
        }
    }

    #[test]
    fn an_app_goes_from_unknown_over_empty_to_live_and_down() {
        let (routes, id) = (Routes::new(None).unwrap(), AppId::random());
        assert!(matches!(blog(&routes), Target::None));

        routes.add_app("blog".parse().unwrap(), id.clone());
        assert!(matches!(blog(&routes), Target::NoRelease { .. }));

        routes.switch(&id, release(&id, 1).0);
        assert_eq!(lease(&routes).version(), Version(1));

        routes.set_down(&id, "stopped");
        assert!(matches!(blog(&routes), Target::Down { reason, .. } if &*reason == "stopped"));

        routes.set_up(&id);
        assert_eq!(lease(&routes).version(), Version(1));

        assert!(routes.remove_app(&id).is_some());
        assert!(matches!(blog(&routes), Target::None));
    }

    #[tokio::test]
    async fn a_release_is_drained_only_after_its_last_lease() {
        let (routes, id) = routes();
        let (first, drained) = release(&id, 1);
        routes.switch(&id, first);
        let running = lease(&routes);

        let old = routes.switch(&id, release(&id, 2).0).expect("v1 was replaced");
        assert_eq!(old.version(), Version(1));
        assert!(old.is_retired());
        drop(old);
        assert!(!drained.is_drained());
        drop(running);

        tokio::time::timeout(Duration::from_secs(1), drained.wait()).await.expect("nobody holds v1");
    }

    #[test]
    fn concurrent_lookups_always_find_a_release_during_switches() {
        let (routes, id) = routes();
        routes.switch(&id, release(&id, 1).0);

        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut last = Version(0);
                        for _ in 0..5_000 {
                            let now = lease(&routes).version();
                            assert!(now >= last, "a look-up went back in time");
                            last = now;
                        }
                    })
                })
                .collect();
            for version in 2..300 {
                let replaced = routes.switch(&id, release(&id, version).0).expect("there was one before");
                assert_eq!(replaced.version(), Version(version - 1));
            }
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }

    #[test]
    fn traffic_is_counted_per_app_across_releases() {
        let (routes, id) = routes();
        for version in 1..=3 {
            routes.switch(&id, release(&id, version).0);
            lease(&routes).counters().answered();
        }
        lease(&routes).counters().failed();

        assert_eq!(routes.traffic(&id), Traffic { served: 3, failed: 1 });
        assert_eq!(routes.traffic(&AppId::random()), Traffic::default());
    }

    #[test]
    fn a_release_of_an_unknown_app_is_drained_at_once() {
        let routes = Routes::new(None).unwrap();
        let (release, drained) = release(&AppId::random(), 1);

        assert!(routes.switch(&AppId::random(), release).is_none());
        assert!(drained.is_drained());
    }

    #[test]
    fn a_renamed_app_keeps_its_release() {
        let (routes, id) = routes();
        routes.switch(&id, release(&id, 1).0);

        routes.add_app("journal".parse().unwrap(), id);

        assert!(matches!(blog(&routes), Target::None));
        assert!(matches!(routes.lookup(&"journal.localhost".parse().unwrap()), Target::Upstream(_)));
    }
}
