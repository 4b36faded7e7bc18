//! A websocket after the app's 101: bytes both ways, the seat held until one side ends it.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::access::Record;
use super::client_io::{ClientIo, ClientStream};
use super::ending::Until;
use super::relay;
use super::upstream::Link;
use crate::route::Seat;

/// The client takes our 101 within this.
const HANDOVER: Duration = Duration::from_secs(10);

/// Relays until one side ends, or `stop` says that the server does.
pub(super) async fn relay(client: OnUpgrade, link: Box<Link>, seat: Seat, stop: Until, record: Option<Box<Record>>) {
    let moved = [Cell::new(0), Cell::new(0)];
    tokio::select! {
        biased;
        () = stop => {}
        () = relay_bytes(client, link, &moved) => {}
    }
    if let Some(mut record) = record {
        let [up, down] = moved.map(Cell::into_inner);
        record.relayed(up, down);
    }
    drop(seat);
}

async fn relay_bytes(client: OnUpgrade, link: Box<Link>, moved: &[Cell<u64>; 2]) {
    let Some((mut client, from_client)) = hand_over(client).await else { return };
    let (mut app, from_app) = link.into_wire();
    match relay::relay(&mut client, &mut app, [&from_client, &from_app], moved).await {
        Ok(()) => tracing::debug!("websocket ended"),
        Err(err) => tracing::debug!(error = %err, "websocket was cut"),
    }
}

async fn hand_over(client: OnUpgrade) -> Option<(ClientStream, Bytes)> {
    let upgraded = timeout(HANDOVER, client).await.ok()?.ok()?;
    let parts = upgraded.downcast::<TokioIo<ClientIo>>().ok()?;
    Some((parts.io.into_inner().into_stream(), parts.read_buf))
}
