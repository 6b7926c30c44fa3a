//! The proof at start that tenants are kept apart: a connected login in, nothing or a list of findings out.
//!
//! First the catalog is read: who the login is, which tables there are, what their policies say, who was granted what.
//! Then a row is written as one tenant and looked for as another and as nobody, in a transaction that is rolled back.
//! Views, materialised views and functions are looked at inside the schema `rag_tower`.

use std::fmt;

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::database::{Database, Role};
use super::error::DatabaseError;

/// Why isolation would not hold, and the SQL that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// What mends it.
    pub mend: String,
}

/// One thing to look for: a query for names, and what to say of each.
struct Check {
    sql: &'static str,
    what: &'static str,
    mend: &'static str,
}

/// What the catalog must not contain. `{}` stands for the name found.
const CATALOG: &[Check] = &[
    Check {
        sql: "SELECT rolname::text FROM pg_catalog.pg_roles WHERE (rolsuper OR rolbypassrls)
                AND (rolname = session_user OR rolname IN ('rag_tenant', 'rag_writer', 'rag_resolver', 'rag_owner', 'rag_jobs'))",
        what: "role {} is a superuser or bypasses row-level security",
        mend: "use a login of its own: CREATE ROLE rag_app LOGIN NOINHERIT PASSWORD '…'; \
               GRANT rag_tenant, rag_writer, rag_resolver, rag_owner, rag_jobs TO rag_app; and put it into DATABASE_URL \
               (for one of the roles: ALTER ROLE {} NOSUPERUSER NOBYPASSRLS)",
    },
    Check {
        sql: "SELECT r.name FROM unnest(ARRAY['rag_tenant', 'rag_writer', 'rag_resolver', 'rag_owner', 'rag_jobs']) AS r (name)
              LEFT JOIN pg_catalog.pg_roles p ON p.rolname = r.name
              WHERE p.oid IS NULL OR NOT pg_has_role(session_user, p.oid, 'MEMBER')",
        what: "the login may not become {}",
        mend: "run `rag-tower-owner migrate` with DATABASE_ADMIN_URL, or: GRANT {} TO the login",
    },
    Check {
        sql: "SELECT DISTINCT r.rolname::text FROM pg_catalog.pg_class c
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
              WHERE n.nspname = 'rag_tower' AND pg_has_role(session_user, c.relowner, 'MEMBER')
                AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user)",
        what: "the login is, or may become, {}, which owns the tables and could switch their protection off",
        mend: "use a login of its own for DATABASE_URL, and the owner for DATABASE_ADMIN_URL alone: REVOKE {} FROM the login",
    },
    Check {
        sql: "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = 'rag_tower' AND c.relkind IN ('r', 'p') AND c.relname <> '_migrations'
                AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
        what: "table {} has no forced row-level security",
        mend: "ALTER TABLE rag_tower.{} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    },
    Check {
        sql: "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
                   LATERAL aclexplode(c.relacl) a
              WHERE n.nspname = 'rag_tower' AND c.relispartition AND a.grantee <> c.relowner
              UNION
              SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                   JOIN pg_catalog.pg_policy p ON p.polrelid = c.oid
              WHERE n.nspname = 'rag_tower' AND c.relispartition",
        what: "partition {} can be reached past its parent",
        mend: "REVOKE ALL ON rag_tower.{} FROM every role, and drop its policies: a partition has none",
    },
    Check {
        sql: "SELECT DISTINCT c.relname::text FROM pg_catalog.pg_class c
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, LATERAL aclexplode(c.relacl) a
              WHERE n.nspname = 'rag_tower' AND (a.grantee = 0
                OR a.grantee = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user) AND a.grantee <> c.relowner)",
        what: "{} is granted to PUBLIC or to the login itself",
        mend: "REVOKE ALL ON rag_tower.{} FROM PUBLIC and from the login",
    },
    Check {
        sql: "SELECT tablename || '.' || policyname FROM pg_catalog.pg_policies WHERE schemaname = 'rag_tower'
                AND (cmd IN ('ALL', 'INSERT') AND with_check IS NULL
                  OR coalesce(qual, '') || coalesce(with_check, '') ~* 'coalesce|is null')",
        what: "policy {} lets rows without a tenant through",
        mend: "give it WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid) and nothing else",
    },
    Check {
        // what the tenant's role can use must compare with the tenant of the transaction
        sql: "SELECT tablename || '.' || policyname FROM pg_catalog.pg_policies
              WHERE schemaname = 'rag_tower' AND permissive = 'PERMISSIVE'
                AND roles && ARRAY['public', 'rag_tenant', session_user]::name[]
                AND (coalesce(qual, '(rag.tenant_id') NOT LIKE '%rag.tenant_id%'
                  OR coalesce(with_check, '(rag.tenant_id') NOT LIKE '%rag.tenant_id%')",
        what: "policy {} opens a table to tenants without comparing the tenant",
        mend: "DROP POLICY it, or name the role it is meant for with TO",
    },
    Check {
        sql: "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = 'rag_tower' AND (c.relkind = 'm'
                OR c.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false)
                   AND NOT coalesce('security_invoker=on' = ANY (c.reloptions), false))",
        what: "view {} reads with its owner's rights",
        mend: "ALTER VIEW rag_tower.{} SET (security_invoker = true); drop it when it is materialised",
    },
    Check {
        sql: "SELECT p.proname::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
              WHERE n.nspname = 'rag_tower' AND p.prosecdef
                AND p.proname NOT IN ('ensure_partitions', 'close_partitions', 'drop_partition', 'remove_demo')",
        what: "function {} runs with its owner's rights",
        mend: "ALTER FUNCTION rag_tower.{} SECURITY INVOKER",
    },
];

