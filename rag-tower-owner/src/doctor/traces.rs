//! A database in, whether its partitions are made ahead and its rollups are what its rows say out.

use std::time::Duration;

use rag_tower::postgres::{Database, Lag, PgPartitions, PgRollups};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::{Finding, bad, good, note};
use crate::beside::Beside;
use crate::config::Config;

/// How long adding up two days may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many differences are shown.
const SHOWN: usize = 3;
/// Deltas that have waited for so long are folded by nobody.
const LATE: Duration = Duration::from_secs(60);
/// What may be wrong with a database that answers.
const OLDER: &str = "The schema may be older than this program: start the server, or run `migrate`.";

/// Looks at the traces of the database of `DATABASE_URL`, else of the private one: while a server runs, through that server's
/// own Postgres. Nothing when there is no database yet, or none that could be reached.
pub(super) async fn examined(config: &Config, database: Option<Database>) -> Vec<Finding> {
    if let Some(database) = database {
        let found = examine(config, &database).await;
        database.close().await;
        return found;
    }
    if config.database_url.is_some() {
        return Vec::new();
    }
    match Beside::open(config).await {
        Ok(Some(beside)) => {
            let mut found = examine(config, &beside.database).await;
            if let Err(failure) = beside.close().await {
                found.push(bad("rollups", failure.to_string()));
            }
            found
        }
        Ok(None) => Vec::new(),
        Err(failure) => vec![bad("rollups", failure.to_string())],
    }
}

async fn examine(config: &Config, database: &Database) -> Vec<Finding> {
    vec![partitions(config, database).await, rollups(database).await]
}

async fn partitions(config: &Config, database: &Database) -> Finding {
    let found = match PgPartitions::new(database).partitions().await {
        Ok(found) => found,
        Err(error) => return bad("partitions", format!("{error}\n{OLDER}")),
    };
    let kept = match config.trace_retention {
        Some(days) => format!("rows are kept for {days} days"),
        None => "rows are kept for ever".to_owned(),
    };
    let since = found.since.map(|since| format!(" since {}", since.date())).unwrap_or_default();
    let said = format!("{} days{since}; {kept}", found.count);
    match found.until {
        Some(until) if until - OffsetDateTime::now_utc() > time::Duration::DAY => good("partitions", said),
        _ => note(
            "partitions",
            format!("{said}\nTomorrow's is missing. A server that runs makes it within the hour."),
        ),
    }
}

async fn rollups(database: &Database) -> Finding {
    let rollups = PgRollups::new(database);
    let waits = rollups.lag().await.map(waiting).unwrap_or_default();
    let now = OffsetDateTime::now_utc();
    let yesterday = now - time::Duration::DAY;
    match timeout(PATIENCE, rollups.check(yesterday, now)).await {
        Ok(Ok((differences, asks))) if differences.is_empty() => {
            let said = format!("they are what the {asks} asks of yesterday and today (UTC) say");
            if waits.is_empty() { good("rollups", said) } else { note("rollups", format!("{said}{waits}")) }
        }
        Ok(Ok((differences, _))) => {
            let shown: String = differences.iter().take(SHOWN).map(|line| format!("\n{line}")).collect();
            bad(
                "rollups",
                format!(
                    "{} buckets of yesterday and today (UTC) are not what their asks say, such as{shown}\n\
                     Figures of these days are wrong. Rows and rollups change in one transaction: find what else has \
                     written to the tables, such as a server of a version without rollups.\n\
                     Then run `rag-tower-owner rollups rebuild --since {}`, with --until for the last day that is wrong.\
                     {waits}",
                    differences.len(),
                    yesterday.date(),
                ),
            )
        }
        Ok(Err(error)) => bad("rollups", format!("{error}\n{OLDER}")),
        Err(_) => note("rollups", format!("not compared: it takes more than {} s here", PATIENCE.as_secs())),
    }
}

/// What is to be said of what waits to be folded, on a line of its own.
fn waiting(lag: Lag) -> String {
    if lag.oldest < LATE {
        return String::new();
    }
    format!(
        "\n{} batches wait to be folded, the oldest for {} s. A server that runs folds each second; its log says why it \
         cannot.",
        lag.deltas,
        lag.oldest.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rag_tower::AskId;
    use rag_tower::postgres::{APP_LOGIN, DatabaseOptions, PgTraceStore, bootstrap};
    use rag_tower::tenant::TenantId;
    use rag_tower::trace::TraceRow;
    use serde_json::json;
    use sqlx::{Connection, PgConnection};

    use super::*;
    use crate::cluster::{Cluster, ClusterOptions};
    use crate::doctor::State;
    use crate::mend::{self, Mend};

    #[tokio::test]
    async fn a_rollup_that_somebody_changed_is_bad_until_it_is_made_again() {
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
        let mut admin = PgConnection::connect(&url).await.unwrap();
        sqlx::query("UPDATE rag_tower.rollup_deltas SET made_at = now() - interval '1 hour'")
            .execute(&mut admin)
            .await
            .unwrap();
        let finding = rollups(&database).await;
        assert!(finding.state == State::Note && finding.said.contains("1 batches wait"), "{}", finding.said);
        PgRollups::new(&database).fold_all().await.unwrap();
        let finding = rollups(&database).await;
        assert!(finding.state == State::Good && finding.said.contains("the 1 asks"), "{}", finding.said);
        sqlx::query("UPDATE rag_tower.trace_totals SET requests = 2").execute(&mut admin).await.unwrap();
        let said = rollups(&database).await.said;
        assert!(said.contains("Requests 2 for 1") && said.contains("rollups rebuild --since"), "{said}");
        drop(admin);
        database.close().await;

        // beside a server that has the private Postgres
        let environment = [("RAG_TOWER_DATA".to_owned(), folder.path().display().to_string())];
        let config = Config::read(None, environment).unwrap();
        let said = |found: &[Finding]| found.iter().map(|finding| finding.said.clone()).collect::<String>();
        let found = examined(&config, None).await;
        assert!(said(&found).contains("3 buckets"), "{}", said(&found));
        assert!(cluster.pid().is_some(), "it is the server's");
        cluster.stop().await.unwrap();

        // a server that has stopped left its private Postgres behind
        let found = examined(&config, None).await;
        assert!(said(&found).contains("3 buckets"), "{}", said(&found));
        let day = OffsetDateTime::now_utc().date();
        let rebuild = Mend::Rebuild { since: day.previous_day().unwrap(), until: None };
        assert!(mend::rollups(&config, &rebuild).await.unwrap().contains("from 1 asks"));
        let found = examined(&config, None).await;
        assert!(found.iter().all(|finding| finding.state == State::Good), "{}", said(&found));
        assert!(said(&found).contains("rows are kept for ever"), "{}", said(&found));
    }
}
