//! One core's accept loop: who is let in, and by which core served.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
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
    /// A socket that was inherited may hold connections of before its options were set: they did not inherit them.
    finds_some_of_before: bool,
}

/// One core's duplicates of the listening sockets.
pub(super) struct Listeners {
    pub(super) http: Listener,
    pub(super) https: Option<Listener>,
}

/// A listening socket, and its port in digits.
pub(super) struct Listener {
    socket: TcpListener,
    port: HeaderValue,
}

/// Serves until `shutdown`, then ends every connection.
///
/// While the connections of before are in their grace, which one slow download takes to its end, others are still taken in: a client
/// waits for the next server only while what came in last is answered.
pub(super) async fn serve(shared: Rc<Shared>, listeners: Listeners, dealt: Dealt, shutdown: CancellationToken) {
    let (grace, cohort) = (shared.limits.grace, Rc::clone(&shared.cohort));
    let mut door = Door { shared, listeners, dealt, finds_some_of_before: true };
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
        let mut sweep = interval_at(Instant::now() + SWEEP_EVERY, SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                _ = sweep.tick() => {
                    self.finds_some_of_before = false;
                    self.shared.pool.sweep();
                }
                Some(arrival) = self.dealt.recv() => self.take(cohort, arrival),
                accepted = self.listeners.accept() => match accepted {
                    Ok((stream, client, entrance)) => self.deal(cohort, stream, client, entrance),
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
    fn deal(&self, cohort: &Rc<Cohort>, stream: TcpStream, client: IpAddr, entrance: Entrance) {
        let counted = self.shared.deal.pick();
        if self.shared.deal.is_own(&counted) {
            return self.admit(cohort, stream, client, entrance, counted);
        }
        let Ok(stream) = stream.into_std() else { return };
        if let Some(arrival) = self.shared.deal.give(Arrival { stream, client, entrance, counted }) {
            self.take(cohort, arrival);
        }
    }

    fn take(&self, cohort: &Rc<Cohort>, arrival: Arrival) {
        if let Ok(stream) = TcpStream::from_std(arrival.stream) {
            self.admit(cohort, stream, arrival.client, arrival.entrance, arrival.counted);
        }
    }

    fn admit(&self, cohort: &Rc<Cohort>, stream: TcpStream, client: IpAddr, entrance: Entrance, counted: Counted) {
        if self.finds_some_of_before && watch_peer(&stream).is_err() {
            return;
        }
        let admitted = match self.shared.admission.enter(client) {
            Ok(admitted) => admitted,
            Err(crowded) => return turn_away(&stream, entrance, crowded),
        };
        let span = tracing::debug_span!("connection", client.addr = %client);
        let tls = self.shared.tls.clone().filter(|_| entrance == Entrance::Https);
        let client = Arc::new(Client::new(Ends::new(client, self.listeners.port(entrance), tls.is_some())));
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
    async fn accept(&self) -> io::Result<(TcpStream, IpAddr, Entrance)> {
        let Some(https) = &self.https else { return self.http.accept(Entrance::Http).await };
        // In turn at random: neither entrance keeps the other one waiting.
        tokio::select! {
            accepted = self.http.accept(Entrance::Http) => accepted,
            accepted = https.accept(Entrance::Https) => accepted,
        }
    }

    fn port(&self, entrance: Entrance) -> HeaderValue {
        match (entrance, &self.https) {
            (Entrance::Https, Some(https)) => https.port.clone(),
            _ => self.http.port.clone(),
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Lets the runtime of the caller accept.
    pub(super) fn from_std(socket: std::net::TcpListener) -> io::Result<Listener> {
        let port = socket.local_addr()?.port();
        Ok(Listener { socket: TcpListener::from_std(socket)?, port: port.into() })
    }

    async fn accept(&self, entrance: Entrance) -> io::Result<(TcpStream, IpAddr, Entrance)> {
        self.socket.accept().await.map(|(stream, client)| (stream, client.ip(), entrance))
    }
}

fn is_about_one_client(err: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
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
