//! A websocket after the app's 101: bytes both ways, the seat held until one side ends it.

use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::io::ClientIo;
use super::upstream::Link;
use crate::route::Seat;

/// 8 KiB, tokio's own size, costs nearly twice the CPU on 16 KiB messages (research/proxy.md).
const RELAY_BYTES: usize = 64 * 1024;

/// The client takes our 101 within this.
const HANDOVER: Duration = Duration::from_secs(10);

/// Relays until one side ends, or `stop` says that the server does.
pub(super) async fn relay(client: OnUpgrade, link: Box<Link>, seat: Seat, stop: CancellationToken) {
    tokio::select! {
        () = relay_bytes(client, link) => {}
        () = stop.cancelled() => {}
    }
    drop(seat);
}

async fn relay_bytes(client: OnUpgrade, link: Box<Link>) {
    let Some((mut client, from_client)) = hand_over(client).await else { return };
    let (mut app, from_app) = link.into_wire();
    let early = async {
        app.write_all(&from_client).await?;
        client.write_all(&from_app).await?;
        copy_bidirectional_with_sizes(&mut client, &mut app, RELAY_BYTES, RELAY_BYTES).await
    };
    match early.await {
        Ok((up, down)) => tracing::debug!(bytes.up = up, bytes.down = down, "websocket ended"),
        Err(err) => tracing::debug!(error = %err, "websocket was cut"),
    }
}

async fn hand_over(client: OnUpgrade) -> Option<(TcpStream, Bytes)> {
    let upgraded = timeout(HANDOVER, client).await.ok()?.ok()?;
    let parts = upgraded.downcast::<TokioIo<ClientIo>>().ok()?;
    Some((parts.io.into_inner().into_stream(), parts.read_buf))
}
