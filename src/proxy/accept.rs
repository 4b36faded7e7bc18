//! One core's accept loop: who is let in, and by which core served.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::admission::Crowded;
use super::client::Client;
use super::connection::converse;
use super::cores::Shared;
use super::deal::{Arrival, Counted, Dealt, Entrance};
use super::ending::{Call, Cohort};
use super::ends::Ends;
use super::keepalive::watch_peer;
use super::pages;

/// Out of descriptors or memory: others give some back meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Takes connections in: from the listener and from other cores.
struct Door {
    shared: Rc<Shared>,
    listeners: Listeners,
    dealt: Dealt,
}

/// One core's duplicates of the listening sockets.
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) https: Option<TcpListener>,
}

/// Serves until `shutdown`, then ends every connection.
///
/// While the connections of before are in their grace, which one slow download takes to its end, others are still taken in: a client
/// waits for the next server only while what came in last is answered.
pub(super) async fn serve(shared: Rc<Shared>, listeners: Listeners, dealt: Dealt, shutdown: CancellationToken) {
    let (grace, cohort) = (shared.limits.grace, Rc::clone(&shared.cohort));
    let mut door = Door { shared, listeners, dealt };
    door.open_until(shutdown.cancelled(), &cohort).await;
    cohort.call(Call::Finish);
    let late = Cohort::new(Call::Finish);
    door.open_until(cohort.end(grace), &late).await;
    door.close(&late).await;
    late.end(grace).await;
}

// === impl Door ===

impl Door {
    /// Takes connections in until `end`, as members of `cohort`.
    async fn open_until(&mut self, end: impl Future<Output = ()>, cohort: &Rc<Cohort>) {
        let mut end = std::pin::pin!(end);
        let mut sweep = interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                _ = sweep.tick() => self.shared.pool.sweep(),
                Some(arrival) = self.dealt.recv() => self.take(cohort, arrival),
                accepted = self.listeners.accept() => match accepted {
                    Ok((stream, entrance)) => self.deal(cohort, stream, entrance),
                    Err(err) if is_about_one_client(&err) => {}
                    Err(err) => {
                        tracing::warn!(error = %err, "accept failed, trying again");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    /// Takes in what other cores have dealt until now; what they deal from now on stays theirs.
    async fn close(mut self, cohort: &Rc<Cohort>) {
        self.dealt.close();
        // One may be on its way: `recv` waits for it.
        while let Some(arrival) = self.dealt.recv().await {
            self.take(cohort, arrival);
        }
    }

    /// Keeps a connection, or gives it to a core that has less to do.
    fn deal(&self, cohort: &Rc<Cohort>, stream: TcpStream, entrance: Entrance) {
        let counted = self.shared.deal.pick();
        if self.shared.deal.is_own(&counted) {
            return self.admit(cohort, stream, entrance, counted);
        }
        let Ok(stream) = stream.into_std() else { return };
        if let Some(arrival) = self.shared.deal.give(Arrival { stream, entrance, counted }) {
            self.take(cohort, arrival);
        }
    }

    fn take(&self, cohort: &Rc<Cohort>, arrival: Arrival) {
        if let Ok(stream) = TcpStream::from_std(arrival.stream) {
            self.admit(cohort, stream, arrival.entrance, arrival.counted);
        }
    }

    fn admit(&self, cohort: &Rc<Cohort>, stream: TcpStream, entrance: Entrance, counted: Counted) {
        // A client that left already has no address any more.
        let (Ok(client), Ok(local), Ok(())) = (stream.peer_addr(), stream.local_addr(), watch_peer(&stream)) else { return };
        let admitted = match self.shared.admission.enter(client.ip()) {
            Ok(admitted) => admitted,
            Err(crowded) => return turn_away(&stream, entrance, crowded),
        };
        let span = tracing::debug_span!("connection", client.addr = %client);
        let tls = self.shared.tls.clone().filter(|_| entrance == Entrance::Https);
        let client = Arc::new(Client::new(Ends::new(client, local, tls.is_some())));
        let (shared, until_cut, member) = (Rc::clone(&self.shared), cohort.until(Call::Cut), Rc::clone(cohort));
        let connection = async move {
            let _counted = (admitted, counted);
            tokio::select! {
                biased;
                () = until_cut => {}
                () = converse(shared, member, stream, client, tls) => {}
            }
        };
        cohort.tasks.spawn_local(connection.instrument(span));
    }
}

// === impl Listeners ===

impl Listeners {
    async fn accept(&self) -> std::io::Result<(TcpStream, Entrance)> {
        let Some(https) = &self.https else { return self.http.accept().await.map(|(stream, _)| (stream, Entrance::Http)) };
        // In turn at random: neither entrance keeps the other one waiting.
        tokio::select! {
            accepted = self.http.accept() => accepted.map(|(stream, _)| (stream, Entrance::Http)),
            accepted = https.accept() => accepted.map(|(stream, _)| (stream, Entrance::Https)),
        }
    }
}

fn is_about_one_client(err: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(err.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Says why, as far as the socket takes it at once: a crowd costs no waiting.
fn turn_away(stream: &TcpStream, entrance: Entrance, crowded: Crowded) {
    tracing::debug!(?crowded, "a connection was turned away");
    if entrance == Entrance::Https {
        return;
    }
    let why = match crowded {
        Crowded::Address => "too many connections from this address",
        Crowded::Server => "too many connections",
    };
    let _ = stream.try_write(pages::bare(503, "Service Unavailable", why).as_bytes());
}
