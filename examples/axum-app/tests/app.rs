//! The example, run as its users run it: two tenants, real Postgres, one row for each request.

use std::process::Command;

use rag_tower::TenantId;
use rag_tower_tests::example::Example;
use rag_tower_tests::postgres::TestDatabase;
use serde_json::json;

const ACME_KEY: &str = "acme-key-of-the-test-0123456789abcdef";
const GLOBEX_KEY: &str = "globex-key-of-the-test-0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_is_its_own_and_each_request_is_a_row() {
    let database = TestDatabase::empty().await;
    let login = format!("cafe_{}", std::process::id());
    let make = format!(
        "CREATE ROLE {login} LOGIN PASSWORD 'x' NOSUPERUSER NOCREATEROLE;
         DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {login}', current_database()); END $$"
    );
    database.run_as_admin(&make).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_axum-app"));
    command
        .env("DATABASE_URL", database.url_of(&login, "x"))
        .env("ACME_KEY", ACME_KEY)
        .env("GLOBEX_KEY", GLOBEX_KEY);
    let example = Example::start(command);

    let question = json!({"text": "When do you open?"});
    for (key, tenant) in [(ACME_KEY, "acme"), (GLOBEX_KEY, "globex")] {
        let reply = example.client().bearer(key).post("/chat", &question).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains(&TenantId::named(tenant).to_string()), "{}", reply.text());
    }
    assert_eq!(example.client().post("/chat", &question).await.status, 401);
    let wrong = example.client().bearer("a-key-that-nobody-has-0123456789abcdef");
    assert_eq!(wrong.post("/chat", &question).await.status, 401);

    // Ended as an operator ends it: what was asked is written before it goes.
    assert!(example.interrupt().success());

    let mut admin = database.admin().await;
    let rows: Vec<(uuid::Uuid, String, Option<String>)> = sqlx::query_as(
        "SELECT tenant_id, status, question FROM rag_tower.request_traces ORDER BY ts, trace_id",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let expected = ["acme", "globex"].map(|tenant| {
        (TenantId::named(tenant).as_uuid(), "SUCCESS".to_owned(), Some("When do you open?".to_owned()))
    });
    assert_eq!(rows, expected, "a refused request leaves no row");
}

#[test]
fn it_took_fewer_than_fifteen_changed_lines() {
    let lines = |text: &'static str| text.lines().collect::<Vec<_>>();
    let (before, after) = (lines(include_str!("../src/before.rs")), lines(include_str!("../src/main.rs")));
    // The longest common subsequence: what is left of either side was removed or added.
    let mut common = vec![vec![0; after.len() + 1]; before.len() + 1];
    for (i, old) in before.iter().enumerate() {
        for (j, new) in after.iter().enumerate() {
            common[i + 1][j + 1] =
                if old == new { common[i][j] + 1 } else { common[i][j + 1].max(common[i + 1][j]) };
        }
    }
    let same = common[before.len()][after.len()];
    let (removed, added) = (before.len() - same, after.len() - same);
    assert_eq!((removed, added), (3, 14), "as `diff` shows them, and the README says fourteen");
}
