//! HTTP/2 with clients (RFC 9113): its limits, and the end of a connection that nobody uses.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::client::Client;
use super::client_io::ClientIo;
use super::connection::last_call;
use super::cores::Shared;
use super::ending::Cohort;
use super::exchange::answer;
use crate::model::limits::{HTTP2_STREAMS, MAX_HEAD_BYTES};

/// Runs what belongs to a connection beside it, on the same core.
#[derive(Clone)]
pub(super) struct OnThisCore(pub(super) TaskTracker);

/// Streams that were reset and not looked at yet; a client that makes more is flooding (CVE-2023-44487).
const RESET_STREAMS: usize = 20;
/// Resets that a client's own faults made us send (CVE-2025-8671).
const FAULTY_STREAMS: usize = 1024;

/// What a client may send ahead on a stream and on all of them: memory that a slow app costs us.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What an answer may be ahead of its client.
const SEND_BUFFER: usize = 128 << 10;

/// A peer that vanished is noticed by a ping without an answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(20);

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After we have said that we end, the client's last frames are read for this long.
const GOODBYE: Duration = Duration::from_secs(2);

impl<F> Executor<F> for OnThisCore
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn_local(task);
    }
}

/// Serves one connection from its preface on, until it ends.
pub(super) async fn speak(shared: &Rc<Shared>, cohort: &Rc<Cohort>, io: ClientIo, client: &Arc<Client>) {
    let service = service_fn(|request| answer(Rc::clone(shared), Arc::clone(client), request));
    let mut conn = server(cohort.tasks.clone()).serve_connection(TokioIo::new(io), service);
    let ended = tokio::select! {
        biased;
        ended = &mut conn => ended,
        () = last_call(cohort) => {
            std::pin::Pin::new(&mut conn).graceful_shutdown();
            (&mut conn).await
        }
        why = unused(shared, client) => {
            tracing::debug!(why, "ending an HTTP/2 connection");
            std::pin::Pin::new(&mut conn).graceful_shutdown();
            timeout(GOODBYE, &mut conn).await.unwrap_or(Ok(()))
        }
    };
    if let Err(err) = ended {
        tracing::debug!(error = %err, "HTTP/2 connection ended");
    }
}

fn server(tasks: TaskTracker) -> Builder<OnThisCore> {
    let mut builder = Builder::new(OnThisCore(tasks));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(FAULTY_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE);
    builder
}

/// Resolves when the connection has no request for too long, or when its client takes nothing of any of its answers.
async fn unused(shared: &Shared, client: &Client) -> &'static str {
    let limits = &shared.limits;
    let mut patience = limits.head;
    let (mut quiet_since, mut seen) = (Instant::now(), client.progress());
    loop {
        sleep(LOOK_EVERY.min(patience).min(limits.progress)).await;
        let now = client.progress();
        if now != seen {
            (seen, quiet_since, patience) = (now, Instant::now(), limits.keep_alive);
        }
        if client.is_idle() && quiet_since.elapsed() >= patience {
            return "nothing was asked for";
        }
        if client.takes_nothing() && quiet_since.elapsed() >= limits.progress {
            return "the client takes nothing of its answers";
        }
    }
}
