//! Notes and invoices of several tenants: an ordinary program that retrieves nothing and asks no model.
//!
//! `tests/conformance.rs` proves that its tenants do not see each other. `tests/leaks.rs` runs the same proof against a bad
//! copy of it and finds what is wrong there.

mod handlers;
mod log;
mod store;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post};
use http::Method;
use rag_tower::TenantAuthority;
use rag_tower::tenant::{ApiKeyResolver, MemoryApiKeys, ResolveTenantLayer};

pub use self::log::Log;
pub use self::store::{Invoice, Note, Store};

/// A route: its method, its path, who answers, and whether everybody may ask.
type Route = (Method, &'static str, MethodRouter<Arc<Store>>, bool);

/// Every route. The router is made from this table, and so is the inventory of its test.
fn routes() -> Vec<Route> {
    vec![
        (Method::GET, "/health", get(handlers::health), true),
        (Method::GET, "/notes", get(handlers::notes), false),
        (Method::POST, "/notes", post(handlers::new_note), false),
        (Method::GET, "/notes/{id}", get(handlers::note), false),
        (Method::DELETE, "/notes/{id}", delete(handlers::delete_note), false),
        (Method::POST, "/notes/archive", post(handlers::archive), false),
        (Method::GET, "/invoices", get(handlers::invoices), false),
        (Method::GET, "/invoices/{id}", get(handlers::invoice), false),
        (Method::GET, "/admin/usage", get(handlers::usage), false),
    ]
}

/// The methods and paths of the routes.
pub fn inventory() -> impl Iterator<Item = (Method, &'static str)> {
    routes().into_iter().map(|(method, path, ..)| (method, path))
}

/// The program over its store: whoever shows a key of `keys` is a tenant, and each request leaves a line in `log`.
pub fn app(store: Arc<Store>, keys: MemoryApiKeys, log: Log) -> Router {
    let tenants = ResolveTenantLayer::new(TenantAuthority::new(), ApiKeyResolver::new(keys));
    let mut router = Router::new();
    for (_, path, endpoint, public) in routes() {
        let endpoint = if public { endpoint } else { endpoint.layer(tenants.clone()) };
        router = router.route(path, endpoint);
    }
    router.layer(from_fn_with_state(log, log::line)).with_state(store)
}
