//! Verbs about apps as a whole.

use super::Platform;
use super::edge_options::{self, EdgeOption};
use super::options::{self, AppOption};
use super::permit::{Permit, check_role};
use crate::command::{Answer, AppDetails, AppRow, Done, Input, Reply};
use crate::deploy::friendly_name;
use crate::error::{Error, Kind, Result};
use crate::model::{AppId, AppName, Role};
use crate::store::App;

/// How often a made-up name may be taken before somebody should choose.
const NAME_TRIES: usize = 20;

impl Platform {
    pub(super) async fn list_apps(&self, permit: &Permit) -> Result<Reply> {
        let mut rows = Vec::new();
        // Asked once: an engine that hangs would be waited for with every app.
        let engine_answers = self.rooms().engine.check().await.is_ok();
        for app in self.rooms().store.apps().await? {
            if permit.caller().scope.reaches(&app.id) {
                let release = self.deployer.live_release(&app.id).await?;
                let state = self.state_of(&app, release.as_ref(), engine_answers).await;
                let released_at = release.as_ref().and_then(|release| release.live_at);
                rows.push(AppRow {
                    url: self.deployer.url_of(&app.name),
                    release: app.current_version,
                    state,
                    released_at,
                    name: app.name,
                });
            }
        }
        Ok(Reply::Value(Answer::Apps(rows)))
    }

    pub(super) async fn create_app(&self, permit: &Permit, name: Option<AppName>) -> Result<Reply> {
        let by = &permit.caller().name;
        let app = match name {
            Some(name) => self.create_named(&name, by).await?,
            None => self.create_friendly(by).await?,
        };
        self.rooms().routes.add_app(app.name.clone(), app.id.clone());
        let name = app.name;
        let next = vec![format!("git remote add mini {}", self.git_url(&name)), "git push mini main".to_owned()];
        Ok(Reply::Value(Answer::Done(Done { message: format!("Created app `{name}`."), app: Some(name), next })))
    }

    async fn create_named(&self, name: &AppName, by: &str) -> Result<App> {
        self.rooms().store.create_app(AppId::random(), name.clone(), by.to_owned()).await
    }

    async fn create_friendly(&self, by: &str) -> Result<App> {
        for _ in 0..NAME_TRIES {
            match self.create_named(&friendly_name(), by).await {
                Err(err) if err.kind() == Kind::Busy => {}
                other => return other,
            }
        }
        Err(Error::busy("every name that came to mind is taken").hint("choose one: apps:create NAME"))
    }

    pub(super) async fn app_details(&self, permit: &Permit) -> Result<Reply> {
        let app = permit.app();
        let release = self.deployer.live_release(&app.id).await?;
        let engine_answers = self.rooms().engine.check().await.is_ok();
        let image_bytes = match &release {
            Some(release) if engine_answers => self.rooms().engine.image(release.image.as_str()).await.ok().map(|image| image.size_bytes),
            _ => None,
        };
        let (links, linked_from) = self.links_of(permit.caller(), app).await?;
        Ok(Reply::Value(Answer::App(Box::new(AppDetails {
            name: app.name.clone(),
            state: self.state_of(app, release.as_ref(), engine_answers).await,
            url: self.deployer.url_of(&app.name),
            git: self.git_url(&app.name),
            release: app.current_version,
            commit: release.and_then(|release| release.commit().cloned()),
            deploy_branch: app.deploy_branch.clone(),
            health: match app.health_path.as_deref() {
                Some("") => "none".to_owned(),
                path => format!("GET {}", path.unwrap_or("/")),
            },
            domains: self.rooms().store.domains(app.id.clone()).await?,
            edge: edge_options::shown(&app.edge),
            storage: app.storage.clone(),
            links,
            linked_from,
            host_ports: self.rooms().store.host_ports().await?.remove(&app.id).unwrap_or_default().into_iter().collect(),
            image_bytes,
            created_at: app.created_at,
        }))))
    }

    pub(super) async fn set_app(&self, permit: &Permit, options: &[String], input: Input) -> Result<Reply> {
        let app = permit.app();
        let mut options = options.iter().map(|option| options::parse(option)).collect::<Result<Vec<_>>>()?;
        // All that may be refused comes before anything is done.
        if options.iter().any(|option| matches!(option, AppOption::HostPorts(_))) {
            check_role(permit.caller(), Role::Admin)?;
        }
        options::read_password(&mut options, input).await?;
        let (mut messages, mut next, mut settings, mut changes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for option in options {
            match option {
                AppOption::DeployBranch(branch) => {
                    self.deployer.set_deploy_branch(app, &branch).await?;
                    messages.push(format!("`{}` now deploys from {branch}.", app.name));
                }
                AppOption::HostPorts(ports) => {
                    let (message, more) = self.set_host_ports(app, ports).await?;
                    messages.push(message);
                    next = more;
                }
                AppOption::Setting(setting) => {
                    messages.push(options::in_words(&app.name, &setting));
                    settings.push(setting);
                }
                AppOption::Edge(EdgeOption::Change(change)) => {
                    messages.push(edge_options::in_words(&app.name, &change));
                    changes.push(change);
                }
                AppOption::Edge(EdgeOption::User(_)) => unreachable!("each user got a password"),
            }
        }
        if !changes.is_empty() {
            self.deployer.set_edge(&app.id, changes).await?;
        }
        if !settings.is_empty() {
            self.deployer.set_options(&app.id, settings).await?;
        }
        Ok(Reply::Value(Answer::Done(Done { message: messages.join("\n"), app: Some(app.name.clone()), next })))
    }

    pub(super) async fn destroy_app(&self, permit: &Permit, confirm: Option<&AppName>) -> Result<Reply> {
        let app = permit.app();
        let name = &app.name;
        if confirm != Some(name) {
            let sentence = format!("this destroys `{name}` with its releases, config, logs, repository and all that is in its storage");
            return Err(Error::usage(sentence).hint(format!("if you mean it: apps:destroy {name} --confirm {name}")));
        }
        let has_ports = self.rooms().store.host_ports().await?.contains_key(&app.id);
        self.deployer.destroy(app).await?;
        if has_ports {
            self.close_host_ports().await;
        }
        Ok(Reply::Value(Answer::Done(Done { message: format!("Destroyed app `{name}`."), app: Some(name.clone()), next: Vec::new() })))
    }

    fn git_url(&self, name: &AppName) -> String {
        self.facts.git_url(&self.rooms().settings.public_host(), name)
    }
}
