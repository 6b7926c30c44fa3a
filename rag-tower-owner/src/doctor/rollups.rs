//! A database in, whether its rollups are what its rows say out.

use std::time::Duration;

use rag_tower::postgres::{Database, DatabaseOptions, PgRollups};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::{Finding, bad, good, note};
use crate::cluster::{Cluster, ClusterOptions};
use crate::config::Config;

/// How long adding up two days may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many differences are shown.
const SHOWN: usize = 3;

/// Compares the rollups of the last closed day and today with the rows: in the database of `DATABASE_URL`, else in the
/// private one, which is started for it. Nothing when there is no database yet, or none that could be reached.
pub(super) async fn compared(config: &Config, database: Option<Database>, running: bool) -> Option<Finding> {
    if let Some(database) = database {
        let finding = compare(&database).await;
        database.close().await;
        return Some(finding);
    }
    let folder = config.data.join("postgres");
    if config.database_url.is_some() || !folder.join("data/PG_VERSION").exists() {
        return None;
    }
    if running {
        return Some(note("rollups", "not compared: the server that runs here has the private Postgres"));
    }
    Some(match Cluster::start(&ClusterOptions::new(folder)).await {
        Ok(cluster) => {
            let finding = of_private(&cluster).await;
            match cluster.stop().await {
                Ok(()) => finding,
                Err(error) => bad("rollups", error.to_string()),
            }
        }
        Err(error) => bad("rollups", error.to_string()),
    })
}

async fn of_private(cluster: &Cluster) -> Finding {
    let options = DatabaseOptions::new(cluster.app_url("postgres")).max_connections(1);
    match Database::connect(&options).await {
        Ok(database) => {
            let finding = compare(&database).await;
            database.close().await;
            finding
        }
        Err(error) => bad("rollups", error.to_string()),
    }
}

async fn compare(database: &Database) -> Finding {
    let now = OffsetDateTime::now_utc();
    let rollups = PgRollups::new(database);
    match timeout(PATIENCE, rollups.check(now - time::Duration::DAY, now)).await {
        Ok(Ok((differences, asks))) if differences.is_empty() => {
            good("rollups", format!("they are what the {asks} asks of yesterday and today (UTC) say"))
        }
        Ok(Ok((differences, _))) => {
            let shown: String = differences.iter().take(SHOWN).map(|line| format!("\n{line}")).collect();
            bad(
                "rollups",
                format!(
                    "{} buckets of yesterday and today (UTC) are not what their asks say, such as{shown}\n\
                     Figures of these days are wrong. Rows and rollups change in one transaction: find what else has \
                     written to the tables.",
                    differences.len()
                ),
            )
        }
        Ok(Err(error)) => bad(
            "rollups",
            format!(
                "{error}\nThe schema may be older than this program: start the server, or run `migrate`."
            ),
        ),
        Err(_) => note("rollups", format!("not compared: it takes more than {} s here", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rag_tower::AskId;
    use rag_tower::postgres::{APP_LOGIN, PgTraceStore, bootstrap};
    use rag_tower::tenant::TenantId;
    use rag_tower::trace::TraceRow;
    use serde_json::json;
    use sqlx::{Connection, PgConnection};

    use super::*;

    #[tokio::test]
    async fn a_rollup_that_somebody_changed_is_bad() {
        let open = std::fs::Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().permissions(open).tempdir().unwrap();
        let cluster =
            Cluster::start(&ClusterOptions::new(folder.path().join("postgres")).throwaway()).await.unwrap();
        let url = cluster.admin_url("postgres");
        bootstrap(&url, APP_LOGIN, Some(cluster.app_password())).await.unwrap();
        let database = Database::connect(&DatabaseOptions::new(cluster.app_url("postgres"))).await.unwrap();
        let id = AskId::generate();
        let mut row: TraceRow = serde_json::from_value(json!({
            "trace_id": id, "ts": "2026-01-01T00:00:00Z", "tenant_id": TenantId::named("a"), "channel": "web",
            "outcome": "truncated", "latency": Duration::from_millis(5), "sources": [], "tool_metadata": {}, "spans": [],
            "hits": [], "degraded": []
        }))
        .unwrap();
        row.ts = id.timestamp().unwrap();
        PgTraceStore::new(&database).insert(&[row]).await.unwrap();
        PgRollups::new(&database).fold_all().await.unwrap();
        assert!(compare(&database).await.said.contains("the 1 asks"));
        let mut admin = PgConnection::connect(&url).await.unwrap();
        sqlx::query("UPDATE rag_tower.trace_totals SET requests = 2").execute(&mut admin).await.unwrap();
        let said = compare(&database).await.said;
        assert!(said.contains("Requests 2 for 1"), "{said}");
        drop(admin);
        database.close().await;
        cluster.stop().await.unwrap();

        // a server that has stopped left its private Postgres behind
        let environment = [("RAG_TOWER_DATA".to_owned(), folder.path().display().to_string())];
        let config = Config::read(None, environment).unwrap();
        let finding = compared(&config, None, false).await.unwrap();
        assert!(finding.said.contains("3 buckets"), "{}", finding.said);
    }
}
