//! What the proxy tells of each request, kept in the log of its app.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use crate::logs::{Logs, RequestLines};
use crate::model::{AppId, Stamp};
use crate::route::{AccessReader, Batch};

/// Keeps access lines until `proxy_ended`, and those that are left then. A disk that is slow, or full, holds no request up: what the
/// cores cannot keep meanwhile is counted, and the count is told in the place of the lines.
pub async fn keep_requests(logs: Logs, mut requests: AccessReader, proxy_ended: CancellationToken) {
    loop {
        let batches = tokio::select! {
            batches = requests.next() => batches,
            () = proxy_ended.cancelled() => break,
        };
        keep(&logs, batches).await;
    }
    keep(&logs, requests.take()).await;
}

async fn keep(logs: &Logs, batches: Vec<Batch>) {
    for (app, lines) in by_app(&batches) {
        if let Err(err) = logs.append_requests(app.clone(), lines).await {
            tracing::warn!(app.id = %app, ?err, "requests could not be added to the app's log");
        }
    }
}

fn by_app(batches: &[Batch]) -> HashMap<AppId, RequestLines> {
    let mut lines: HashMap<AppId, RequestLines> = HashMap::new();
    for line in batches.iter().flat_map(Batch::lines) {
        lines.entry(line.meter.app().clone()).or_default().push(line.at, line.text);
    }
    for (meter, count) in batches.iter().flat_map(Batch::lost) {
        tracing::warn!(app.id = %meter.app(), count, "requests came faster than their lines were kept");
        let noun = if count == 1 { "request" } else { "requests" };
        lines.entry(meter.app().clone()).or_default().push(Stamp::now(), &format!("(skipped {count} {noun})"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::limits::ACCESS_BACKLOG_BYTES;
    use crate::route::{AccessLog, Meter};

    #[tokio::test]
    async fn each_app_gets_its_own_requests_and_how_many_were_left_out_even_at_the_end() {
        let (dir, access) = (tempfile::tempdir().unwrap(), AccessLog::default());
        let (logs, reader, writer) = (Logs::open(dir.path()).unwrap(), access.read(), access.writer());
        let meters = [(), ()].map(|()| Arc::new(Meter::new(AppId::random())));
        let say = |at: usize, text: &str| writer.write(&meters[at], Stamp::from_millis(1), |line| line.push_str(text));
        say(0, "one");
        say(1, "other");
        say(0, &"x".repeat(ACCESS_BACKLOG_BYTES));
        say(1, "too much");
        let ended = CancellationToken::new();
        ended.cancel();

        keep_requests(logs.clone(), reader, ended).await;

        let mine = logs.tail(meters[0].app().clone(), 10).await.unwrap();
        assert_eq!(mine[0].to_string(), "1970-01-01T00:00:00.001Z mini[router]: one");
        let others: Vec<String> = logs.tail(meters[1].app().clone(), 10).await.unwrap().iter().map(|line| line.text().to_owned()).collect();
        assert_eq!(others, ["other", "(skipped 1 request)"]);
    }
}
