//! Every statement that the library sends is one that this schema understands, under the role that sends it.

use rag_tower_tests::postgres::{TestDatabase, run};

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
