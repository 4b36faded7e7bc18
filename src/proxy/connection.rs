//! The life of a client's connection: HTTP/1.1, or HTTP/2 from its preface on, until one side ends it.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::client::Client;
use super::client_io::{ClientIo, ClientStream, Opening};
use super::cores::Shared;
use super::ending::{Call, Cohort};
use super::exchange::answer;
use super::tls::{Agreed, Tls};
use super::{http2, pages};
use crate::model::limits::MAX_HEAD_BYTES;

/// A request that is on its way when we stop is still answered, with `Connection: close`: hyper would close at once.
pub(super) const LAST_CALL: Duration = Duration::from_millis(250);

/// A client that is still sending when we close would be reset and lose the answer: it is read for this long.
const LINGER: Duration = Duration::from_secs(10);
const LINGER_SILENCE: Duration = Duration::from_secs(2);

/// What one read of an upload may bring. With 64 KiB, which a head may have, uploads take four times as many system calls; more than this
/// saves nothing.
const MAX_READ_BYTES: usize = 256 << 10;

/// How HTTP/1.1 is spoken to clients. Times are kept by [`ClientIo`].
pub(super) fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // hyper's own limit of 100 headers is `limits::MAX_HEADERS`; saying so would move its parser's table to the heap.
    builder.max_buf_size(MAX_READ_BYTES).max_header_size(MAX_HEAD_BYTES).half_close(false).header_read_timeout(None);
    builder
}

/// Serves one connection until it ends; `tls` comes first, where it is spoken.
///
/// What few connections come to is in boxes: a connection that waits has room for all that it could do next.
pub(super) async fn converse(shared: Rc<Shared>, cohort: Rc<Cohort>, stream: TcpStream, client: Arc<Client>, tls: Option<Tls>) {
    let (stream, is_http2) = match tls {
        None => (ClientStream::Plain(stream), false),
        Some(tls) => match Box::pin(tls.accept(stream, shared.limits.handshake)).await {
            Ok(Agreed::Http1(stream)) => (ClientStream::Tls(Box::new(stream)), false),
            Ok(Agreed::Http2(stream)) => (ClientStream::Tls(Box::new(stream)), true),
            Ok(Agreed::Proven) => return,
            Err(err) => return tracing::debug!(error = %err, "no TLS handshake"),
        },
    };
    let io = ClientIo::new(stream, &shared.limits, Arc::clone(&client));
    let http2 = if is_http2 { Some(io.into_http2()) } else { speak_http1(&shared, &cohort, io, &client).await };
    if let Some(io) = http2 {
        Box::pin(http2::speak(&shared, &cohort, io, &client)).await;
    }
}

/// What is left to do on a connection after HTTP/1.1.
enum Parting {
    Over,
    /// This ends it.
    Last(Pin<Box<dyn Future<Output = ()>>>),
    Http2(ClientIo),
}

/// Speaks HTTP/1.1; gives the stream back when its client begins with HTTP/2's preface.
///
/// What it is given has moved on before it is first polled: an argument of an `async fn` keeps a place of its own.
fn speak_http1<'a>(
    shared: &'a Rc<Shared>,
    cohort: &'a Rc<Cohort>,
    io: ClientIo,
    client: &'a Arc<Client>,
) -> impl Future<Output = Option<ClientIo>> + use<'a> {
    let service = service_fn(|request| answer(Rc::clone(shared), Arc::clone(client), request));
    let mut conn = shared.http1.serve_connection(TokioIo::new(io), service).with_upgrades();
    async move {
        let ended = tokio::select! {
            biased;
            ended = &mut conn => ended,
            () = last_call(cohort) => {
                Pin::new(&mut conn).graceful_shutdown();
                (&mut conn).await
            }
        };
        // Nothing comes back after an upgrade.
        match parting(conn.into_parts()?.io.into_inner(), &ended, client) {
            Parting::Over => None,
            Parting::Last(words) => {
                words.await;
                None
            }
            Parting::Http2(io) => Some(io),
        }
    }
}

/// Finds how a connection ends that hyper has done with.
fn parting(io: ClientIo, ended: &hyper::Result<()>, client: &Arc<Client>) -> Parting {
    let is_unread = ended.is_err() || client.owes_body();
    let is_cut = ended.as_ref().is_err_and(hyper::Error::is_user);
    if let Err(err) = ended {
        tracing::debug!(error = %err, "connection ended");
    }
    match io.opening() {
        Opening::Preface => Parting::Http2(io.into_http2()),
        Opening::Refused(status) => Parting::Last(Box::pin(part(io, status))),
        Opening::Http1 if is_cut => Parting::Last(Box::pin(break_off(io.into_stream(), client.is_old()))),
        Opening::Http1 if is_unread => Parting::Last(Box::pin(linger(io.into_stream()))),
        Opening::Http1 | Opening::Http2 => Parting::Over,
    }
}

/// Resolves a moment after the cohort is called to finish.
pub(super) async fn last_call(cohort: &Rc<Cohort>) {
    cohort.until(Call::Finish).await;
    sleep(LAST_CALL).await;
}

/// Says why a head was not understood, which hyper's own answer does not.
async fn part(mut io: ClientIo, status: u16) {
    let page = match status {
        408 => pages::bare(408, "Request Timeout", "the request's head did not come in time"),
        414 => pages::bare(414, "URI Too Long", "the request's target is too long"),
        431 => pages::bare(431, "Request Header Fields Too Large", "the request's head is too large"),
        _ => pages::bare(400, "Bad Request", "the request's head is malformed"),
    };
    let said = io.stream_mut().write_all(page.as_bytes());
    if matches!(timeout(LINGER_SILENCE, said).await, Ok(Ok(()))) {
        linger(io.into_stream()).await;
    }
}

/// Ends a connection whose answer broke off so that nobody takes the half for the whole: without TLS's word that this is the end
/// (RFC 8446 §6.1), and with a reset where a client knows the end of an answer by that of its connection.
async fn break_off(stream: ClientStream, client_is_old: bool) {
    match stream {
        ClientStream::Plain(stream) if client_is_old => drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
        ClientStream::Plain(stream) => linger(stream).await,
        ClientStream::Tls(stream) => linger(stream.into_inner().0).await,
    }
}

/// Closes the writing half and reads what the client still sends, so that it can read our last answer.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let drain = async {
        let mut scratch = [0; 4096];
        if stream.shutdown().await.is_ok() {
            while matches!(timeout(LINGER_SILENCE, stream.read(&mut scratch)).await, Ok(Ok(1..))) {}
        }
    };
    let _ = timeout(LINGER, drain).await;
}
