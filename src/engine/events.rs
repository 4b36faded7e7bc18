//! What happens to this server's containers, as it happens.

use std::collections::HashSet;

use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, EventsOptionsBuilder};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{Engine, label};
use crate::error::{Error, Result};
use crate::model::{ContainerId, Stamp};

/// Something happened to a container of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// It ended; `oom` when the kernel killed something in it for its memory limit.
    Died { container: ContainerId, exit_code: i64, oom: bool },
    /// It runs, for the first time or again. It may not listen yet.
    Started { container: ContainerId },
    /// It was removed.
    Removed { container: ContainerId },
}

impl Engine {
    /// Tells what happens to this server's containers from `since` (now when `None`) on.
    ///
    /// Whatever ends the stream is its last item, an `Err`. Events of the time in which the engine was away are lost: subscribe
    /// again, then list and compare.
    pub fn events(&self, since: Option<Stamp>) -> BoxStream<'static, Result<EngineEvent>> {
        let docker = match self.docker() {
            Ok(docker) => docker,
            Err(err) => return stream::once(async { Err(err) }).boxed(),
        };
        let engine = self.clone();
        let messages = docker.events(Some(self.filter(since))).map(move |message| message.map_err(|err| engine.explain(err)));
        let ended = stream::once(async { Err(Error::unavailable("the Docker Engine ended its events")) });
        let watched = messages.chain(ended).scan(Watch::default(), |watch, message| std::future::ready(watch.next(message)));
        watched.map(stream::iter).flatten().boxed()
    }

    fn filter(&self, since: Option<Stamp>) -> EventsOptions {
        let mut filters = label::filter_instance(self.instance());
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), ["die", "oom", "start", "destroy"].map(str::to_owned).to_vec());
        let options = EventsOptionsBuilder::default().filters(&filters);
        match since {
            Some(at) => options.since(&format!("{}.{:03}", at.as_millis() / 1000, at.as_millis() % 1000)).build(),
            None => options.build(),
        }
    }
}

/// Remembers what `oom` announced until `die` comes, and that nothing follows an error.
#[derive(Default)]
struct Watch {
    oom: HashSet<ContainerId>,
    has_failed: bool,
}

// === impl Watch ===

impl Watch {
    /// Returns what a message says, if anything; `None` ends the stream.
    fn next(&mut self, message: Result<EventMessage>) -> Option<Vec<Result<EngineEvent>>> {
        if self.has_failed {
            return None;
        }
        match message {
            Ok(message) => Some(self.read(message).map(Ok).into_iter().collect()),
            Err(err) => {
                self.has_failed = true;
                Some(vec![Err(err)])
            }
        }
    }

    fn read(&mut self, message: EventMessage) -> Option<EngineEvent> {
        let actor = message.actor?;
        let container: ContainerId = actor.id?.parse().ok()?;
        match message.action.as_deref()? {
            "oom" => {
                self.oom.insert(container);
                None
            }
            "die" => {
                let exit_code = actor.attributes.as_ref().and_then(|attributes| attributes.get("exitCode")?.parse().ok()).unwrap_or(0);
                let oom = self.oom.remove(&container);
                Some(EngineEvent::Died { container, exit_code, oom })
            }
            "start" => Some(EngineEvent::Started { container }),
            "destroy" => {
                self.oom.remove(&container);
                Some(EngineEvent::Removed { container })
            }
            _ => None,
        }
    }
}
