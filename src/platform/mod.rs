//! The one desk: permit, then do. Doors hand calls in; verb functions take the permit that only this room can make.

mod apps;
mod backup;
mod builds;
mod certificates;
mod config;
mod deploy;
mod doctor;
mod domains;
mod edge_options;
mod explain;
mod git;
mod host_ports;
mod keys;
mod links;
mod logs;
mod options;
mod order;
mod permit;
mod processes;
mod prune;
mod registries;
mod releases;
mod run;
mod status;
mod storage;
mod tokens;
mod top;
mod visits;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::command::{Call, Command, Reply, Selection, Since};
use crate::deploy::{Alteration, Deployer, Mounting, Parcel, Rooms};
use crate::engine::Console;
use crate::error::Result;
use crate::model::limits::LOG_TAILS_AT_ONCE;
use crate::model::{Caller, Fingerprint, Origin, Stamp};

pub use edge_options::{EdgeOption, parse as parse_edge_option};
pub use status::ServerFacts;
pub use tokens::Bearer;

/// The desk; a cheap clone.
#[derive(Clone)]
pub struct Platform {
    deployer: Deployer,
    facts: Arc<ServerFacts>,
    started_at: Stamp,
    /// The same moment by the clock that nobody sets.
    begun: Instant,
    visits: Arc<visits::Visits>,
    /// Places for past log lines in memory.
    tails: Arc<Semaphore>,
}

// === impl Platform ===

impl Platform {
    #[must_use]
    pub fn new(deployer: Deployer, facts: ServerFacts) -> Self {
        Platform {
            deployer,
            facts: Arc::new(facts),
            started_at: Stamp::now(),
            begun: Instant::now(),
            visits: Arc::default(),
            tails: Arc::new(Semaphore::new(LOG_TAILS_AT_ONCE)),
        }
    }

    fn rooms(&self) -> &Rooms {
        self.deployer.rooms()
    }

    /// Returns the caller behind a key that is known here. Doors ask for offered keys and again for the one that signed.
    pub async fn identify(&self, key: &Fingerprint) -> Result<Option<Caller>> {
        let known = self.rooms().store.key_by_fingerprint(key.clone()).await?;
        Ok(known.map(|key| Caller { name: key.name.into(), origin: Origin::Key(key.fingerprint), role: key.role, scope: key.scope }))
    }

    /// Remembers that a key has logged in just now.
    pub async fn logged_in(&self, key: &Fingerprint) -> Result<()> {
        self.rooms().store.touch_key(key.clone()).await
    }

    /// Checks what the command needs, then does it. A key that is taken away or expires ends the call, its reply's stream too.
    pub async fn run(&self, caller: &Caller, mut call: Call) -> Result<Reply> {
        let Some(visit) = self.visit(caller).await? else { return Box::pin(self.obey(caller, call)).await };
        call.cancelled = call.cancelled.child_token();
        let cancelled = call.cancelled.clone();
        let reply = tokio::select! {
            // The work first: who removes the own key is told so.
            biased;
            reply = Box::pin(self.obey(caller, call)) => reply?,
            why = visit.end() => {
                cancelled.cancel();
                return Err(why);
            }
        };
        Ok(self.for_the_visit(visit, cancelled, reply))
    }

