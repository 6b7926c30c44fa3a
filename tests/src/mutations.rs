//! The lines of defence, each with what would be without it and the tests that must then fail.
//!
//! `cargo run -p rag-tower-tests --bin mutations` removes one after the other in a copy of the workspace. A line that can go
//! without a test noticing is either not needed or not tested.

use std::fs;
use std::path::Path;

use crate::patched::Patch;

/// One line of defence, removed.
#[derive(Clone, Copy, Debug)]
pub struct Mutation {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The line of defence: what it keeps from happening.
    pub defence: &'static str,
    /// What removes it.
    pub patches: &'static [Patch<'static>],
    /// What `cargo test` is told to build. The package of these tests is always among it, so that every build has the same
    /// features, and with them the same vector engine.
    pub target: &'static [&'static str],
    /// Parts of names of tests. Each must be in the name of a test that passes with the line and fails without it.
    pub tests: &'static [&'static str],
}

/// The library's own tests.
const LIB: &[&str] = &["-p", "rag-tower", "-p", "rag-tower-tests", "--lib"];
/// Those of the reference server.
const OWNER: &[&str] = &["-p", "rag-tower-owner", "-p", "rag-tower-tests", "--lib"];
const COMPILE: &[&str] = &["-p", "rag-tower-ui-tests", "-p", "rag-tower-tests", "--test", "compile"];
const DEFENCES: &[&str] = &["-p", "rag-tower-tests", "--test", "defences"];
const INTERLEAVINGS: &[&str] = &["-p", "rag-tower-tests", "--test", "interleavings"];
const POSTGRES: &[&str] = &["-p", "rag-tower-tests", "--test", "postgres"];

