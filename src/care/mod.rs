//! What nobody calls: watching the engine, so that what should run runs; making room; ordering certificates; keeping what
//! requests came to.

mod certificates;
mod due;
mod requests;
mod showcase;

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::deploy::{Deployer, Upkeep};
use crate::engine::EngineEvent;
use crate::error::{Kind, Result};

pub use requests::keep_requests;

/// The belt to the events' braces: they get lost while the engine is away.
const RESYNC_EVERY: Duration = Duration::from_secs(30);

/// Between one comparison and the next there is at least this.
const RESYNC_PAUSE: Duration = Duration::from_millis(500);

/// How long to wait before an engine that went away is asked again.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// What an app's requests come to is noted this often; `top` looks back over a minute of it.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// Room is made this often, and first some time after the start: a restart is no moment for it.
const PRUNE_EVERY: Duration = Duration::from_hours(24);
const FIRST_PRUNE: Duration = Duration::from_mins(10);

/// Watches, prunes and orders certificates until `shutdown`; after each (re)connect everything is compared.
pub async fn run(deployer: Deployer, shutdown: CancellationToken) {
    let prune = prune_daily(&deployer);
    let sample = sample(&deployer);
    let watch = async {
        loop {
            if let Err(err) = Box::pin(watch_once(&deployer)).await {
                let err_is_known = err.kind() == Kind::Unavailable;
                if err_is_known {
                    tracing::warn!(%err, "the engine went away");
                } else {
                    tracing::error!(?err, "the engine cannot be watched");
                }
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    };
    tokio::select! {
        () = watch => {}
        () = prune => {}
        () = certificates::keep(&deployer) => {}
        () = sample => {}
        () = shutdown.cancelled() => {}
    }
}

async fn sample(deployer: &Deployer) {
    let mut tick = tokio::time::interval(SAMPLE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        deployer.rooms().routes.sample();
    }
}

async fn prune_daily(deployer: &Deployer) {
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + FIRST_PRUNE, PRUNE_EVERY);
    loop {
        tick.tick().await;
        match Box::pin(deployer.make_room(Upkeep::Daily)).await {
            Ok(freed) => tracing::info!(?freed, "made room"),
            Err(err) => tracing::warn!(?err, "no room could be made"),
        }
    }
}

async fn watch_once(deployer: &Deployer) -> Result<()> {
    let engine = &deployer.rooms().engine;
    wait_for_engine(deployer).await;
    let mut events = engine.events(None);
    deployer.find_reach().await?;
    // Beside the events: making everything agree takes its time, and no death waits for it.
    let wanted = Notify::new();
    let agree = async {
        loop {
            Box::pin(deployer.agree()).await?;
            let _ = tokio::time::timeout(RESYNC_EVERY, wanted.notified()).await;
            // Many containers go at once, and are looked at together.
            tokio::time::sleep(RESYNC_PAUSE).await;
        }
    };
    let hear = async {
        loop {
            match events.next().await {
                Some(Ok(EngineEvent::Removed { .. })) => wanted.notify_one(),
                Some(Ok(EngineEvent::Died { container, exit_code, oom })) => tell(deployer.process_died(&container, exit_code, oom).await),
                Some(Ok(EngineEvent::Started { container })) => tell(deployer.process_started(&container).await),
                Some(Err(err)) => return Err(err),
                None => return Ok(()),
            }
        }
    };
    tokio::select! {
        failed = agree => failed,
        ended = hear => ended,
    }
}

/// One event that could not be minded is no reason to be deaf to the others: the next resync looks again.
fn tell(minded: Result<()>) {
    if let Err(err) = minded {
        tracing::warn!(?err, "what happened to a container could not be minded");
    }
}

/// Waits quietly: its absence has been told once, and `mini status` tells it whenever asked.
async fn wait_for_engine(deployer: &Deployer) {
    while deployer.rooms().engine.check().await.is_err() {
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}
