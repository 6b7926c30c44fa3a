//! Every statement that the library sends is one that this schema understands, under the role that sends it, and gives nothing
//! to a tenant's role that has no tenant.

use futures_util::TryStreamExt;
use rag_tower_tests::postgres::{TestDatabase, run};
use sqlx::{AssertSqlSafe, Column, Either, PgConnection, Row, ValueRef};

use super::isolation::filled;
use super::support::id_of;

#[tokio::test]
async fn every_statement_prepares_under_its_role() {
    let database = TestDatabase::migrated().await;
    let mut connection = database.app().await;
    let statements = rag_tower::postgres::statements();
    assert!(statements.len() > 20);
    for (role, sql) in statements {
        let role = if role.is_empty() { "none" } else { role };
        run(
            &mut connection,
            &format!("BEGIN; SET LOCAL ROLE {role}; PREPARE s AS {sql}; DEALLOCATE s; ROLLBACK"),
        )
        .await;
    }
}

/// Says itself whose call it is, as the beginning of a transaction does for others, and gives nothing but who that was and a
/// number: what reads it is tested in `identity.rs`.
const SAYS_WHOSE_IT_IS: &str = "SELECT * FROM rag_tower.corpus_state($1)";

/// Each statement of the tenant's role, with arguments that name what tenant `a` has. For `a` most of them find or write
/// something; without a tenant each is refused or does nothing, though every argument still names `a`.
#[tokio::test]
async fn t02_without_a_tenant_no_statement_finds_or_writes_anything() {
    let database = filled().await;
    let mut connection = database.app().await;
    let a = id_of("a").to_string();
    let all = rag_tower::postgres::statements();
    assert!(all.contains(&("rag_tenant", SAYS_WHOSE_IT_IS)));
    let of_tenants = all.iter().filter(|(role, sql)| *role == "rag_tenant" && *sql != SAYS_WHOSE_IT_IS);
    let (mut statements, mut effective) = (0, 0);
    for (_, sql) in of_tenants {
        statements += 1;
        let as_a = outcome(&mut connection, sql, &a).await;
        effective += usize::from(matches!(as_a, Ok(done) if done > 0));
        let as_nobody = outcome(&mut connection, sql, "").await;
        assert!(matches!(as_nobody, Ok(0)) || is_refusal(&as_nobody), "{sql}: {as_nobody:?}");
    }
    assert!(statements > 20, "{statements}");
    assert!(effective * 2 > statements, "only {effective} of {statements} do anything for a tenant");
}

