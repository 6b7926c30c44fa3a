//! Prices, what they make of asks, and what was used: against what the rows say.

use rag_tower::postgres::{PgPrices, PriceBook, Priced, Prices};
use rag_tower::trace::TraceStore;
use sqlx::Row;
use time::macros::datetime;

use super::*;
use crate::owner_store::prices::NewPrice;
use crate::zone::Zone;

const START: OffsetDateTime = datetime!(2026-03-28 00:00 UTC);

/// Row `n`, an hour after the one before.
fn row(n: i64) -> TraceRow {
    let at = START + time::Duration::minutes(n * 61);
    let stamp = uuid::Timestamp::from_unix(uuid::NoContext, at.unix_timestamp().unsigned_abs(), 0);
    let model = [Some("m"), None, Some("n"), Some("extractive"), Some("m")][n as usize % 5];
    let mut row: TraceRow = serde_json::from_value(serde_json::json!({
        "trace_id": AskId::new(uuid::Uuid::new_v7(stamp)), "ts": "2026-01-01T00:00:00Z",
        "tenant_id": TenantId::named(["a", "b"][n as usize % 2]), "channel": "web", "outcome": "truncated",
        "latency": Duration::from_millis(5), "sources": [], "tool_metadata": {}, "spans": [], "hits": [],
        "degraded": [], "llm_model": model, "llm_provider": "p",
    }))
    .unwrap();
    row.ts = row.trace_id.timestamp().unwrap();
    row.usage = (n % 4 > 0).then(|| Usage {
        input_tokens: 1_000 + n.unsigned_abs(),
        output_tokens: 10 * n.unsigned_abs(),
        estimated: n % 3 == 0,
    });
    row
}

fn price(model: &'static str, effective_from: OffsetDateTime, input: f64, output: f64) -> NewPrice<'static> {
    NewPrice {
        model,
        effective_from,
        input_per_million: input,
        output_per_million: output,
        note: Some("list"),
    }
}

/// Prices again until nothing is left, a few asks with each step.
async fn reprice(fixture: &mut Fixture) -> usize {
    // what others may write by an old book is waited for: as if that time were over
    fixture.run("UPDATE rag_tower.repricings SET until = least(until, '2026-06-01')".into()).await;
    let store = PgPrices::new(&fixture.database);
    let mut changed = 0;
    loop {
        let step = store.reprice(7).await.unwrap();
        changed += step.changed;
        if !step.more {
            return changed;
        }
    }
}

/// Each ask's cost, in the order of time, in US dollars x 1e-9.
async fn costs(fixture: &mut Fixture) -> Vec<Option<i64>> {
    sqlx::query_scalar(
        "SELECT round(cost_estimate * 1000000000)::bigint FROM rag_tower.request_traces ORDER BY ts",
    )
    .fetch_all(&mut fixture.admin)
    .await
    .unwrap()
}

fn expected(rows: &[TraceRow], book: &PriceBook) -> Vec<Option<i64>> {
    let cost = |row: &TraceRow| book.cost(row.llm_model.as_deref()?, row.ts, row.usage?);
    rows.iter().map(|row| cost(row).map(|dollars| (dollars * 1e9).round() as i64)).collect()
}

#[tokio::test]
async fn a_price_that_changes_changes_the_asks_it_holds_for_and_no_others() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let rollups = PgRollups::new(&fixture.database);
    let rows: Vec<TraceRow> = (0..130).map(row).collect();
    PgTraceStore::new(&fixture.database).insert(&rows).await.unwrap();
    rollups.fold_all().await.unwrap();
    assert_eq!(costs(&mut fixture).await, vec![None; 130], "unknown is no 0");

    let (first, second) = (START + time::Duration::hours(20), START + time::Duration::hours(71));
    let added = |done| match done {
        AddedPrice::Added(price) => price,
        other => panic!("{other:?}"),
    };
    added(store.add_price(&owner, price("m", first, 1.5, 3.0)).await.unwrap());
    assert!(
        store.prices(&owner).await.unwrap().repricing.is_some_and(|left| left.left > 0 && left.done == 0)
    );
    let book = PriceBook::default().with("m", first, 1.5, 3.0);
    assert!(reprice(&mut fixture).await > 0);
    assert_eq!(costs(&mut fixture).await, expected(&rows, &book));
    assert_eq!(store.prices(&owner).await.unwrap().repricing, None);
    assert_eq!(reprice(&mut fixture).await, 0, "there is nothing more to do");

    let later = added(store.add_price(&owner, price("m", second, 0.25, 0.0)).await.unwrap());
    assert!(matches!(
        store.add_price(&owner, price("m", second, 9.0, 9.0)).await.unwrap(),
        AddedPrice::Twice
    ));
    // one before both ends where the next begins
    added(store.add_price(&owner, price("m", START - time::Duration::DAY, 7.0, 7.0)).await.unwrap());
    reprice(&mut fixture).await;
    let whole = book.clone().with("m", second, 0.25, 0.0).with("m", START - time::Duration::DAY, 7.0, 7.0);
    assert_eq!(costs(&mut fixture).await, expected(&rows, &whole));
    assert_eq!(PgPrices::new(&fixture.database).book().await.unwrap(), whole);

    assert!(store.drop_price(&owner, later.id).await.unwrap());
    assert!(!store.drop_price(&owner, later.id).await.unwrap());
    reprice(&mut fixture).await;
    let without = book.with("m", START - time::Duration::DAY, 7.0, 7.0);
    assert_eq!(costs(&mut fixture).await, expected(&rows, &without));

    // the rollups have followed, and each change is in the log
    let sum = store.figures(&owner, None, None, None).await.unwrap();
    let nanos: i64 = expected(&rows, &without).into_iter().flatten().sum();
    assert_eq!(sum.cost_usd.map(|dollars| (dollars * 1e9).round() as i64), Some(nanos));
    rollups.fold_all().await.unwrap();
    let (differences, asks) = rollups.check(START, START + time::Duration::days(7)).await.unwrap();
    assert!(differences.is_empty() && asks == 130, "{differences:#?}");
    let log: Vec<String> = sqlx::query_scalar("SELECT action FROM rag_tower.audit_log ORDER BY ts, id")
        .fetch_all(&mut fixture.admin)
        .await
        .unwrap();
    assert_eq!(log, ["price.create", "price.create", "price.create", "price.delete"]);
    fixture.stop().await;
}

