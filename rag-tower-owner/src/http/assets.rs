//! The pages and what they load, from inside the binary.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

/// Nothing may be loaded from elsewhere, no script may be written into a page, and no page may be framed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "static"]
struct Files;

/// A page with an address of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Page {
    Chat,
    Owner,
    Reference,
}

/// A page, whole.
pub(crate) fn page(page: Page, headers: &HeaderMap) -> Response {
    let name = match page {
        Page::Chat => "chat.html",
        Page::Owner => "owner.html",
        Page::Reference => "reference.html",
    };
    static_file(name, headers)
}

/// A file of `static/`; 304 when the caller has it, 404 when there is none.
pub(crate) fn static_file(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = Files::get(name) else {
        return rag_tower::http::Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such file")
            .into_response();
    };
    let tag = tag(&file);
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|part| part.trim() == tag));
    let kind = file.metadata.mimetype().to_owned();
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Body::from(file.data.into_owned()))
    };
    let out = response.headers_mut();
    // text is UTF-8 and says so
    let kind = if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind };
    if let Ok(kind) = HeaderValue::try_from(kind) {
        out.insert(header::CONTENT_TYPE, kind);
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        out.insert(header::ETAG, tag);
    }
    // asked again each time, and answered with 304: a new version shows at once
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn tag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let short: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    // weak: a compressed file is the same file
    format!("W/\"{short}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_carries_its_policy_and_is_not_sent_twice() {
        let first = page(Page::Chat, &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let policy = first.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(page(Page::Chat, &headers).status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn only_what_is_there_is_served() {
        for name in ["../Cargo.toml", "/etc/passwd", "nothing.js", ""] {
            assert_eq!(static_file(name, &HeaderMap::new()).status(), StatusCode::NOT_FOUND, "{name}");
        }
        let script = static_file("chat.js", &HeaderMap::new());
        assert!(script.headers()[header::CONTENT_TYPE].to_str().unwrap().contains("javascript"));
    }
}
