//! Which app a folder was last deployed to, by server: `~/.local/state/mini/folders.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::private_file;
use crate::error::Result;
use crate::model::AppName;

/// Folders by their real paths, and their apps, of each server. A folder whose path is not UTF-8 is never remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders(BTreeMap<String, BTreeMap<String, AppName>>);

// === impl Folders ===

impl Folders {
    pub fn load() -> Result<Self> {
        private_file::read(&private_file::path_of("XDG_STATE_HOME", ".local/state", "folders.toml")?)
    }

    pub fn save(&self) -> Result<()> {
        private_file::write(&private_file::path_of("XDG_STATE_HOME", ".local/state", "folders.toml")?, self)
    }

    /// Returns the app that `folder` was last deployed to on `server`.
    #[must_use]
    pub fn app_of(&self, server: &str, folder: &Path) -> Option<&AppName> {
        self.0.get(server)?.get(folder.to_str()?)
    }

    /// Remembers the app; tells whether that is news.
    pub fn remember(&mut self, server: &str, folder: &Path, app: &AppName) -> bool {
        let Some(path) = folder.to_str() else { return false };
        let of_server = self.0.entry(server.to_owned()).or_default();
        of_server.insert(path.to_owned(), app.clone()).as_ref() != Some(app)
    }

    pub fn forget(&mut self, server: &str, folder: &Path) {
        if let (Some(of_server), Some(path)) = (self.0.get_mut(server), folder.to_str()) {
            of_server.remove(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_an_app_on_each_server() {
        let (blog, shop): (AppName, AppName) = ("blog".parse().unwrap(), "shop".parse().unwrap());
        let folder = Path::new("/home/anna/my web \"app\"");
        let mut folders = Folders::default();

        assert!(folders.remember("mini", folder, &blog));
        assert!(!folders.remember("mini", folder, &blog));
        assert!(folders.remember("work", folder, &shop));

        let back: Folders = toml::from_str(&toml::to_string(&folders).unwrap()).unwrap();
        assert_eq!((back.app_of("mini", folder), back.app_of("work", folder)), (Some(&blog), Some(&shop)));
        folders.forget("mini", folder);
        assert_eq!((folders.app_of("mini", folder), folders.app_of("work", Path::new("/"))), (None, None));
    }
}
