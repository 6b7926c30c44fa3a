//! What is claimed of the program: its isolation matrix, its principals, and what its tenants own.

use axum::Router;
use conformance_kit::Log;
use http::{HeaderName, Method};
use rag_tower::TenantId;
use rag_tower::conformance::{Conformance, Entry, Fixture, Inventory, Place, Principal, Tenant};
use rag_tower::tenant::{Grant, MemoryApiKeys, Role};
use serde_json::json;
use uuid::Uuid;

/// What is in each tenant's notes and invoices, and nowhere else.
pub(crate) const CANARIES: [(&str, &str); 2] =
    [("acme", "canary-acme-6f1d"), ("globex", "canary-globex-93ab")];
/// So many notes can be deleted: one by each principal that may.
pub(crate) const NOTES: usize = 8;

/// The ids of what a tenant owns.
pub(crate) struct Owned {
    pub(crate) tenant: &'static str,
    pub(crate) notes: Vec<Uuid>,
    pub(crate) invoice: Uuid,
}

fn key(role: &str, tenant: &str) -> String {
    format!("{role}-key-of-{tenant}-0123456789abcdef0123")
}

/// The keys of both tenants' members and administrators.
pub(crate) fn keys() -> Result<MemoryApiKeys, rag_tower::Error> {
    let mut keys = MemoryApiKeys::new();
    for (tenant, _) in CANARIES {
        for role in [Role::Member, Role::Admin] {
            let grant = Grant::new(TenantId::named(tenant)).with_role(role);
            keys = keys.with(&key(role.as_str(), tenant), grant)?;
        }
    }
    Ok(keys)
}

/// The run against a program; `inventory` has its routes.
pub(crate) fn kit(
    app: Router,
    inventory: impl IntoIterator<Item = (Method, &'static str)>,
    owned: &[Owned],
    log: Log,
) -> Conformance<Router> {
    let (mut notes, mut invoices) = (Fixture::new("note"), Fixture::new("invoice"));
    for Owned { tenant, notes: ids, invoice } in owned {
        for id in ids {
            notes = notes.own(*tenant, id.to_string());
        }
        invoices = invoices.own(*tenant, invoice.to_string());
    }
    let mut kit = Conformance::new(app)
        .inventory(Inventory::from_iter(inventory))
        .entries([
            Entry::get("/health").public(),
            Entry::get("/notes").scoped().shows_canary(),
            Entry::post("/notes").scoped().json(json!({ "text": "a note" })),
            Entry::get("/notes/{id}").scoped().reference(Place::path("id"), "note").shows_canary(),
            Entry::delete("/notes/{id}").scoped().reference(Place::path("id"), "note").consumes(),
            Entry::post("/notes/archive")
                .scoped()
                .reference(Place::body("/ids"), "note")
                .json(json!({ "ids": [] })),
            Entry::get("/invoices").scoped().reference(Place::query("note"), "note").shows_canary(),
            Entry::get("/invoices/{id}").scoped().reference(Place::path("id"), "invoice").shows_canary(),
            Entry::get("/admin/usage").scoped_for(["admin"]),
        ])
        .fixture(notes.unknown(Uuid::now_v7().to_string()))
        .fixture(invoices.unknown(Uuid::now_v7().to_string()))
        .tenant_header(HeaderName::from_static("x-tenant-id"))
        .probe("log", move || std::future::ready(log.text()));
    for (tenant, canary) in CANARIES {
        kit = kit
            .tenant(Tenant::new(tenant).canary(canary))
            .principal(Principal::member(tenant).bearer(key("member", tenant)))
            .principal(Principal::new("admin").of(tenant).header("x-api-key", key("admin", tenant)));
    }
    kit.principal(Principal::new("revoked").of("acme").bearer(key("revoked", "acme")).refused())
}
