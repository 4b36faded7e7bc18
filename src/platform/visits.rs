//! Calls that are open, by the key they came with: one that is taken away or expires ends them, wherever they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Platform;
use crate::command::{Attached, Event, Reply};
use crate::error::{Error, Result};
use crate::model::limits::OPEN_CALLS;
use crate::model::{Caller, Origin, Stamp};

/// Work that was told to stop has this long to say how it ended.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);
/// The clock is looked at again this often: it may have been set.
const CLOCK_CHECK: Duration = Duration::from_mins(1);
/// Events that wait for their reader.
const WAITING: usize = 64;

/// The open calls of every key.
#[derive(Default)]
pub(super) struct Visits {
    /// Weak: an entry goes with its last call.
    open: Mutex<HashMap<Origin, Weak<Sign>>>,
}

/// Told to every call of one key.
struct Sign {
    revoked: CancellationToken,
}

/// One open call of a key.
pub(super) struct Visit {
    origin: Origin,
    sign: Arc<Sign>,
    expires_at: Option<Stamp>,
}

// === impl Visits ===

impl Visits {
    /// Errors: `Busy` when the key has [`OPEN_CALLS`] open already: one that only follows must not keep the others out.
    fn enter(&self, origin: &Origin) -> Result<Arc<Sign>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sign) = open.get(origin).and_then(Weak::upgrade) {
            if Arc::strong_count(&sign) > OPEN_CALLS {
                return Err(
                    Error::busy(format!("this key has {OPEN_CALLS} calls open already")).hint("end one of them, or use another key")
                );
            }
            return Ok(sign);
        }
        open.retain(|_, sign| sign.strong_count() > 0);
        let sign = Arc::new(Sign { revoked: CancellationToken::new() });
        open.insert(origin.clone(), Arc::downgrade(&sign));
        Ok(sign)
    }

    /// Ends the open calls of a key that the store no longer knows.
    pub fn end(&self, origin: &Origin) {
        let removed = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(origin);
        if let Some(sign) = removed.and_then(|sign| sign.upgrade()) {
            sign.revoked.cancel();
        }
    }
}

// === impl Visit ===

impl Visit {
    /// Waits until the key is good no longer and tells why.
    pub async fn end(&self) -> Error {
        tokio::select! {
            () = self.sign.revoked.cancelled() => revoked(&self.origin),
            () = self.expiry() => Error::not_allowed("your API key has expired").hint(ANOTHER_TOKEN),
        }
    }

    async fn expiry(&self) {
        let Some(at) = self.expires_at else { return std::future::pending().await };
        while !at.ahead().is_zero() {
            sleep(at.ahead().min(CLOCK_CHECK)).await;
        }
    }
}

const ANOTHER_TOKEN: &str = "ask an admin for another one: tokens:create NAME";

fn revoked(origin: &Origin) -> Error {
    match origin {
        Origin::Token(_) => Error::not_allowed("your API key was revoked").hint(ANOTHER_TOKEN),
        Origin::Key(_) | Origin::Socket => Error::not_allowed("your key was removed").hint("ask an admin to add it again: keys:add NAME"),
    }
}

impl Platform {
    /// Opens a call of the caller's key; `None` for the private socket, whose peers have no key that could be taken away.
    ///
    /// The key is looked for once more, *after* the call can be ended: it may have gone since the door identified it.
    pub(super) async fn visit(&self, caller: &Caller) -> Result<Option<Visit>> {
        if caller.origin == Origin::Socket {
            return Ok(None);
        }
        let sign = self.visits.enter(&caller.origin)?;
        let (is_known, expires_at) = match &caller.origin {
            Origin::Socket => (true, None),
            Origin::Key(key) => (self.rooms().store.key_by_fingerprint(key.clone()).await?.is_some(), None),
            Origin::Token(id) => {
                let issued = self.rooms().store.token_by_id(id.clone()).await?;
                (issued.is_some(), issued.and_then(|token| token.expires_at))
            }
        };
        let origin = caller.origin.clone();
        if is_known { Ok(Some(Visit { origin, sign, expires_at })) } else { Err(revoked(&origin)) }
    }

