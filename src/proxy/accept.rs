//! The accept loop and the life of a client's connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::Instrument;

use super::exchange::answer;
use super::headers::Ends;
use super::io::ClientIo;
use super::keepalive::watch_peer;
use super::{Client, Cohort, Shared};
use crate::model::limits::MAX_HEAD_BYTES;

/// Out of descriptors or memory: others give some back meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A request that is on its way when we stop is still answered, with `Connection: close`: hyper would close at once.
const LAST_CALL: Duration = Duration::from_millis(250);

/// A client that is still sending when we close would be reset and lose the answer: it is read for this long.
const LINGER: Duration = Duration::from_secs(10);
const LINGER_SILENCE: Duration = Duration::from_secs(2);

/// Serves until `shared.stopping`, then ends every connection.
///
/// While the connections of before are in their grace, which one slow download takes to its end, others are still taken in: a client
/// waits for the next server only while what came in last is answered.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    accept_until(shared.stopping.cancelled(), &shared, &shared.cohort, &listener).await;
    let late = Cohort::default();
    accept_until(shared.cohort.end(shared.limits.grace), &shared, &late, &listener).await;
    drop(listener);
    late.end(shared.limits.grace).await;
}

/// Takes connections in until `end`, as members of `cohort`.
async fn accept_until(end: impl Future<Output = ()>, shared: &Arc<Shared>, cohort: &Cohort, listener: &TcpListener) {
    let mut end = std::pin::pin!(end);
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = &mut end => break,
            _ = sweep.tick() => shared.pool.sweep(),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(shared, cohort, stream),
                Err(err) if is_about_one_client(&err) => {}
                Err(err) => {
                    tracing::warn!(error = %err, "accept failed, trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

fn is_about_one_client(err: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(err.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn admit(shared: &Arc<Shared>, cohort: &Cohort, stream: TcpStream) {
    // A client that left already has no address any more.
    let (Ok(client), Ok(local), Ok(())) = (stream.peer_addr(), stream.local_addr(), watch_peer(&stream)) else { return };
    let span = tracing::debug_span!("connection", client.addr = %client);
    let client = Client { ends: Ends { client, local }, owes_body: AtomicBool::new(false) };
    let (shared, cut) = (Arc::clone(shared), cohort.cut.clone());
    let connection = async move {
        tokio::select! {
            biased;
            () = cut.cancelled() => {}
            () = converse(shared, stream, Arc::new(client)) => {}
        }
    };
    cohort.tasks.spawn(connection.instrument(span));
}

async fn converse(shared: Arc<Shared>, stream: TcpStream, client: Arc<Client>) {
    let io = TokioIo::new(ClientIo::new(stream, shared.limits.progress));
    let service = service_fn(|request| {
        let answer = answer(Arc::clone(&shared), Arc::clone(&client), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // hyper's own limit of 100 headers is `limits::MAX_HEADERS`; saying so would move its parser's table to the heap.
    let mut conn = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head)
        .max_buf_size(MAX_HEAD_BYTES)
        .half_close(false)
        .serve_connection(io, service)
        .with_upgrades();
    let last_call = async {
        shared.stopping.cancelled().await;
        sleep(LAST_CALL).await;
    };
    let ended = tokio::select! {
        biased;
        ended = &mut conn => ended,
        () = last_call => {
            std::pin::Pin::new(&mut conn).graceful_shutdown();
            (&mut conn).await
        }
    };
    let is_unread = ended.is_err() || client.owes_body.load(Ordering::Relaxed);
    if let Err(err) = ended {
        tracing::debug!(error = %err, "connection ended");
    }
    if let Some(parts) = conn.into_parts().filter(|_| is_unread) {
        linger(parts.io.into_inner().into_stream()).await;
    }
}

/// Closes the writing half and reads what the client still sends, so that it can read our last answer.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        let mut scratch = [0; 4096];
        if stream.shutdown().await.is_ok() {
            while matches!(timeout(LINGER_SILENCE, stream.read(&mut scratch)).await, Ok(Ok(1..))) {}
        }
    };
    let _ = timeout(LINGER, drain).await;
}
