//! The server without what keeps tenants apart, for measuring what that costs: nothing in, a binary out.

use std::path::PathBuf;
use std::process::Command;

use crate::patched::{self, Patch};

/// Takes the defences away. What stays is what a program without them would do too: `WHERE tenant_id = …` in each statement,
/// and the tenant in each search.
const PATCHES: [Patch<'static>; 15] = [
    // a transaction begins, and nothing more is said
    Patch {
        file: "rag-tower/src/postgres/sql.rs",
        old: r#"    AssertSqlSafe(format!(
        "BEGIN{access}; {role}SET LOCAL rag.tenant_id = '{tenant}'; SET LOCAL rag.writer = '{writer}'"
    ))"#,
        new: "    let _ = (role, tenant, writer);\n    AssertSqlSafe(format!(\"BEGIN{access}\"))",
    },
    // nor is a connection one role and no other
    Patch {
        file: "rag-tower/src/postgres/database.rs",
        old: r#"        login = login.options([("role", role.name())]);"#,
        new: "        let _ = role;\n        login = login.options::<_, &str, &str>([]);",
    },
    Patch {
        file: "migrations/server/20261129000401_lanes.sql",
        old: "    PERFORM pg_catalog.set_config('rag.tenant_id', of_tenant::text, true);\n",
        new: "",
    },
    Patch {
        file: "migrations/server/20261129000501_beside.sql",
        old: r"        said := pg_catalog.set_config('role', 'rag_tenant', true);
        said := pg_catalog.set_config('rag.tenant_id', tenant_id::text, true);
",
        new: "",
    },
    // by a login that no policy binds
    Patch {
        file: "rag-tower/src/postgres/bootstrap.rs",
        old: "CREATE ROLE %I LOGIN NOINHERIT PASSWORD %L",
        new: "CREATE ROLE %I LOGIN SUPERUSER PASSWORD %L",
    },
    // which the audit at start would refuse
    Patch {
        file: "rag-tower/src/postgres/database.rs",
        old: "        audit::check(&database).await?;\n",
        new: "",
    },
    // nobody asks who the transaction is
    Patch {
        file: "rag-tower/src/postgres/sql.rs",
        old: "current_user::text, left(pg_catalog.current_setting('rag.tenant_id', true), 64), v.version",
        new: "''::text, ''::text, v.version",
    },
    Patch {
        file: "rag-tower/src/postgres/sql.rs",
        old: "FROM (VALUES (1)) AS always (one) LEFT JOIN rag_tower.corpora v ON v.tenant_id = $1\n",
        new: "FROM (SELECT * FROM rag_tower.corpora WHERE tenant_id = $1) v\n",
    },
    Patch {
        file: "migrations/server/20261129000401_lanes.sql",
        old: "current_user::text, left(pg_catalog.current_setting('rag.tenant_id', true), 64), v.version",
        new: "''::text, ''::text, v.version",
    },
    Patch {
        file: "migrations/server/20261129000401_lanes.sql",
        old: "FROM (VALUES (1)) AS always (one) LEFT JOIN rag_tower.corpora v ON v.tenant_id = of_tenant;",
        new: "FROM (SELECT * FROM rag_tower.corpora WHERE tenant_id = of_tenant) v;",
    },
    Patch {
        file: "migrations/server/20261129000501_beside.sql",
        old: r"        reader := current_user;
        tenant_setting := left(pg_catalog.current_setting('rag.tenant_id', true), 64);
",
        new: "        reader := '';\n        tenant_setting := '';\n",
    },
    Patch {
        file: "rag-tower/src/postgres/documents.rs",
        old: "        self.database.becomes(Role::Tenant, &identity.role) && tenant == Ok(scope.tenant().as_uuid())",
        new: "        let _ = (tenant, scope);\n        true",
    },
    // nothing is written on a receipt, and there is none
    Patch {
        file: "rag-tower/src/trace/handle.rs",
        old: "        change(&mut self.facts().receipt);",
        new: "        let _ = change;",
    },
    Patch {
        file: "rag-tower/src/trace/guard.rs",
        old: "receipt: Some(facts.receipt.at_end(&outcome)),",
        new: "receipt: None,",
    },
    // whatever is found is let in
    Patch {
        file: "rag-tower/src/tenant/scope.rs",
        old: r"        match origin {
            Origin::Tenant { tenant, branch } => {
                tenant == self.0.tenant && branch.is_none_or(|branch| self.0.branches.contains(branch))
            }
            Origin::Shared(corpus) => self.0.shared.contains(&corpus),
        }",
        new: "        let _ = origin;\n        true",
    },
];

/// The server without its defences, built beside this one: the same folder each time, so that its artefacts take the place
/// of those before.
///
/// # Panics
/// When a patch does not fit any more, or the copy does not build.
#[must_use]
pub fn build() -> PathBuf {
    let built = std::env::current_exe().expect("a path");
    // <target>/release/deps/isolation-…
    let target = built.ancestors().nth(3).expect("a target directory");
    let copy = target.join("without-isolation");
    let _ = std::fs::remove_dir_all(&copy);
    patched::copy(&patched::workspace(), &copy).expect("a copy");
    for patch in &PATCHES {
        patch.apply(&copy).expect("the code is as it was when this was written");
    }
    let out = copy.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--locked",
            "--offline",
            "-p",
            "rag-tower-tests",
            "--bin",
            "rag-tower-server",
        ])
        .current_dir(&copy)
        // what is built of registries is shared, what comes out is not
        .env("CARGO_BUILD_BUILD_DIR", target)
        .env("CARGO_TARGET_DIR", &out)
        .status()
        .expect("cargo");
    assert!(status.success(), "the copy does not build");
    out.join("release/rag-tower-server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_patch_fits_the_code_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for patch in &PATCHES {
            let copy = folder.path().join(patch.file);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            if !copy.exists() {
                std::fs::copy(patched::workspace().join(patch.file), &copy).unwrap();
            }
        }
        for patch in &PATCHES {
            patch.apply(folder.path()).unwrap();
        }
    }
}