#[tokio::test]
async fn asks_are_priced_as_they_are_written() {
    let mut fixture = Fixture::new().await;
    let prices = Prices::default();
    let store = Priced::new(PgTraceStore::new(&fixture.database), prices.clone());
    let rows: Vec<TraceRow> = (0..40).map(row).collect();
    store.write(&rows[..20]).await.unwrap();
    let book = PriceBook::default().with("m", START + time::Duration::hours(30), 2.0, 4.0);
    prices.set(book.clone());
    // what has a cost keeps it
    let mut set = rows[20..].to_vec();
    set[0].cost_estimate = Some(0.5);
    store.write(&set).await.unwrap();
    let mut wanted = expected(&rows, &book);
    wanted[..20].fill(None);
    wanted[20] = Some(500_000_000);
    assert!(wanted.iter().flatten().count() > 3);
    assert_eq!(costs(&mut fixture).await, wanted);
    fixture.stop().await;
}

#[tokio::test]
async fn usage_is_what_the_rows_say_by_day_tenant_and_model() {
    let mut fixture = Fixture::new().await;
    let (store, owner) = (OwnerStore::new(&fixture.database), OwnerScope::for_test());
    let rows: Vec<TraceRow> = (0..130).map(row).collect();
    let traces = PgTraceStore::new(&fixture.database);
    traces.insert(&rows[..90]).await.unwrap();
    PgRollups::new(&fixture.database).fold_all().await.unwrap();
    traces.insert(&rows[90..]).await.unwrap();
    assert!(matches!(
        store.add_price(&owner, price("m", START, 1.0, 1.0)).await.unwrap(),
        AddedPrice::Added(_)
    ));
    reprice(&mut fixture).await;
    // clocks change on the second day in Athens
    for name in ["Europe/Athens", "Asia/Ho_Chi_Minh", "Asia/Kathmandu", "UTC"] {
        let zone: Zone = name.parse().unwrap();
        for (tenant, model) in [(None, None), (Some("a"), None), (None, Some("m"))] {
            let which = Selection {
                tenant: tenant.map(TenantId::named),
                model: model.map(str::to_owned),
                since: Some(START + time::Duration::minutes(100)),
                until: Some(START + time::Duration::hours(120)),
                ..Selection::default()
            };
            let found = store.usage(&owner, &which, &zone, (1_000, 0)).await.unwrap();
            let raw = sqlx::query(
                "SELECT (ts AT TIME ZONE $1)::date::text, tenant_id, llm_model, count(*), coalesce(sum(input_tokens), 0)::bigint,
                     coalesce(sum(output_tokens), 0)::bigint, count(*) FILTER (WHERE estimated), count(cost_estimate),
                     count(*) FILTER (WHERE cost_estimate IS NULL AND llm_model <> 'extractive'), sum(cost_estimate)::float8
                 FROM rag_tower.request_traces WHERE ts >= $2 AND ts < $3 AND ($4::uuid IS NULL OR tenant_id = $4)
                     AND ($5::text IS NULL OR llm_model = $5) GROUP BY 1, 2, 3",
            )
            .bind(name)
            .bind(which.since)
            .bind(which.until)
            .bind(which.tenant.map(|tenant| tenant.as_uuid()))
            .bind(&which.model)
            .fetch_all(&mut fixture.admin)
            .await
            .unwrap();
            let mut lines: Vec<_> = raw
                .iter()
                .map(|row| {
                    let of: [i64; 6] = [3, 4, 5, 6, 7, 8].map(|n| row.get(n));
                    let cost: Option<f64> = row.get(9);
                    (
                        row.get::<String, _>(0),
                        row.get::<uuid::Uuid, _>(1),
                        row.get::<Option<String>, _>(2),
                        of,
                        nano(cost),
                    )
                })
                .collect();
            let mut seen: Vec<_> = found
                .items
                .iter()
                .map(|line| {
                    let of = [
                        line.requests,
                        line.input_tokens,
                        line.output_tokens,
                        line.estimated,
                        line.priced,
                        line.unpriced,
                    ];
                    (line.day.clone(), line.tenant_id, line.model.clone(), of, nano(line.cost_usd))
                })
                .collect();
            assert!(found.items.is_sorted_by(|a, b| a.day >= b.day));
            lines.sort();
            seen.sort();
            assert_eq!(seen, lines, "{name} {tenant:?} {model:?}");
            assert_eq!((found.total, found.next), (lines.len(), None));
            let first = store.usage(&owner, &which, &zone, (3, 0)).await.unwrap();
            assert_eq!((first.items.as_slice(), first.next), (&found.items[..3], Some(3)));
            let mut models: Vec<(&str, i64)> =
                found.unpriced.iter().map(|model| (model.model.as_str(), model.requests)).collect();
            models.sort_unstable();
            let of = |model: &str| -> i64 {
                let lines = found.items.iter().filter(|line| line.model.as_deref() == Some(model));
                lines.map(|line| line.unpriced).sum()
            };
            let expected = [("m", of("m")), ("n", of("n"))].into_iter().filter(|(_, asks)| *asks > 0);
            assert_eq!(models, expected.collect::<Vec<_>>(), "{name}");
            assert!(!models.is_empty());
            let export = store.export_usage(&owner, &which, &zone, Format::JsonLines).await.unwrap();
            let pieces: Vec<bytes::Bytes> = futures_util::StreamExt::collect(export).await;
            let text = String::from_utf8(pieces.concat()).unwrap();
            assert_eq!(text.lines().count(), lines.len());
        }
    }
    fixture.stop().await;
}

fn nano(cost: Option<f64>) -> Option<i64> {
    cost.map(|dollars| (dollars * 1e9).round() as i64)
}

#[tokio::test]
async fn prices_are_the_owner_s_alone() {
    let mut fixture = Fixture::new().await;
    for role in ["rag_tenant", "rag_writer", "rag_resolver"] {
        for table in ["prices", "repricings"] {
            let sql = format!("BEGIN; SET LOCAL ROLE {role}; SELECT * FROM rag_tower.{table}");
            let refused = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut fixture.admin).await;
            assert!(refused.unwrap_err().to_string().contains("permission denied"), "{role} {table}");
            fixture.run("ROLLBACK".into()).await;
        }
    }
    // the job prices by the book and does not write it
    let sql = "BEGIN; SET LOCAL ROLE rag_jobs; DELETE FROM rag_tower.prices";
    let refused = sqlx::raw_sql(sql).execute(&mut fixture.admin).await;
    assert!(refused.unwrap_err().to_string().contains("permission denied"));
    fixture.run("ROLLBACK".into()).await;
    fixture.stop().await;
}