/// All of them, by line of defence.
pub const MUTATIONS: &[Mutation] = &[
    // --- cannot construct ---
    Mutation {
        name: "scope-default",
        defence: "a scope has no default",
        patches: &[Patch {
            file: "rag-tower/src/tenant/scope.rs",
            old: "/// What a verified credential grants. Plain data",
            new: "impl Default for TenantScope {
    fn default() -> Self {
        Self::mint(Grant::new(TenantId::named(\"anybody\")))
    }
}

/// What a verified credential grants. Plain data",
        }],
        target: COMPILE,
        tests: &["t01_what_must_not_compile_does_not"],
    },
    Mutation {
        name: "scope-from-tenant",
        defence: "the name of a tenant is no scope",
        patches: &[Patch {
            file: "rag-tower/src/tenant/scope.rs",
            old: "/// What a verified credential grants. Plain data",
            new: "impl From<TenantId> for TenantScope {
    fn from(tenant: TenantId) -> Self {
        Self::mint(Grant::new(tenant))
    }
}

/// What a verified credential grants. Plain data",
        }],
        target: COMPILE,
        tests: &["t01_what_must_not_compile_does_not"],
    },
    Mutation {
        name: "mint-not-disallowed",
        defence: "the mint is named in the lints",
        patches: &[Patch {
            file: ".clippy.toml",
            old: "rag_tower::tenant::TenantAuthority::grant",
            new: "rag_tower::tenant::TenantAuthority::new",
        }],
        target: DEFENCES,
        tests: &["t01_the_mint_is_disallowed"],
    },
    Mutation {
        name: "narrow-widens",
        defence: "a scope is cut down and never widened",
        patches: &[Patch {
            file: "rag-tower/src/tenant/scope.rs",
            old: "        if !self.0.branches.contains(branch) {",
            new: "        if false && !self.0.branches.contains(branch) {",
        }],
        target: LIB,
        tests: &["narrowing_never_widens"],
    },
    // --- cannot query ---
    Mutation {
        name: "memory-vectors",
        defence: "the store in memory looks at the scope's tenant only",
        patches: &[Patch {
            file: "rag-tower/src/retrieve/memory.rs",
            old: "        let points = tenants.get(&scope.tenant()).into_iter().flat_map(HashMap::values);
        let mut hits",
            new: "        let points = tenants.values().flat_map(HashMap::values);
        let mut hits",
        }],
        target: LIB,
        tests: &["vector_contract::memory::the_contract_holds"],
    },
    Mutation {
        name: "edge-filter",
        defence: "the embedded engine filters by the tenant",
        patches: &[Patch {
            file: "rag-tower/src/edge/convert.rs",
            old: "    let mut must = visible.scope.iter().map(condition)",
            new: "    let mut must = visible.scope.iter().skip(1).map(condition)",
        }],
        target: LIB,
        tests: &["vector_contract::edge::the_contract_holds"],
    },
    Mutation {
        name: "edge-known-points",
        defence: "what is known of a point ends with the next change of any: a chunk that went to another branch is that branch's",
        patches: &[Patch {
            file: "rag-tower/src/edge/store.rs",
            old: "        self.known.forget();\n",
            new: "",
        }],
        target: LIB,
        tests: &["vector_contract::edge::the_contract_holds"],
    },
    Mutation {
        name: "qdrant-filter",
        defence: "every request to Qdrant filters by the tenant",
        patches: &[Patch {
            file: "rag-tower/src/qdrant/convert.rs",
            old: "    let mut must: Vec<_> = visible.scope.iter().map(condition).collect();",
            new: "    let mut must: Vec<_> = visible.scope.iter().skip(1).map(condition).collect();",
        }],
        target: LIB,
        tests: &[
            "t12_the_tenant_is_required_at_the_top",
            "t12_every_leg_of_a_search_by_both",
            "vector_contract::qdrant::the_contract_holds",
        ],
    },
    Mutation {
        name: "qdrant-filter-beside",
        defence: "a caller's filter is inside the tenant's and not beside it",
        patches: &[Patch {
            file: "rag-tower/src/qdrant/convert.rs",
            old: "        must.push(Filter::must(visible.caller.iter().map(condition)).into());",
            new: "        let should = visible.caller.iter().map(condition).collect();
        return Filter { should, must, ..Default::default() };",
        }],
        target: LIB,
        tests: &["t12_the_tenant_is_required_at_the_top"],
    },
    Mutation {
        name: "qdrant-index-unchecked",
        defence: "without the tenant index nothing is searched",
        patches: &[Patch {
            file: "rag-tower/src/qdrant/store.rs",
            old: "        if !indexed(&info, TENANT) {
            tracing::error!",
            new: "        if false && !indexed(&info, TENANT) {
            tracing::error!",
        }],
        target: LIB,
        tests: &["t11_nothing_is_searched_without_the_tenant_index"],
    },
    Mutation {
        name: "point-id",
        defence: "the id of a point holds the tenant, so that nobody overwrites another's",
        patches: &[Patch {
            file: "rag-tower/src/points.rs",
            old: "    Uuid::new_v5(&scope.tenant().as_uuid(), chunk.as_uuid().as_bytes())",
            new: "    chunk.as_uuid()",
        }],
        target: LIB,
        tests: &["t13_a_chunk_of_two_tenants_is_two_points", "vector_contract::edge::the_contract_holds"],
    },
    // --- cannot leak in SQL ---
    Mutation {
        name: "policy-open",
        defence: "a policy compares the tenant",
        patches: &[Patch {
            file: "migrations/server/20261120000102_corpus.sql",
            old: "CREATE POLICY tenant_isolation ON rag_tower.chunks
    USING      (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid)",
            new: "CREATE POLICY tenant_isolation ON rag_tower.chunks
    USING      (true)",
        }],
        target: POSTGRES,
        tests: &["t02_a_reads_its_rows_and_b_and_nobody_read_none", "the_migrated_schema_passes"],
    },
    Mutation {
        name: "policy-without-check",
        defence: "a policy compares the tenant of what is written",
        patches: &[Patch {
            file: "migrations/server/20261120000103_sessions.sql",
            old: "    WITH CHECK (tenant_id = nullif(current_setting('rag.tenant_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE, DELETE ON rag_tower.chat_sessions TO rag_tenant;",
            new: "    WITH CHECK (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON rag_tower.chat_sessions TO rag_tenant;",
        }],
        target: POSTGRES,
        tests: &[
            "t02_b_cannot_write_for_a_nor_change_what_is_a_s",
            "a_tenant_cannot_move_its_row_to_another",
        ],
    },
    Mutation {
        name: "not-forced",
        defence: "row-level security is forced, for the owner of the tables too",
        patches: &[Patch {
            file: "migrations/server/20261120000102_corpus.sql",
            old: "ALTER TABLE rag_tower.chunks               FORCE  ROW LEVEL SECURITY;\n",
            new: "",
        }],
        target: POSTGRES,
        tests: &["the_migrated_schema_passes"],
    },
    Mutation {
        name: "not-enabled",
        defence: "row-level security is on",
        patches: &[
            Patch {
                file: "migrations/server/20261120000102_corpus.sql",
                old: "ALTER TABLE rag_tower.chunks               ENABLE ROW LEVEL SECURITY;\n",
                new: "",
            },
            Patch {
                file: "migrations/server/20261120000102_corpus.sql",
                old: "ALTER TABLE rag_tower.chunks               FORCE  ROW LEVEL SECURITY;\n",
                new: "",
            },
        ],
        target: POSTGRES,
        tests: &["t02_a_reads_its_rows_and_b_and_nobody_read_none", "the_migrated_schema_passes"],
    },
    Mutation {
        name: "no-role",
        defence: "a transaction becomes a role: the login itself may do nothing",
        patches: &[Patch {
            file: "rag-tower/src/postgres/sql.rs",
            old: "role.map(|role| format!(\"SET LOCAL ROLE {role}; \"))",
            new: "role.map(|_| String::new())",
        }],
        target: POSTGRES,
        tests: &["t22_nothing_is_left_on_a_connection_after_commit_and_rollback"],
    },
    Mutation {
        name: "no-tenant-setting",
        defence: "a transaction says whose it is: without a tenant every table is empty",
        patches: &[Patch {
            file: "rag-tower/src/postgres/sql.rs",
            old: "SET LOCAL rag.tenant_id = '{tenant}'; ",
            new: "SET LOCAL rag.not_the_tenant_id = '{tenant}'; ",
        }],
        target: POSTGRES,
        tests: &["t22_nothing_is_left_on_a_connection_after_commit_and_rollback"],
    },
    Mutation {
        name: "no-role-of-a-lane",
        defence: "a connection for the reads of an ask is one role: the login itself may do nothing",
        patches: &[Patch {
            file: "rag-tower/src/postgres/database.rs",
            old: "login = login.options([(\"role\", role.name())]);",
            new: "login = login.options([(\"application_name\", role.name())]);",
        }],
        target: POSTGRES,
        tests: &["t22_the_reads_of_an_ask_say_whose_they_are_and_leave_nothing"],
    },
    Mutation {
        name: "no-tenant-of-a-lane",
        defence: "the read of a corpus' state says whose it is: without a tenant every table is empty",
        patches: &[Patch {
            file: "migrations/server/20261129000401_lanes.sql",
            old: "    PERFORM pg_catalog.set_config('rag.tenant_id', of_tenant::text, true);\n",
            new: "",
        }],
        target: POSTGRES,
        tests: &["t22_the_reads_of_an_ask_say_whose_they_are_and_leave_nothing"],
    },
    Mutation {
        name: "a-lane-that-stays-the-tenants",
        defence: "that tenant is set for that one read",
        patches: &[Patch {
            file: "migrations/server/20261129000401_lanes.sql",
            old: "of_tenant::text, true);",
            new: "of_tenant::text, false);",
        }],
        target: POSTGRES,
        tests: &["t22_the_reads_of_an_ask_say_whose_they_are_and_leave_nothing"],
    },
    Mutation {
        name: "a-corpus-read-by-the-resolver",
        defence: "the state that comes with a key is read as the key's tenant",
        patches: &[Patch {
            file: "migrations/server/20261129000501_beside.sql",
            old: "        said := pg_catalog.set_config('rag.tenant_id', tenant_id::text, true);\n",
            new: "",
        }],
        target: POSTGRES,
        tests: &["a_key_brings_the_state_of_its_tenants_corpus_read_as_that_tenant_and_once"],
    },
    Mutation {
        name: "a-resolver-that-stays-the-tenant",
        defence: "and the connection is that tenant's for that one read",
        patches: &[Patch {
            file: "migrations/server/20261129000501_beside.sql",
            old: "set_config('role', 'rag_tenant', true)",
            new: "set_config('role', 'rag_tenant', false)",
        }],
        target: POSTGRES,
        tests: &["t22_the_reads_of_an_ask_say_whose_they_are_and_leave_nothing"],
    },
    Mutation {
        name: "a-state-that-counts-twice",
        defence: "what was seen with a key counts for one read",
        patches: &[Patch {
            file: "rag-tower/src/tenant/beside.rs",
            old: "        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()",
            new: "        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()",
        }],
        target: POSTGRES,
        tests: &["a_key_brings_the_state_of_its_tenants_corpus_read_as_that_tenant_and_once"],
    },
    Mutation {
        name: "a-reader-that-nobody-knows",
        defence: "text counts only when Postgres says that the tenant read it, or the state in which it is known",
        patches: &[Patch {
            file: "rag-tower/src/postgres/documents.rs",
            old: "        if !self.is_tenant(scope, &identity) {\n            metrics::counter!",
            new: "        if false {\n            metrics::counter!",
        }],
        target: POSTGRES,
        tests: &["a_transaction_that_is_not_the_tenants_gives_nothing_not_even_what_is_known"],
    },
    Mutation {
        name: "a-state-older-than-a-change",
        defence: "who changes documents reads them as they are then",
        patches: &[Patch {
            file: "rag-tower/src/postgres/documents.rs",
            old: "        scope.take_beside::<SeenWithKey>();\n        let deleted",
            new: "        let deleted",
        }],
        target: POSTGRES,
        tests: &["who_changes_documents_reads_them_as_they_are_then"],
    },
    Mutation {
        name: "boot-audit",
        defence: "who connects audits the catalog first",
        patches: &[Patch {
            file: "rag-tower/src/postgres/database.rs",
            old: "        audit::check(&database).await?;\n",
            new: "",
        }],
        target: POSTGRES,
        tests: &[
            "a_superuser_is_refused_with_the_sql_that_mends_it",
            "t21_a_database_that_takes_no_rows_is_told_from_one_that_leaks",
        ],
    },
    Mutation {
        name: "boot-probe",
        defence: "what the catalog does not show, a row written and looked for does",
        patches: &[Patch {
            file: "rag-tower/src/postgres/audit/mod.rs",
            old: "        findings = probe(database).await?;",
            new: "        findings = Vec::new();",
        }],
        target: POSTGRES,
        tests: &["t21_a_database_that_takes_no_rows_is_told_from_one_that_leaks"],
    },
    Mutation {
        name: "suspension",
        defence: "the key of a suspended tenant opens nothing",
        patches: &[Patch {
            file: "rag-tower/src/postgres/resolver.rs",
            old: "        self.tenant_active && self.revoked_at.is_none()",
            new: "        self.revoked_at.is_none()",
        }],
        target: POSTGRES,
        tests: &["t44_a_role_branches_and_a_suspension_count_from_the_next_look"],
    },
    // --- cannot return ---
    Mutation {
        name: "door",
        defence: "the one door compares each passage with the scope",
        patches: &[Patch {
            file: "rag-tower/src/passage.rs",
            old: "        if foreign == 0 {",
            new: "        if foreign < 1_000_000 {",
        }],
        target: LIB,
        tests: &[
            "t10_a_foreign_passage_fails_closed_before_the_next_stage",
            "t10_every_leg_believes_the_text_s_own_row_and_not_the_index",
        ],
    },
    Mutation {
        name: "index-believed",
        defence: "a hit that claims another's origin fails before its text is read",
        patches: &[Patch {
            file: "rag-tower/src/retrieve/resolve.rs",
            old: "    if foreign > 0 {",
            new: "    if foreign > 1_000_000 {",
        }],
        target: LIB,
        tests: &["t10_every_leg_fails_closed_before_the_text_of_a_foreign_hit_is_read"],
    },
    Mutation {
        name: "origin-from-the-hit",
        defence: "the origin is the text's own row's and not the index's",
        patches: &[Patch {
            file: "rag-tower/src/postgres/documents.rs",
            old: "            passage.score = hit.score;",
            new: "            passage.origin = hit.origin;
            passage.score = hit.score;",
        }],
        target: POSTGRES,
        tests: &["t10_documents_keep_the_contract_of_texts_and_words"],
    },
    Mutation {
        name: "one-leg-degrades",
        defence: "a foreign passage or a missing filter in one source fails the search, however the others answer",
        patches: &[Patch {
            file: "rag-tower/src/retrieve/fuse.rs",
            old: "ErrorKind::Isolation | ErrorKind::FilterUnavailable) => {",
            new: "ErrorKind::Internal) => {",
        }],
        target: LIB,
        tests: &[
            "t10_isolation_and_a_missing_filter_are_never_degraded",
            "t10_isolation_fails_all_and_so_do_all_down",
        ],
    },
    Mutation {
        name: "reranker-believed",
        defence: "what a reranker gives back passes the door again",
        patches: &[Patch {
            file: "rag-tower/src/stage/rerank.rs",
            old: "            passages.check_again(request.scope())?;\n",
            new: "",
        }],
        target: LIB,
        tests: &["t14_a_reranker_that_returns_another_tenants_passages_fails_closed"],
    },
    Mutation {
        name: "not-rescued",
        defence: "what fails closed is an answer that shows nothing",
        patches: &[Patch {
            file: "rag-tower/src/rescue.rs",
            old: "        ErrorKind::Isolation => Some(AbstainReason::Isolation),",
            new: "        ErrorKind::Isolation => None,",
        }],
        target: LIB,
        tests: &["t10_what_fails_closed_is_an_answer_without_a_result"],
    },
    // --- caches and memory ---
    Mutation {
        name: "cache-key",
        defence: "the key of a kept answer holds the tenant",
        patches: &[Patch {
            file: "rag-tower/src/cache/key.rs",
            old: "        tenant_id: scope.tenant(),",
            new: "        tenant_id: TenantId::named(\"everybody\"),",
        }],
        target: LIB,
        tests: &["t30_two_tenants_mean_two_answers", "t30_tenants_never_share_a_key"],
    },
    Mutation {
        name: "cache-key-interleaved",
        defence: "the same, as the random interleavings see it",
        patches: &[Patch {
            file: "rag-tower/src/cache/key.rs",
            old: "        tenant_id: scope.tenant(),",
            new: "        tenant_id: TenantId::named(\"everybody\"),",
        }],
        target: INTERLEAVINGS,
        tests: &["t14_t16_t30_tenants_in_memory_share_no_word"],
    },
    Mutation {
        name: "cache-branches",
        defence: "the key of a kept answer holds the branches",
        patches: &[Patch {
            file: "rag-tower/src/cache/key.rs",
            old: "            Branches::Only(some) => Some(sorted(some)),",
            new: "            Branches::Only(_) => None,",
        }],
        target: LIB,
        tests: &["t31_keys_are_equal_exactly_when_all_their_parts_are"],
    },
    Mutation {
        name: "cache-not-purged",
        defence: "a document that is removed takes the answers along that came from it",
        patches: &[Patch {
            file: "rag-tower/src/cache/store.rs",
            old: "            key.tenant() == scope.tenant() && kept.events.iter().any(cites)",
            new: "            key.tenant() != scope.tenant() && kept.events.iter().any(cites)",
        }],
        target: LIB,
        tests: &["t33_a_removed_document_takes_its_answers_along"],
    },
    Mutation {
        name: "cache-late-answer",
        defence: "an answer that was begun before a removal is not kept",
        patches: &[Patch {
            file: "rag-tower/src/cache/bounded.rs",
            old: "        entries.generation += 1;\n",
            new: "",
        }],
        target: INTERLEAVINGS,
        tests: &["t14_t16_t30_tenants_in_memory_share_no_word"],
    },
    Mutation {
        name: "embedding-key",
        defence: "the key of a remembered vector holds the tenant",
        patches: &[Patch {
            file: "rag-tower/src/embed/cached.rs",
            old: "            tenant: request.scope.tenant(),",
            new: "            tenant: TenantId::named(\"everybody\"),",
        }],
        target: LIB,
        tests: &["t14_no_tenant_model_or_kind_sees_anothers"],
    },
    Mutation {
        name: "memory-store",
        defence: "a session is loaded for its own tenant only",
        patches: &[Patch {
            file: "rag-tower/src/memory/in_memory.rs",
            old: "is_some_and(|history| history.tenant == scope.tenant());",
            new: "is_some();",
        }],
        target: LIB,
        tests: &["t14_a_session_is_its_tenants_alone"],
    },
    Mutation {
        name: "memory-store-interleaved",
        defence: "the same, and the layer's own look at it, as the random interleavings see it",
        patches: &[
            Patch {
                file: "rag-tower/src/memory/in_memory.rs",
                old: "is_some_and(|history| history.tenant == scope.tenant());",
                new: "is_some();",
            },
            Patch {
                file: "rag-tower/src/memory/layer.rs",
                old: "if history.tenant == ask.scope().tenant() && history.session == session =>",
                new: "if history.session == session =>",
            },
        ],
        target: INTERLEAVINGS,
        tests: &["t14_t16_t30_tenants_in_memory_share_no_word"],
    },
    Mutation {
        name: "memory-layer",
        defence: "a history that a store returns for another tenant fails the ask",
        patches: &[Patch {
            file: "rag-tower/src/memory/layer.rs",
            old: "if history.tenant == ask.scope().tenant() && history.session == session =>",
            new: "if history.session == session =>",
        }],
        target: LIB,
        tests: &["t14_a_store_that_mixes_up_tenants_fails_closed"],
    },
    Mutation {
        name: "allowance-key",
        defence: "equal key names of two tenants share no allowance",
        patches: &[Patch {
            file: "rag-tower/src/quota/port.rs",
            old: "|subject| Self { tenant: scope.tenant(), subject:",
            new: "|subject| Self { tenant: TenantId::named(\"everybody\"), subject:",
        }],
        target: LIB,
        tests: &["equal_key_names_of_two_tenants_share_nothing"],
    },
    // --- who comes in ---
    Mutation {
        name: "tenant-mismatch",
        defence: "a tenant header that is not the credential's tenant is refused",
        patches: &[Patch {
            file: "rag-tower/src/tenant/resolve.rs",
            old: "            if named != Some(grant.tenant()) {",
            new: "            if named.is_none() && named != Some(grant.tenant()) {",
        }],
        target: LIB,
        tests: &["t06_the_header_asserts_by_id_or_slug"],
    },
    Mutation {
        name: "owner-route",
        defence: "a route of the owner's is behind the owner's login",
        patches: &[Patch {
            file: "rag-tower-owner/src/app.rs",
            old: "        Auth::Owner => endpoint.layer(OwnerAuthLayer::new(app.owner_auth.clone())),",
            new: "        Auth::Owner => endpoint,",
        }],
        target: OWNER,
        tests: &["every_route_asks_for_what_the_table_says"],
    },
    Mutation {
        name: "audience",
        defence: "a tenant's token is none of the owner's, whatever signs it",
        patches: &[Patch {
            file: "rag-tower-owner/src/auth/token.rs",
            old: "        rules.set_audience(&[audience]);",
            new: "        rules.validate_aud = false;",
        }],
        target: OWNER,
        tests: &["t42_owner_and_tenant_never_mix"],
    },
    Mutation {
        name: "ticket-twice",
        defence: "a ticket opens once",
        patches: &[Patch {
            file: "rag-tower/src/http/ticket.rs",
            old: ".remove(&hash);",
            new: ".get(&hash).cloned();",
        }],
        target: LIB,
        tests: &["t62_a_ticket_is_good_once"],
    },
    Mutation {
        name: "upgrade-origin",
        defence: "an upgrade from a page elsewhere is refused",
        patches: &[Patch {
            file: "rag-tower/src/http/ws_axum.rs",
            old: "        if parts.headers.contains_key(ORIGIN) && !inner.origins.is_same(parts) {",
            new: "        if parts.headers.contains_key(ORIGIN) && false {",
        }],
        target: LIB,
        tests: &["t61_an_upgrade_from_a_foreign_origin_is_refused"],
    },
    Mutation {
        name: "origin-is-host",
        defence: "an origin equals the host, and the host is ours",
        patches: &[Patch {
            file: "rag-tower/src/http/origin.rs",
            old: "        host == origin.authority && (is_loopback(&host) || self.0.contains(&origin))",
            new: "        host == origin.authority",
        }],
        target: LIB,
        tests: &["t61_origin_must_equal_a_host_that_is_ours"],
    },
    Mutation {
        name: "credential-in-url",
        defence: "a credential in a URL is refused",
        patches: &[Patch {
            file: "rag-tower/src/http/ws_axum.rs",
            old: "        if REFUSED_PARAMETERS.contains(&name.as_str()) {",
            new: "        if REFUSED_PARAMETERS.is_empty() {",
        }],
        target: LIB,
        tests: &["t62_credentials_in_the_url_are_refused"],
    },
];

// === impl Mutation ===

impl Mutation {
    /// What no longer fits the sources: text that is not there exactly once, a test that is nowhere.
    ///
    /// # Errors
    /// When sources cannot be read.
    pub fn stale(&self, root: &Path) -> std::io::Result<Vec<String>> {
        let mut wrong = Vec::new();
        for patch in self.patches {
            let times = fs::read_to_string(root.join(patch.file))?.matches(patch.old).count();
            if times != 1 {
                wrong.push(format!(
                    "{}: {} has this {times} times, not once: {}",
                    self.name, patch.file, patch.old
                ));
            }
        }
        Ok(wrong)
    }
}