    /// Lets what a call has begun end with its key.
    pub(super) fn for_the_visit(&self, visit: Visit, cancelled: CancellationToken, reply: Reply) -> Reply {
        match reply {
            Reply::Value(answer) => Reply::Value(answer),
            Reply::Lines(lines) => {
                let is_outcome = |event: &Event| matches!(event, Event::Say(_) | Event::Released(_));
                Reply::Lines(self.relay(visit, cancelled, lines, is_outcome))
            }
            Reply::Attached(Attached { has_terminal, output }) => {
                Reply::Attached(Attached { has_terminal, output: self.relay(visit, cancelled, output, |_| false) })
            }
        }
    }

    /// Hands items on until the stream, its reader or the key comes to an end. What was done all the same is still told.
    fn relay<T: Send + 'static>(
        &self,
        visit: Visit,
        cancelled: CancellationToken,
        mut from: mpsc::Receiver<Result<T>>,
        is_outcome: fn(&T) -> bool,
    ) -> mpsc::Receiver<Result<T>> {
        let (to, reader) = mpsc::channel(WAITING + 1);
        // Kept free, so that a reader who is slow hears the truth as well.
        let last_word = to.clone().try_reserve_owned();
        self.deployer.in_background(async move {
            let why = tokio::select! {
                biased;
                why = visit.end() => why,
                () = hand_on(&mut from, &to) => return,
            };
            cancelled.cancel();
            let outcomes = async {
                while let Some(item) = from.recv().await {
                    if item.as_ref().is_ok_and(is_outcome) {
                        let _ = to.send(item).await;
                    }
                }
            };
            let _ = timeout(LAST_WORDS, outcomes).await;
            if let Ok(place) = last_word {
                place.send(Err(why));
            }
        });
        reader
    }
}

async fn hand_on<T>(from: &mut mpsc::Receiver<T>, to: &mpsc::Sender<T>) {
    while let Ok(place) = to.reserve().await {
        tokio::select! {
            item = from.recv() => match item {
                Some(item) => place.send(item),
                None => return,
            },
            () = to.closed() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TokenId;

    fn origin(id: &str) -> Origin {
        Origin::Token(id.parse::<TokenId>().unwrap())
    }

    fn visit(visits: &Visits, origin: &Origin, expires_at: Option<Stamp>) -> Visit {
        Visit { origin: origin.clone(), sign: visits.enter(origin).unwrap(), expires_at }
    }

    #[tokio::test]
    async fn all_calls_of_the_key_end_and_nobody_elses() {
        let (visits, ci, web) = (Visits::default(), origin("aaaaaaaa"), origin("bbbbbbbb"));
        let (one, two, other) = (visit(&visits, &ci, None), visit(&visits, &ci, None), visit(&visits, &web, None));

        visits.end(&ci);

        assert_eq!(one.end().await.sentence(), "your API key was revoked");
        assert_eq!(two.end().await.sentence(), "your API key was revoked");
        assert!(!other.sign.revoked.is_cancelled());
        assert!(!visit(&visits, &ci, None).sign.revoked.is_cancelled(), "a key that was added again is a new one");
    }

    #[tokio::test]
    async fn a_key_that_expires_ends_its_call() {
        let visits = Visits::default();
        let soon = visit(&visits, &origin("aaaaaaaa"), Some(Stamp::after(Duration::from_millis(30))));

        let why = timeout(Duration::from_secs(10), soon.end()).await.unwrap();

        assert_eq!(why.sentence(), "your API key has expired");
    }

    #[test]
    fn nothing_is_kept_of_calls_that_are_over() {
        let visits = Visits::default();
        for number in 0..100 {
            drop(visit(&visits, &origin(&format!("{number:08}")), None));
        }

        let last = visit(&visits, &origin("zzzzzzzz"), None);

        assert_eq!(visits.open.lock().unwrap().len(), 1);
        drop(last);
    }

    #[test]
    fn a_key_has_so_many_calls_open_and_no_more() {
        let visits = Visits::default();
        let mut held: Vec<Visit> = (0..OPEN_CALLS).map(|_| visit(&visits, &origin("aaaaaaaa"), None)).collect();

        assert_eq!(visits.enter(&origin("aaaaaaaa")).err().unwrap().exit_code(), 5);
        assert!(visits.enter(&origin("bbbbbbbb")).is_ok());
        held.pop();

        assert!(visits.enter(&origin("aaaaaaaa")).is_ok());
    }
}
