//! The routing table: read by every request without a lock, replaced as a whole by each change.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::zone::{Place, place};
use super::{AccessLog, Certificates, Edge, HostName, Lease, Meter, Release, Traffic, WaitingRoom};
use crate::error::{Error, Result};
use crate::model::{AppId, AppName, Version};

/// What the table knows of a host.
pub struct Found {
    pub target: Target,
    /// Its app's wishes; `None` where there is no app.
    pub edge: Option<Arc<Edge>>,
    /// What its app's requests are counted by.
    pub meter: Option<Arc<Meter>>,
}

/// An app, for those who tell how its requests go.
pub struct Metered {
    pub app: AppName,
    pub meter: Arc<Meter>,
    /// Whether it has a release that requests go to.
    pub is_up: bool,
}

/// What answers a host.
#[derive(Clone)]
pub enum Target {
    /// A release, held until this lease is dropped.
    Upstream(Lease),
    /// The app is there and takes no requests; the reason is a clause for its visitors: lower case, no full stop.
    Down { app: AppName, reason: Arc<str>, counters: Arc<Meter> },
    /// Nothing of the app answers for a moment: its requests wait in its room for the next change.
    Held { app: AppName, counters: Arc<Meter>, waiting_room: Arc<WaitingRoom> },
    /// The app is there and nothing was deployed yet.
    NoRelease { app: AppName, counters: Arc<Meter> },
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
    access: AccessLog,
    certificates: Certificates,
    table: ArcSwap<Table>,
    /// Changes are one at a time: each copies the table, changes the copy and publishes it.
    writing: Mutex<()>,
}

#[derive(Clone, Default)]
struct Table {
    apps: HashMap<AppId, Arc<Entry>>,
    /// The same by their names: most requests are for those.
    names: HashMap<String, Arc<Entry>>,
    /// Domains of their owners' own.
    domains: HashMap<String, AppId>,
}

