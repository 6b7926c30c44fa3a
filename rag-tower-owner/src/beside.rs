//! The database in reach of a command that needs nothing else: settings in, a connection out, whether or not a server runs.
//!
//! The one of `DATABASE_URL`; else the private one, through the socket of the server that has it, as that server's own login;
//! else the private one, started for the command and stopped after it.

use std::path::Path;
use std::time::Duration;

use rag_tower::postgres::{Database, DatabaseOptions};

use crate::cluster::{Cluster, ClusterOptions};
use crate::config::Config;
use crate::failure::Failure;
use crate::platform::DATABASE;

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database that a command uses for itself.
pub(crate) struct Beside {
    pub(crate) database: Database,
    cluster: Option<Cluster>,
}

// === impl Beside ===

impl Beside {
    /// Connects, with all checks of the login, the schema and the policies. None when there is no database yet.
    pub(crate) async fn open(config: &Config) -> Result<Option<Self>, Failure> {
        match &config.database_url {
            Some(url) => Ok(Some(Self { database: connect(url.expose()).await?, cluster: None })),
            None => Self::private(&config.data.join("postgres")).await,
        }
    }

    /// The private one of this folder.
    async fn private(folder: &Path) -> Result<Option<Self>, Failure> {
        if !folder.join("data/PG_VERSION").exists() {
            return Ok(None);
        }
        let failed = |error| Failure::because("the private Postgres cannot be used", &error);
        if let Some(url) = Cluster::running(folder, DATABASE).map_err(failed)? {
            return Ok(Some(Self { database: connect(&url).await?, cluster: None }));
        }
        let cluster = Cluster::start(&ClusterOptions::new(folder)).await.map_err(failed)?;
        match connect(&cluster.app_url(DATABASE)).await {
            Ok(database) => Ok(Some(Self { database, cluster: Some(cluster) })),
            Err(failure) => {
                let _ = cluster.stop().await;
                Err(failure)
            }
        }
    }

    /// Disconnects, and stops what was started.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.database.close().await;
        match self.cluster {
            Some(cluster) => {
                let stopped = cluster.stop().await;
                stopped.map_err(|error| Failure::because("the private Postgres did not stop", &error))
            }
            None => Ok(()),
        }
    }
}

async fn connect(url: &str) -> Result<Database, Failure> {
    let options = DatabaseOptions::new(url).max_connections(1).acquire_timeout(PATIENCE);
    Database::connect(&options).await.map_err(|error| {
        Failure::because("the database cannot be used", &error).mend(
            "The schema may be older than this program: start the server, or run `rag-tower-owner migrate`.",
        )
    })
}
