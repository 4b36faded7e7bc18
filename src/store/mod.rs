//! What must survive: apps, keys, config, releases and the deploys' journal, in one database file.

mod apps;
mod certificates;
mod column;
mod config;
mod deploys;
mod destroyed;
mod domains;
mod edge;
mod failure;
mod file;
mod health;
mod host_ports;
mod images;
mod keys;
mod links;
mod older;
mod processes;
mod registries;
mod releases;
mod schema;
mod scopes;
mod seal;
mod settings;
mod snapshot;
mod storage;
mod switch;
mod tokens;

#[cfg(test)]
mod trial;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::{Error, Result};
use crate::model::InstanceId;
use seal::Sealer;

pub use crate::model::DeployId;
pub use apps::App;
pub use certificates::{CertificateOrder, StoredCertificate};
pub use config::ConfigValues;
pub use deploys::{Deploy, NewDeploy};
pub use domains::DomainRow;
pub use keys::{Admission, Key, NewKey};
pub use processes::{Process, ProcessChange, ProcessId};
pub use registries::Registry;
pub use releases::{NewRelease, Release};
pub use settings::AppSetting;
pub use snapshot::Snapshot;
pub use switch::GoLive;
pub use tokens::{IssuedToken, NewToken};

/// The server's state; clones are cheap and share one connection.
///
/// Each verb is one short transaction on a blocking thread and is durable when it returns. A verb whose future is dropped
/// still runs to its end.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Mutex<Connection>,
    /// The database's file.
    path: PathBuf,
    sealer: Sealer,
    instance: InstanceId,
}

// === impl Store ===

impl Store {
    /// Opens `<data_dir>/mini.db` and `<data_dir>/master.key`, makes both where there never were any; blocks.
    ///
    /// A file that is damaged, foreign, lost or from a newer `mini`, and a key that is missing or wrong, are errors of
    /// [`Kind::Setup`](crate::error::Kind::Setup) that name the path; nothing is mended or replaced.
    pub fn open(data_dir: &Path) -> Result<Store> {
        let connection = file::open(data_dir, schema::MIGRATIONS)?;
        match older::adopt_from_older(&connection) {
            // What runs is served from a full disk too.
            Err(err) if !failure::is_lasting(&err) => {
                tracing::warn!(?err, "what the mini of before did is not taken over; the next start does it");
            }
            adopted => adopted?,
        }
        let sealer = Sealer::open(data_dir, &connection)?;
        let instance = schema::meta(&connection, "instance")?.ok_or_else(|| {
            let path = data_dir.join(file::NAME);
            Error::setup(format!("the database `{}` has lost its identity", path.display())).hint(file::way_back(&path))
        })?;
        Ok(Store { inner: Arc::new(Inner { connection: Mutex::new(connection), path: data_dir.join(file::NAME), sealer, instance }) })
    }

    /// Leaves the database open until this process ends.
    ///
    /// Closing it removes its journal and the index of that, and a full disk has no room for new ones: the next start would be refused.
    pub fn stay_open(&self) {
        std::mem::forget(self.clone());
    }

    /// Brings all that is in the journal into the file itself, so that whoever copies only that misses nothing.
    pub async fn come_to_rest(&self) -> Result<()> {
        self.blocking(|_, conn| Ok(conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)).await
    }

    /// Returns the identity of this data dir, made with it.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        &self.inner.instance
    }

    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Connection, &Sealer) -> Result<T> + Send + 'static) -> Result<T> {
        self.blocking(move |inner, conn| work(conn, &inner.sealer)).await
    }

    /// Runs `work` in one transaction that takes the write lock first; an error leaves nothing behind.
    async fn write<T: Send + 'static>(&self, work: impl FnOnce(&Connection, &Sealer) -> Result<T> + Send + 'static) -> Result<T> {
        let in_transaction = move |inner: &Inner, conn: &Connection| {
            let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
            let done = work(&transaction, &inner.sealer)?;
            transaction.commit()?;
            Ok(done)
        };
        self.blocking(in_transaction).await
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner, &Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::task::spawn_blocking(move || {
            // A panic rolled its transaction back while unwinding: the connection is as good as before.
            let connection = inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&inner, &connection)
        });
        task.await.unwrap_or_else(|err| Err(Error::failed("the server stopped in the middle of this").because(err)))
    }
}
