//! `GET /demo` and `POST /demo/token`: who there is to try, and a short-lived token for one of them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode, header};
use rag_tower::http::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::demo::Demo;
use crate::http::read_json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    tenant: String,
}

/// The demo tenants.
pub(crate) async fn demo(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    let demo = demo_of(&app, &headers)?;
    Ok(Json(json!({ "tenants": demo.tenants })))
}

/// A token of a member of the named tenant.
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let demo = demo_of(&app, &headers)?;
    let TokenRequest { tenant } = read_json(&headers, body, r#"{"tenant": "language-centre"}"#).await?;
    let tenant = demo.tenants.iter().find(|known| known.slug == tenant).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such demo tenant: GET /demo lists them")
    })?;
    let minted = app.tokens.mint(tenant.id, "demo").map_err(Problem::from)?;
    Ok(Json(json!({
        "token": minted.token,
        "expires_in": minted.expires_in.as_secs(),
        "tenant": { "id": tenant.id, "slug": tenant.slug, "name": tenant.name },
    })))
}

/// The demo, for a caller that means this machine: a name of another host that resolves here is a trick.
fn demo_of<'a>(app: &'a App, headers: &HeaderMap) -> Result<&'a Demo, Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    app.demo
        .as_ref()
        .filter(|_| is_loopback(host))
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "not_found", "not found"))
}

/// True for the names of this machine, with or without a port.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for host in ["localhost:8080", "127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1:8080", "", "localhost.evil.example"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
