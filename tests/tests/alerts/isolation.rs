//! A hole in the schema: whoever looks at the corpus becomes another tenant.

use rag_tower_tests::postgres::open_hole;
use rag_tower_tests::server::Setup;

use super::{BINARY, Watched, ask, wait};

pub(super) const ALERTS: &[&[&str]] = &[HOLE];

const HOLE: &[&str] = &["IsolationViolated", "FailedClosed", "IsolationAuditNotOk"];

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_between_tenants() {
    let watched = Watched::start(Setup::new(BINARY).env("RAG_TOWER_CANARY_INTERVAL", "1")).await;
    let mut admin = watched.server.database().await;
    open_hole(&mut admin).await;
    let tenant = watched.server.tenant();
    watched
        .until(HOLE, async |n| {
            let asked = ask(&tenant, &format!("Trung tâm hoàn phí trong những trường hợp nào? ({n})")).await;
            assert_eq!(asked.json()["finish_reason"], "isolation", "{}", asked.text());
            wait().await;
        })
        .await;
}
