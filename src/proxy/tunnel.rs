//! A websocket after the app's 101: bytes both ways, the seat held until one side ends it.

use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::client_io::{ClientIo, ClientStream};
use super::ending::Until;
use super::relay;
use super::upstream::Link;
use crate::route::Seat;

/// The client takes our 101 within this.
const HANDOVER: Duration = Duration::from_secs(10);

/// Relays until one side ends, or `stop` says that the server does.
pub(super) async fn relay(client: OnUpgrade, link: Box<Link>, seat: Seat, stop: Until) {
    tokio::select! {
        biased;
        () = stop => {}
        () = relay_bytes(client, link) => {}
    }
    drop(seat);
}

async fn relay_bytes(client: OnUpgrade, link: Box<Link>) {
    let Some((mut client, from_client)) = hand_over(client).await else { return };
    let (mut app, from_app) = link.into_wire();
    match relay::relay(&mut client, &mut app, [&from_client, &from_app]).await {
        Ok((up, down)) => tracing::debug!(bytes.up = up, bytes.down = down, "websocket ended"),
        Err(err) => tracing::debug!(error = %err, "websocket was cut"),
    }
}

async fn hand_over(client: OnUpgrade) -> Option<(ClientStream, Bytes)> {
    let upgraded = timeout(HANDOVER, client).await.ok()?.ok()?;
    let parts = upgraded.downcast::<TokioIo<ClientIo>>().ok()?;
    Some((parts.io.into_inner().into_stream(), parts.read_buf))
}