#[derive(Clone)]
struct Entry {
    app: AppName,
    meter: Arc<Meter>,
    waiting_room: Arc<WaitingRoom>,
    edge: Arc<Edge>,
    down: Option<Arc<str>>,
    is_held: bool,
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
        Ok(Routes {
            shared: Arc::new(Shared {
                domain,
                access: AccessLog::default(),
                certificates: Certificates::default(),
                table: ArcSwap::default(),
                writing: Mutex::default(),
            }),
        })
    }

    /// Returns the certificates by which the server's hosts are known.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.shared.certificates
    }

    /// Finds what answers `host`, taking a lease when that is a release.
    #[must_use]
    pub fn lookup(&self, host: &HostName) -> Target {
        self.find(host).target
    }

    /// As [`Self::lookup`], with what its app wants of the proxy.
    #[must_use]
    pub fn find(&self, host: &HostName) -> Found {
        let table = self.shared.table.load();
        let entry = match place(host, self.shared.domain.as_deref()) {
            Place::Bare => return Found { target: Target::Api, edge: None, meter: None },
            Place::Elsewhere => table.behind(host),
            Place::App(label) => table.names.get(label).or_else(|| table.behind(host)),
        };
        match entry {
            Some(entry) => Found { target: entry.target(), edge: Some(Arc::clone(&entry.edge)), meter: Some(Arc::clone(&entry.meter)) },
            None => Found { target: Target::None, edge: None, meter: None },
        }
    }

    /// Tells whether two hosts are domains of one app.
    #[must_use]
    pub fn share_an_app(&self, one: &HostName, other: &HostName) -> bool {
        let table = self.shared.table.load();
        let owner = |host: &HostName| table.domains.get(host.name()?);
        owner(one).is_some_and(|app| owner(other) == Some(app))
    }

    /// Returns the first by name of an app's domains that clients are served at over TLS.
    #[must_use]
    pub fn secure_domain(&self, app: &AppName) -> Option<String> {
        let table = self.shared.table.load();
        let id = table.names.get(app.as_str())?.meter.app();
        let secure = |domain: &&String| self.shared.certificates.find(domain).is_some_and(|certificate| !certificate.has_ended());
        table.domains.iter().filter(|(_, of)| *of == id).map(|(domain, _)| domain).filter(secure).min().cloned()
    }

    /// Makes an app's hosts known; an id that is already there moves to the new name and keeps the rest.
    pub fn add_app(&self, app: AppName, id: AppId) {
        self.change(|table| {
            let entry = table.take(&id).map_or_else(|| Entry::new(app.clone(), id.clone()), Arc::unwrap_or_clone);
            table.put(id, Entry { app, ..entry });
        });
    }

    /// Makes these the domains that lead to an app besides its own name, in place of those of before; ports are ignored.
    ///
    /// A domain leads to one app: the last one that it was given to. Addresses lead to none.
    pub fn set_domains(&self, id: &AppId, domains: &[HostName]) {
        let names: HashSet<&str> = domains.iter().filter_map(HostName::name).collect();
        let has = |table: &Table| {
            let of_app = table.domains.values().filter(|app| *app == id).count();
            of_app == names.len() && names.iter().all(|name| table.domains.get(*name) == Some(id))
        };
        // Each resync says it again.
        if has(&self.shared.table.load()) {
            return;
        }
        self.change(|table| {
            table.domains.retain(|_, app| app != id);
            table.domains.extend(names.iter().map(|name| ((*name).to_owned(), id.clone())));
        });
    }

    /// Makes these an app's wishes; requests that are under way keep those of before.
    pub fn set_edge(&self, id: &AppId, edge: &Edge) {
        // Each resync says it again.
        if self.shared.table.load().apps.get(id).is_some_and(|entry| *entry.edge == *edge) {
            return;
        }
        self.change_entry(id, |entry| {
            entry.edge = Arc::new(edge.clone());
            None
        });
    }

    /// Forgets an app and returns the release that it had.
    pub fn remove_app(&self, id: &AppId) -> Option<Lease> {
        let entry = self.change(|table| {
            table.domains.retain(|_, app| app != id);
            table.take(id)
        })?;
        entry.waiting_room.wake();
        retired(entry.release.clone())
    }

    /// Lets `release` answer from now on and returns what it replaced, to be drained (drop the lease before waiting). Ends
    /// [`hold`](Self::hold), unless `release` has no upstream.
    ///
    /// An app that is not in the table stays unknown: `release` is then dropped, which drains it.
    pub fn switch(&self, id: &AppId, mut release: Release) -> Option<Lease> {
        self.change_entry(id, |entry| {
            release.belong(&entry.meter, &entry.waiting_room);
            entry.is_held = false;
            retired(entry.release.replace(Arc::new(release)))
        })
    }

    /// Lets an app's requests wait for the next [`switch`](Self::switch), and returns the release that it had, to be drained.
    pub fn hold(&self, id: &AppId) -> Option<Lease> {
        self.change_entry(id, |entry| {
            entry.is_held = true;
            retired(entry.release.take())
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

    /// Returns where requests are told one by one.
    #[must_use]
    pub fn access(&self) -> &AccessLog {
        &self.shared.access
    }

    /// Returns all apps with what their requests are counted by, in the order of their names.
    #[must_use]
    pub fn metered(&self) -> Vec<Metered> {
        let table = self.shared.table.load();
        let metered = |entry: &Arc<Entry>| Metered {
            app: entry.app.clone(),
            meter: Arc::clone(&entry.meter),
            is_up: matches!(entry.target(), Target::Upstream(_)),
        };
        let mut all: Vec<Metered> = table.apps.values().map(metered).collect();
        all.sort_by(|one, other| one.app.cmp(&other.app));
        all
    }

    /// Keeps what all apps' requests came to by now, for [`Meter::recent`].
    pub fn sample(&self) {
        for entry in self.shared.table.load().apps.values() {
            entry.meter.sample();
        }
    }

    /// Returns what the app's requests came to since it is in this table; zero for an unknown app.
    #[must_use]
    pub fn traffic(&self, id: &AppId) -> Traffic {
        self.shared.table.load().apps.get(id).map(|entry| entry.meter.traffic()).unwrap_or_default()
    }

    /// Returns the version of the release that an app's requests go to, whether the app is down or not; `None` while it is held or unknown.
    #[must_use]
    pub fn version(&self, id: &AppId) -> Option<Version> {
        let table = self.shared.table.load();
        table.apps.get(id).and_then(|entry| entry.release.as_ref()).map(|release| release.version())
    }

    /// Returns where an app's release answers, whether the app is down or not; nothing while it is held or unknown.
    #[must_use]
    pub fn upstreams(&self, id: &AppId) -> Vec<SocketAddr> {
        let table = self.shared.table.load();
        let release = table.apps.get(id).and_then(|entry| entry.release.as_ref());
        release.map(|release| release.upstreams().collect()).unwrap_or_default()
    }

    fn change_entry(&self, id: &AppId, with: impl FnOnce(&mut Entry) -> Option<Lease>) -> Option<Lease> {
        let changed = |entry: &mut Entry| (with(entry), Arc::clone(&entry.waiting_room));
        let (lease, waiting_room) = self.change(|table| table.change(id, changed))?;
        // After the new table stands: who wakes looks there.
        waiting_room.wake();
        lease
    }

    fn change<T>(&self, with: impl FnOnce(&mut Table) -> T) -> T {
        let _one_at_a_time = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.shared.table.load());
        let result = with(&mut table);
        self.shared.table.store(Arc::new(table));
        result
    }
}

// === impl Table ===

impl Table {
    /// Finds the app that a domain of its owner's leads to.
    fn behind(&self, host: &HostName) -> Option<&Arc<Entry>> {
        self.domains.get(host.name()?).and_then(|id| self.apps.get(id))
    }

    /// Takes an app and its name out; its domains stay.
    fn take(&mut self, id: &AppId) -> Option<Arc<Entry>> {
        let entry = self.apps.remove(id)?;
        if self.named(&entry).is_some() {
            self.names.remove(entry.app.as_str());
        }
        Some(entry)
    }

    fn change<T>(&mut self, id: &AppId, with: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let before = Arc::clone(self.apps.get(id)?);
        let mut entry = Entry::clone(&before);
        let result = with(&mut entry);
        let entry = Arc::new(entry);
        if let Some(named) = self.named(&before) {
            *named = Arc::clone(&entry);
        }
        self.apps.insert(id.clone(), entry);
        Some(result)
    }

    /// Finds an app's place among the names, which another app may have by now.
    fn named(&mut self, entry: &Arc<Entry>) -> Option<&mut Arc<Entry>> {
        self.names.get_mut(entry.app.as_str()).filter(|named| Arc::ptr_eq(named, entry))
    }

    fn put(&mut self, id: AppId, entry: Entry) {
        let entry = Arc::new(entry);
        self.names.insert(entry.app.to_string(), Arc::clone(&entry));
        self.apps.insert(id, entry);
    }
}

// === impl Entry ===

impl Entry {
    fn new(app: AppName, id: AppId) -> Entry {
        Entry {
            app,
            meter: Arc::new(Meter::new(id)),
            waiting_room: Arc::default(),
            edge: Arc::default(),
            down: None,
            is_held: false,
            release: None,
        }
    }

    fn target(&self) -> Target {
        match (&self.down, &self.release) {
            (Some(reason), _) => Target::Down { app: self.app.clone(), reason: Arc::clone(reason), counters: Arc::clone(&self.meter) },
            (None, Some(release)) if release.count() > 0 => Target::Upstream(Arc::clone(release)),
            (None, None) if !self.is_held => Target::NoRelease { app: self.app.clone(), counters: Arc::clone(&self.meter) },
            (None, _) => {
                Target::Held { app: self.app.clone(), counters: Arc::clone(&self.meter), waiting_room: Arc::clone(&self.waiting_room) }
            }
        }
    }
}

fn retired(release: Option<Lease>) -> Option<Lease> {
    release.inspect(|release| release.retire())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Drained;
    use super::super::testing::certificate;
    use super::*;

    fn release(id: &AppId, version: u32) -> (Release, Drained) {
        Release::new("blog".parse().unwrap(), id.clone(), Version(version), vec!["127.0.0.1:1".parse().unwrap()])
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

    #[test]
    fn a_held_app_gives_its_release_back_and_waits_for_the_next() {
        let (routes, id) = routes();
        routes.switch(&id, release(&id, 1).0);
        assert_eq!(routes.upstreams(&id), ["127.0.0.1:1".parse().unwrap()]);

        let held = routes.hold(&id).expect("v1 was there");
        assert!(held.is_retired() && routes.upstreams(&id).is_empty());
        assert!(matches!(blog(&routes), Target::Held { .. }));

        routes.set_down(&id, "stopped");
        assert!(matches!(blog(&routes), Target::Down { .. }));
        routes.set_up(&id);
        assert!(matches!(blog(&routes), Target::Held { .. }));

        assert!(routes.switch(&id, release(&id, 2).0).is_none());
        assert_eq!(lease(&routes).version(), Version(2));
    }

    #[tokio::test]
    async fn each_change_of_an_app_wakes_who_waits_for_it_and_nobody_else() {
        let (routes, id) = routes();
        let other = AppId::random();
        routes.add_app("shop".parse().unwrap(), other.clone());
        routes.hold(&id);
        let Target::Held { waiting_room, .. } = blog(&routes) else { panic!("it is held") };
        let mut waiting = waiting_room.enter(1).unwrap();

        routes.switch(&other, release(&other, 1).0);
        assert!(tokio::time::timeout(Duration::from_millis(20), waiting.changed()).await.is_err());

        routes.switch(&id, release(&id, 1).0);
        tokio::time::timeout(Duration::from_secs(1), waiting.changed()).await.expect("a switch is told");
        routes.remove_app(&id);
        tokio::time::timeout(Duration::from_secs(1), waiting.changed()).await.expect("a removal is told");
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
    fn a_domain_leads_to_the_app_that_it_was_given_to_last() {
        let (routes, id) = routes();
        let shop = AppId::random();
        routes.add_app("shop".parse().unwrap(), shop.clone());
        let hosts = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<HostName>>();
        let leads_to = |name: &str| match routes.lookup(&name.parse().unwrap()) {
            Target::NoRelease { app, .. } => Some(app.to_string()),
            _ => None,
        };

        routes.set_domains(&id, &hosts(&["example.org", "www.example.org"]));
        routes.set_domains(&shop, &hosts(&["example.org"]));
        assert_eq!(leads_to("example.org").as_deref(), Some("shop"));
        assert_eq!(leads_to("WWW.example.org.:8080").as_deref(), Some("blog"));
        assert_eq!(leads_to("a.example.org"), None);

        let share = |one: &str, other: &str| routes.share_an_app(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(!share("www.example.org", "example.org") && !share("a.example.org", "b.example.org"));
        routes.set_domains(&id, &hosts(&["example.com", "www.example.org"]));
        assert!(share("www.example.org:8080", "example.com"));

        let secure = |app: &str| routes.secure_domain(&app.parse().unwrap());
        assert_eq!(secure("blog"), None);
        let certificate = certificate(&["example.com", "www.example.org", "example.org"]);
        let of = |domain: &str| (domain.to_owned(), certificate.clone());
        routes.certificates().publish(vec![of("www.example.org"), of("example.com"), of("example.org")]);
        assert_eq!((secure("blog").as_deref(), secure("shop").as_deref()), (Some("example.com"), Some("example.org")));

        routes.set_domains(&id, &[]);
        routes.remove_app(&shop);
        assert_eq!((leads_to("www.example.org"), leads_to("example.org")), (None, None));
    }

    #[test]
    fn wishes_are_found_with_the_app() {
        let (routes, id) = routes();
        let edge = || routes.find(&"blog.localhost".parse().unwrap()).edge.unwrap();
        assert_eq!(*edge(), Edge::default());

        routes.set_edge(&id, &Edge { max_body_bytes: Some(1), ..Edge::default() });

        assert_eq!(edge().max_body_bytes, Some(1));
        assert!(routes.find(&"localhost".parse().unwrap()).edge.is_none());
    }

    #[test]
    fn a_renamed_app_keeps_its_release() {
        let (routes, id) = routes();
        routes.switch(&id, release(&id, 1).0);

        routes.add_app("journal".parse().unwrap(), id);

        assert!(matches!(blog(&routes), Target::None));
        assert!(matches!(routes.lookup(&"journal.localhost".parse().unwrap()), Target::Upstream(_)));
    }

    #[test]
    fn a_name_that_went_to_another_app_stays_there() {
        let (routes, id) = routes();
        let other = AppId::random();
        routes.add_app("blog".parse().unwrap(), other.clone());
        routes.switch(&other, release(&other, 1).0);

        routes.set_up(&id);
        assert!(routes.remove_app(&id).is_none());

        assert!(matches!(blog(&routes), Target::Upstream(_)));
    }
}
