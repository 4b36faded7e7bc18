//! The labels by which everything that this server makes is found again.

use std::collections::HashMap;

use crate::model::{AppId, InstanceId};

pub(super) const INSTANCE: &str = "mini.instance";
pub(super) const APP: &str = "mini.app";
pub(super) const NAME: &str = "mini.name";
pub(super) const RELEASE: &str = "mini.release";
pub(super) const PROCESS: &str = "mini.process";
pub(super) const INDEX: &str = "mini.index";
pub(super) const PORT: &str = "mini.port";
/// What an app calls its volume.
pub(super) const STORAGE: &str = "mini.storage";
/// Set on a one-off whose output goes to its caller.
pub(super) const ATTACHED: &str = "mini.attached";

/// On the network of a link: who reaches, and whom.
pub(super) const LINK: &str = "mini.link";
pub(super) const TARGET: &str = "mini.target";

/// Engine filters, by kind.
pub(super) type Filters = HashMap<String, Vec<String>>;

/// The label of everything that this server makes.
pub(super) fn of_instance(instance: &InstanceId) -> HashMap<String, String> {
    HashMap::from([(INSTANCE.to_owned(), instance.to_string())])
}

/// The labels of everything that belongs to one app.
pub(super) fn of_app(instance: &InstanceId, app: &AppId) -> HashMap<String, String> {
    HashMap::from([(INSTANCE.to_owned(), instance.to_string()), (APP.to_owned(), app.to_string())])
}

/// A filter that matches what this server made.
pub(super) fn filter_instance(instance: &InstanceId) -> Filters {
    HashMap::from([("label".to_owned(), vec![format!("{INSTANCE}={instance}")])])
}

/// A filter that matches what this server made for one app.
pub(super) fn filter_app(instance: &InstanceId, app: &AppId) -> Filters {
    HashMap::from([("label".to_owned(), vec![format!("{INSTANCE}={instance}"), format!("{APP}={app}")])])
}
