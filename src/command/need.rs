//! What each command needs before it is done: one total match, checked by `platform`.

use super::vocabulary::Command;
use crate::model::{AppName, DeployId, Role};

/// What a command needs before it is done: one total match, checked by `platform`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Any key that logged in.
    LoggedIn,
    /// `role` on this app.
    App(AppName, Role),
    /// `role` on the app of this deploy.
    Build(DeployId, Role),
    /// To deploy to this app, which is created if the name is free and the caller may.
    Deploy(AppName),
    /// `role` on all apps: a scoped key cannot.
    AllApps(Role),
    /// The host's own things.
    Host,
}

// === impl Command ===

impl Command {
    /// Returns what a caller needs to be let through.
    #[must_use]
    pub fn needs(&self) -> Need {
        match self {
            Command::Apps | Command::Top { app: None } | Command::Whoami | Command::Version => Need::LoggedIn,
            Command::AppsInfo { app }
            | Command::Ps { app }
            | Command::Limits { app }
            | Command::Domains { app }
            | Command::Certs { app }
            | Command::Storage { app }
            | Command::Logs { app, .. }
            | Command::Top { app: Some(app) }
            | Command::Builds { app, .. }
            | Command::Explain { app }
            | Command::Releases { app, .. }
            | Command::ReleasesInfo { app, .. }
            | Command::ReleasesOutput { app, .. } => Need::App(app.clone(), Role::View),
            Command::PsScale { app, scalings } if scalings.is_empty() => Need::App(app.clone(), Role::View),
            Command::BuildsOutput { build, .. } => Need::Build(*build, Role::View),
            Command::BuildsCancel { build } => Need::Build(*build, Role::Deploy),
            Command::AppsSet { app, .. }
            | Command::PsScale { app, .. }
            | Command::PsRestart { app, .. }
            | Command::PsStop { app }
            | Command::PsStart { app }
            | Command::LimitsSet { app, .. }
            | Command::DomainsAdd { app, .. }
            | Command::DomainsRemove { app, .. }
            | Command::CertsAdd { app, .. }
            | Command::CertsRemove { app, .. }
            | Command::CertsAuto { app, .. }
            | Command::StorageAdd { app, .. }
            | Command::StorageRemove { app, .. }
            | Command::Config { app, .. }
            | Command::ConfigGet { app, .. }
            | Command::ConfigSet { app, .. }
            | Command::ConfigUnset { app, .. }
            | Command::Rollback { app, .. }
            | Command::Rebuild { app, .. }
            | Command::Run { app, .. }
            | Command::Enter { app, .. }
            | Command::AppsLink { app, .. }
            | Command::AppsUnlink { app, .. }
            | Command::AppsDestroy { app, .. } => Need::App(app.clone(), Role::Deploy),
            Command::Deploy { app, .. } => Need::Deploy(app.clone()),
            Command::AppsCreate { .. } => Need::AllApps(Role::Deploy),
            Command::Keys
            | Command::KeysAdd { .. }
            | Command::KeysRemove { .. }
            | Command::Tokens
            | Command::TokensCreate { .. }
            | Command::TokensRevoke { .. }
            | Command::Registry
            | Command::RegistryLogin { .. }
            | Command::RegistryLogout { .. }
            | Command::Backup { .. }
            | Command::Doctor
            | Command::Prune { .. }
            | Command::Status => Need::Host,
        }
    }
}
