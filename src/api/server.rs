//! Takes streams in from the proxy and serves HTTP/1 on each, until it is told to stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::door::Door;
use crate::model::limits::API_CALLS;
use crate::platform::Platform;

/// Serves what `arrivals` brings until `shutdown`; calls then get `grace` before they are cut.
///
/// Whoever comes while [`API_CALLS`] are open waits in the doorway.
pub async fn serve(mut arrivals: mpsc::Receiver<DuplexStream>, platform: Platform, shutdown: CancellationToken, grace: Duration) {
    let (calls, cut) = (TaskTracker::new(), CancellationToken::new());
    let door = Arc::new(Door::new(platform));
    let places = Arc::new(Semaphore::new(API_CALLS));
    let accept_all = async {
        while let Ok(place) = Arc::clone(&places).acquire_owned().await
            && let Some(stream) = arrivals.recv().await
        {
            let call = cut.clone().run_until_cancelled_owned(serve_one(Arc::clone(&door), stream));
            calls.spawn(async move {
                call.await;
                drop(place);
            });
        }
    };
    shutdown.run_until_cancelled(accept_all).await;
    drop(arrivals);
    calls.close();
    if tokio::time::timeout(grace, calls.wait()).await.is_err() {
        cut.cancel();
        calls.wait().await;
    }
}

/// Serves the one request of a stream: the proxy opens one for each.
async fn serve_one(door: Arc<Door>, stream: DuplexStream) {
    let service = service_fn(|request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    if let Err(err) = Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await {
        debug!(%err, "an api client left before its answer");
    }
}
