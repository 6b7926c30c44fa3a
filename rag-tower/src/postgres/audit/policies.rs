//! What policies say, word for word: a connection of the login in, a finding for each that is not one of ours out.
//!
//! A policy that merely mentions the tenant may still let everybody through, so each is compared with the one expression that
//! its role may have, as Postgres prints it. A new policy for a role below needs a line here.

use sqlx::PgConnection;

use super::Finding;
use crate::postgres::error::DatabaseError;

/// A policy as the catalog has it, and those of its roles that the login is or may become.
#[derive(sqlx::FromRow)]
struct Policy {
    relation: String,
    name: String,
    /// `r`ead, `a`ppend, `w`rite, `d`elete, or `*`.
    command: String,
    roles: Vec<String>,
    qual: Option<String>,
    with_check: Option<String>,
}

/// What a role may be let through by.
struct Rule {
    role: &'static str,
    /// How the names of such policies begin.
    name: &'static str,
    /// None: any.
    relation: Option<&'static str>,
    /// True when it only reads.
    reads: bool,
    expression: &'static str,
}

const SQL: &str = "
    SELECT quote_ident(c.relname) AS relation, quote_ident(p.polname) AS name, p.polcmd::text AS command,
           array_agg(coalesce(r.rolname::text, 'public')) AS roles,
           regexp_replace(pg_get_expr(p.polqual, p.polrelid), '\\s+', ' ', 'g') AS qual,
           regexp_replace(pg_get_expr(p.polwithcheck, p.polrelid), '\\s+', ' ', 'g') AS with_check
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN unnest(p.polroles) AS named (oid)
    LEFT JOIN pg_roles r ON r.oid = named.oid
    WHERE n.nspname = 'rag_tower' AND p.polpermissive AND NOT c.relispartition
      AND (named.oid = 0 OR NOT $1 AND pg_has_role(session_user, named.oid, 'MEMBER'))
    GROUP BY c.relname, p.polname, p.polcmd, p.polqual, p.polwithcheck, p.polrelid
    ORDER BY c.relname, p.polname";

/// A tenant's rows.
const TENANT: &str = "(tenant_id = (NULLIF(current_setting('rag.tenant_id'::text, true), ''::text))::uuid)";
/// The tenant itself.
const ITSELF: &str = "(id = (NULLIF(current_setting('rag.tenant_id'::text, true), ''::text))::uuid)";
const APPENDS: &str = "(current_setting('rag.writer'::text, true) = 'on'::text)";
const FOLDS: &str = "(current_setting('rag.writer'::text, true) = 'fold'::text)";
const KEY: &str =
    "(hash = decode(NULLIF(current_setting('rag.key_hash'::text, true), ''::text), 'hex'::text))";
const TENANT_OF_KEY: &str = "((id IN ( SELECT k.tenant_id FROM rag_tower.api_keys k)) OR (slug = \
                             NULLIF(current_setting('rag.slug'::text, true), ''::text)))";

/// Of the roles that are not a tenant's. The owner of the platform may see all.
const RULES: &[Rule] = &[
    Rule { role: "rag_writer", name: "writer_", relation: None, reads: false, expression: APPENDS },
    Rule { role: "rag_jobs", name: "folds_", relation: None, reads: false, expression: FOLDS },
    Rule { role: "rag_jobs", name: "jobs_find", relation: Some("corpora"), reads: true, expression: "true" },
    Rule {
        role: "rag_jobs",
        name: "jobs_find",
        relation: Some("documents"),
        reads: true,
        expression: "(indexed_version < version)",
    },
    Rule { role: "rag_jobs", name: "jobs_price", relation: Some("prices"), reads: true, expression: "true" },
    Rule {
        role: "rag_jobs",
        name: "jobs_price",
        relation: Some("repricings"),
        reads: false,
        expression: "true",
    },
    Rule {
        role: "rag_resolver",
        name: "presented_key",
        relation: Some("api_keys"),
        reads: true,
        expression: KEY,
    },
    Rule {
        role: "rag_resolver",
        name: "presented_key",
        relation: Some("tenants"),
        reads: true,
        expression: TENANT_OF_KEY,
    },
];

/// Compares every policy that concerns the login; with an application's own login, those that concern everybody.
pub(super) async fn look(connection: &mut PgConnection, own: bool) -> Result<Vec<Finding>, DatabaseError> {
    let policies: Vec<Policy> = sqlx::query_as(SQL).bind(own).fetch_all(connection).await?;
    Ok(policies.iter().filter_map(Policy::finding).collect())
}

// === impl Policy ===

impl Policy {
    fn finding(&self) -> Option<Finding> {
        let role = self.roles.iter().find(|role| !self.fits(role))?;
        let Self { relation, name, .. } = self;
        let mend = match self.should_be(role) {
            Some(expression) => {
                format!("ALTER POLICY {name} ON rag_tower.{relation}{}", self.both(expression))
            }
            None => format!("DROP POLICY {name} ON rag_tower.{relation}"),
        };
        Some(Finding {
            what: format!("policy {relation}.{name} lets {role} through by another rule than the role's own"),
            mend,
        })
    }

    /// True when its expressions are those that this role may have, and none is missing.
    fn fits(&self, role: &str) -> bool {
        let reads = self.command == "r";
        let is = |expression: &str| {
            let qual = self.command == "a" || self.qual.as_deref() == Some(expression);
            let check =
                matches!(self.command.as_str(), "r" | "d") || self.with_check.as_deref() == Some(expression);
            qual && check
        };
        match role {
            "rag_owner" => true,
            "rag_writer" | "rag_jobs" | "rag_resolver" => RULES
                .iter()
                .any(|rule| rule.concerns(role, self) && (reads || !rule.reads) && is(rule.expression)),
            _ => is(self.of_tenant()),
        }
    }

    /// What the policy of this name is meant to be; none when it is not one of ours.
    fn should_be(&self, role: &str) -> Option<&'static str> {
        let rule = RULES.iter().find(|rule| rule.concerns(role, self) && self.name.starts_with(rule.name));
        match (rule, self.name.as_str()) {
            (Some(rule), _) if !rule.reads || self.command == "r" => Some(rule.expression),
            (_, "tenant_isolation") if role == "public" => Some(self.of_tenant()),
            _ => None,
        }
    }

    fn of_tenant(&self) -> &'static str {
        if self.relation == "tenants" { ITSELF } else { TENANT }
    }

    /// The expression in each place that the command has.
    fn both(&self, expression: &str) -> String {
        match self.command.as_str() {
            "r" | "d" => format!(" USING ({expression})"),
            "a" => format!(" WITH CHECK ({expression})"),
            _ => format!(" USING ({expression}) WITH CHECK ({expression})"),
        }
    }
}

// === impl Rule ===

impl Rule {
    fn concerns(&self, role: &str, policy: &Policy) -> bool {
        self.role == role && self.relation.is_none_or(|relation| relation == policy.relation)
    }
}