/// The text of an ask's chunks is found by their ids, whatever else the tenant has: how much is read does not grow with it.
#[tokio::test]
async fn the_text_of_chunks_is_found_without_looking_at_the_others() {
    let database = TestDatabase::migrated().await;
    let mut admin = database.admin().await;
    let a = id_of("a");
    run(
        &mut admin,
        &format!(
            "INSERT INTO rag_tower.corpora (tenant_id, version) VALUES ('{a}', 1);
             INSERT INTO rag_tower.documents (tenant_id, id, file_name, title, version)
             SELECT '{a}', md5('d' || n)::uuid, n || '.md', 'Title', 1 FROM generate_series(1, 500) n;
             INSERT INTO rag_tower.chunks (tenant_id, id, document_id, seq, text, terms, counts, token_count)
             SELECT '{a}', md5('c' || n || '.' || seq)::uuid, md5('d' || n)::uuid, seq, repeat('text ', 100), '{{}}', '{{}}', 0
             FROM generate_series(1, 500) n, generate_series(0, 9) seq;
             ANALYZE"
        ),
    )
    .await;
    let passages =
        rag_tower::postgres::statements().iter().map(|(_, sql)| sql).find(|sql| sql.contains("c.text"));
    let mut connection = database.app().await;
    let begin = format!("BEGIN; SET LOCAL ROLE rag_tenant; SET LOCAL rag.tenant_id = '{a}'; PREPARE s AS ");
    run(&mut connection, &(begin + passages.unwrap())).await;
    let some: String = sqlx::query_scalar(
        "SELECT quote_literal(array_agg(md5('c' || n || '.3')::uuid)::text) FROM generate_series(1, 24) n",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    // planned for these arguments, and later for any
    for _ in 0..8 {
        for (wanted, most) in [(&*some, 250), ("'{}'", 10)] {
            let explain = format!(
                "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE s('{a}', {wanted}, '{{}}', NULL, NULL)"
            );
            let plan: serde_json::Value = sqlx::query_scalar(AssertSqlSafe(explain))
                .persistent(false)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            let read = plan[0]["Plan"]["Shared Hit Blocks"].as_u64().unwrap()
                + plan[0]["Plan"]["Shared Read Blocks"].as_u64().unwrap();
            assert!(read < most, "{read} blocks were read, in this plan: {plan:#}");
        }
    }
}

/// Policies refuse a row, and a session that is not visible cannot be written to.
fn is_refusal(outcome: &Result<u64, String>) -> bool {
    outcome.as_ref().is_err_and(|code| ["42501", "23505", "23503", "23502"].contains(&code.as_str()))
}

/// Runs a statement in a transaction of the tenant and takes it back: how many rows it wrote, or gave with something in
/// them; or the code of its error.
async fn outcome(connection: &mut PgConnection, sql: &str, tenant: &str) -> Result<u64, String> {
    run(
        connection,
        &format!(
            "BEGIN; SET LOCAL ROLE rag_tenant; SET LOCAL rag.tenant_id = '{tenant}'; PREPARE s AS {sql}"
        ),
    )
    .await;
    let types: Vec<String> = sqlx::query_scalar(
        "SELECT unnest(parameter_types)::text FROM pg_prepared_statements WHERE name = 's'",
    )
    .persistent(false)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let arguments: Vec<String> = types.iter().map(|name| argument(name)).collect();
    let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
    let execute = AssertSqlSafe(format!("EXECUTE s{arguments}"));
    let done: Result<Vec<_>, sqlx::Error> =
        sqlx::raw_sql(execute).fetch_many(&mut *connection).try_collect().await;
    run(connection, "ROLLBACK; DEALLOCATE ALL").await;
    let done = done.map_err(|error| match error.as_database_error().and_then(|error| error.code()) {
        Some(code) => code.into_owned(),
        None => panic!("{sql}: {error}"),
    })?;
    let has_rows = done.iter().any(|part| matches!(part, Either::Right(_)));
    Ok(done
        .iter()
        .map(|part| match part {
            Either::Left(written) if !has_rows => written.rows_affected(),
            Either::Left(_) => 0,
            Either::Right(row) => u64::from(holds_something(row)),
        })
        .sum())
}

/// Something other than nothing, none and an empty list: what a count of no rows gives is no row. Who the transaction is,
/// which the read of texts says too, is nobody's data.
fn holds_something(row: &sqlx::postgres::PgRow) -> bool {
    let identity = ["current_user", "left", "reader", "tenant_setting"];
    row.columns().iter().filter(|column| !identity.contains(&column.name())).any(|column| {
        let value = row.try_get_raw(column.ordinal()).unwrap();
        !value.is_null() && !["0", "", "{}", "[]", "f"].contains(&value.as_str().unwrap())
    })
}

/// An argument of a type: the ids are those of what `a` has, of everything else it is the smallest thing there is.
fn argument(name: &str) -> String {
    let a = id_of("a");
    let one = match name.trim_end_matches("[]") {
        "uuid" => a.to_string(),
        // what chunks are written with: a term and how often
        "jsonb" => "[[1, 1]]".into(),
        "boolean" => "true".into(),
        "timestamp with time zone" | "date" => "2026-01-01".into(),
        _ => "1".into(),
    };
    match name.ends_with("[]") {
        true => format!("ARRAY['{one}']::{name}"),
        false => format!("'{one}'::{name}"),
    }
}