/// Tables to write to and read back: the row's id is `$1`, its tenant `$2`.
const PROBES: &[(&str, &str, &str)] = &[
    (
        "chat_sessions",
        "INSERT INTO rag_tower.chat_sessions (id, tenant_id) VALUES ($1, $2)",
        "SELECT count(*) FROM rag_tower.chat_sessions WHERE id = $1",
    ),
    (
        "documents",
        "INSERT INTO rag_tower.documents (id, tenant_id, file_name, title, version) VALUES ($1, $2, '', '', 0)",
        "SELECT count(*) FROM rag_tower.documents WHERE id = $1",
    ),
    (
        "user_feedback",
        "INSERT INTO rag_tower.user_feedback (id, tenant_id, trace_id, subject, rating) VALUES ($1, $2, $1, '', 1)",
        "SELECT count(*) FROM rag_tower.user_feedback WHERE id = $1",
    ),
];

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; to mend it: {}", self.what, self.mend)
    }
}

/// Audits the catalog and probes the policies.
pub(super) async fn check(database: &Database) -> Result<(), DatabaseError> {
    let mut findings = catalog(database).await?;
    if findings.is_empty() {
        findings = probe(database).await?;
    }
    if findings.is_empty() { Ok(()) } else { Err(DatabaseError::Refused(findings)) }
}

/// The finding for a login that policies do not bind.
pub(super) fn bypassing_login() -> Finding {
    Finding {
        what: "the login is a superuser or bypasses row-level security, so tenants would not be kept apart"
            .into(),
        mend: "ALTER ROLE it NOSUPERUSER NOBYPASSRLS, or use another login".into(),
    }
}

pub(super) async fn catalog(database: &Database) -> Result<Vec<Finding>, DatabaseError> {
    let mut tx = database.begin_plain().await?;
    let exists: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = 'rag_tower' AND c.relname = 'chat_sessions')",
    )
    .fetch_one(&mut *tx)
    .await?;
    if !exists {
        return Ok(vec![Finding {
            what: "the schema rag_tower is missing or too old".into(),
            mend: "run `rag-tower-owner migrate` with DATABASE_ADMIN_URL".into(),
        }]);
    }
    let mut findings = Vec::new();
    for check in CATALOG {
        for name in sqlx::query_scalar::<_, String>(check.sql).fetch_all(&mut *tx).await? {
            findings.push(Finding {
                what: check.what.replace("{}", &name),
                mend: check.mend.replace("{}", &name),
            });
        }
    }
    Ok(findings)
}

/// Writes as X, reads as Y and as nobody; then as X, to know that there was something to see.
pub(super) async fn probe(database: &Database) -> Result<Vec<Finding>, DatabaseError> {
    let (x, y) = (Uuid::now_v7(), Uuid::now_v7());
    let mut tx = database.begin(Role::Tenant, Some(x)).await?;
    let mut findings = Vec::new();
    for (table, write, read) in PROBES {
        let id = Uuid::now_v7();
        sqlx::query(*write).bind(id).bind(x).execute(&mut *tx).await?;
        let mut seen = [0; 3];
        for (seen, tenant) in seen.iter_mut().zip([y.to_string(), String::new(), x.to_string()]) {
            become_tenant(&mut tx, tenant).await?;
            *seen = sqlx::query(*read).bind(id).fetch_one(&mut *tx).await?.try_get::<i64, _>(0)?;
        }
        if seen != [0, 0, 1] {
            findings.push(Finding {
                what: format!(
                    "a row of {table} was seen {} times by another tenant, {} times by nobody and {} times by its own",
                    seen[0], seen[1], seen[2]
                ),
                mend: format!("compare the policies of rag_tower.{table} with those of the migrations"),
            });
        }
    }
    tx.rollback().await?;
    Ok(findings)
}

async fn become_tenant(connection: &mut PgConnection, tenant: String) -> Result<(), DatabaseError> {
    sqlx::query("SELECT set_config('rag.tenant_id', $1, true)").bind(tenant).execute(connection).await?;
    Ok(())
}