    async fn obey(&self, caller: &Caller, call: Call) -> Result<Reply> {
        let Call { command, input, terminal, resizes, cancelled } = call;
        let permit = self.permit(caller, &command.needs()).await?;
        match command {
            Command::Apps => self.list_apps(&permit).await,
            Command::AppsCreate { app } => self.create_app(&permit, app).await,
            Command::AppsInfo { .. } => self.app_details(&permit).await,
            Command::AppsSet { options, .. } => self.set_app(&permit, &options, input).await,
            Command::AppsLink { target, .. } => self.link_apps(caller, &permit, &target).await,
            Command::AppsUnlink { target, .. } => self.unlink_apps(caller, &permit, &target).await,
            Command::AppsDestroy { confirm, .. } => self.destroy_app(&permit, confirm.as_ref()).await,
            Command::Ps { .. } => self.processes(&permit).await,
            Command::PsScale { scalings, .. } if scalings.is_empty() => self.formation(&permit).await,
            Command::PsScale { scalings, .. } => Ok(self.alter(&permit, Alteration::Scale(scalings), cancelled)),
            Command::PsRestart { process, .. } => Ok(self.alter(&permit, Alteration::Restart(process), cancelled)),
            Command::PsStop { .. } => Ok(self.alter(&permit, Alteration::Stop, cancelled)),
            Command::PsStart { .. } => Ok(self.alter(&permit, Alteration::Start, cancelled)),
            Command::Limits { .. } => Ok(Self::limits(&permit)),
            Command::LimitsSet { limits, .. } => Ok(self.set_limits(&permit, limits, cancelled)),
            Command::Domains { .. } => self.list_domains(&permit).await,
            Command::DomainsAdd { domains, .. } => self.add_domains(&permit, domains).await,
            Command::DomainsRemove { domains, .. } => self.remove_domains(&permit, domains).await,
            Command::Certs { .. } => self.list_certificates(&permit).await,
            Command::CertsAdd { domain, .. } => self.add_certificate(&permit, domain, input).await,
            Command::CertsRemove { domain, .. } => self.remove_certificate(&permit, domain).await,
            Command::CertsAuto { switch, .. } => self.set_auto_certificates(&permit, switch).await,
            Command::Storage { .. } => self.list_storage(&permit).await,
            Command::StorageAdd { storage, .. } => Ok(self.alter(&permit, Alteration::Storage(Mounting::Add(storage)), cancelled)),
            Command::StorageRemove { name, delete, confirm, .. } => self.remove_storage(&permit, name, delete, confirm.as_ref(), cancelled),
            Command::Logs { follow, lines, process, source, since, .. } => {
                let selection = Selection { process, source, since: since.map(Since::moment) };
                self.logs(&permit, follow, lines as usize, selection, cancelled).await
            }
            Command::Top { app } => Ok(self.top(&permit, app.as_ref())),
            Command::Run { detach: true, program, env, .. } => self.run_detached(&permit, program, env).await,
            Command::Run { program, env, .. } => {
                self.run_program(&permit, program, env, Console { input, terminal, resizes }, cancelled).await
            }
            Command::Enter { process, program, .. } => {
                self.enter(&permit, process, program, Console { input, terminal, resizes }, cancelled).await
            }
            Command::Config { show, .. } => self.list_config(&permit, show).await,
            Command::ConfigGet { name, .. } => self.get_config(&permit, &name).await,
            Command::ConfigSet { assignments, no_restart, .. } => self.set_config(&permit, assignments, no_restart, input, cancelled).await,
            Command::ConfigUnset { names, no_restart, .. } => Ok(self.unset_config(&permit, names, no_restart, cancelled)),
            Command::Releases { lines, .. } => self.list_releases(&permit, lines as usize).await,
            Command::ReleasesInfo { version, .. } => self.release_details(&permit, version).await,
            Command::ReleasesOutput { version, .. } => self.release_output(&permit, version, cancelled).await,
            Command::Explain { .. } => Box::pin(self.explain(&permit, &cancelled)).await,
            Command::Builds { lines, .. } => self.list_builds(&permit, lines).await,
            Command::BuildsOutput { follow, .. } => self.build_output(&permit, follow, cancelled).await,
            Command::BuildsCancel { .. } => self.cancel_build(&permit).await,
            Command::Rollback { version, .. } => Ok(self.roll_back(&permit, version, cancelled)),
            Command::Rebuild { no_cache, .. } => Ok(self.rebuild(&permit, no_cache, cancelled)),
            Command::Deploy { image: Some(image), message, .. } => Ok(self.deploy_image(permit, image, message, cancelled)),
            Command::Deploy { image: None, message, commit, no_cache, .. } => {
                let parcel = Parcel { archive: input.into_reader(), commit, no_cache };
                Ok(self.deploy_upload(permit, parcel, message, cancelled))
            }
            Command::Registry => self.list_registries(&permit).await,
            Command::RegistryLogin { host, username, .. } => self.log_in(&permit, host, username, input).await,
            Command::RegistryLogout { host } => self.log_out(&permit, host).await,
            Command::Keys => self.list_keys(&permit).await,
            Command::KeysAdd { name, role, apps, .. } => self.add_key(&permit, name, role, &apps, input).await,
            Command::KeysRemove { key } => self.remove_key(&permit, &key).await,
            Command::Tokens => self.list_tokens(&permit).await,
            Command::TokensCreate { name, role, apps, expires } => self.create_token(&permit, name, role, &apps, expires).await,
            Command::TokensRevoke { token } => self.revoke_token(&permit, &token).await,
            Command::Backup { without_key, .. } => self.back_up(&permit, without_key, terminal.is_some(), cancelled),
            Command::Whoami => self.who_am_i(&permit).await,
            Command::Status => self.status(&permit).await,
            Command::Doctor => Ok(self.doctor(&permit)),
            Command::Prune { all } => self.prune(&permit, all).await,
            Command::Version => Ok(Self::version(&permit)),
        }
    }
}
