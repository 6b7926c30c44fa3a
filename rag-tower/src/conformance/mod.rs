#![cfg_attr(not(docsrs), doc = "<span class='stab portability'><code>conformance</code></span>")]
//! A service and what is claimed of its routes in, a [`Report`] on its tenant isolation out.
//!
//! Nearly every leak between tenants is one of two mistakes: somebody who was authenticated was taken for somebody who
//! was authorised, or an absent tenant meant all tenants. Both show from outside, so they can be looked for in any
//! program that speaks HTTP: a router in process, or a server at an address ([`Remote`]). What it is written with and
//! where its data are is of no matter.
//!
//! ```
//! use http::Method;
//! use rag_tower::conformance::{Conformance, Entry, Fixture, Inventory, Place, Principal, Tenant};
//! # use std::convert::Infallible;
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # async fn app(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
//! #     let key = request.headers().get("authorization").and_then(|value| value.to_str().ok());
//! #     let (own, text) = match key {
//! #         Some("Bearer key-of-acme") => ("note-1", "canary-of-acme-4711"),
//! #         Some("Bearer key-of-globex") => ("note-2", "canary-of-globex-0815"),
//! #         _ => ("", ""),
//! #     };
//! #     let (status, body) = match request.uri().path().strip_prefix("/notes/") {
//! #         None => (404, "no such address"),
//! #         Some(_) if own.is_empty() => (401, "who are you?"),
//! #         Some(id) if id == own => (200, text),
//! #         Some(_) => (404, "no such note"),
//! #     };
//! #     let mut response = Response::new(Full::from(body));
//! #     *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
//! #     Ok(response)
//! # }
//! # let service = tower::service_fn(app);
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let report = Conformance::new(service)
//!     .inventory(Inventory::from_iter([(Method::GET, "/notes/{id}")]))
//!     .entry(Entry::get("/notes/{id}").scoped().reference(Place::path("id"), "note").shows_canary())
//!     .tenant(Tenant::new("acme").canary("canary-of-acme-4711"))
//!     .tenant(Tenant::new("globex").canary("canary-of-globex-0815"))
//!     .principal(Principal::member("acme").bearer("key-of-acme"))
//!     .principal(Principal::member("globex").bearer("key-of-globex"))
//!     .fixture(Fixture::new("note").own("acme", "note-1").own("globex", "note-2").unknown("note-3"))
//!     .run()
//!     .await;
//! report.result().unwrap();
//! # });
//! ```
//!
//! The page [`conformance`](crate::guide::conformance) of the guide says what a green report proves and what it cannot.

mod answer;
mod entry;
mod fixture;
mod inventory;
mod junit;
mod kit;
mod matrix;
mod openapi;
mod principal;
mod remote;
mod report;
mod request;
mod run;

pub use self::entry::{Entry, Expect, Place};
pub use self::fixture::{Fixture, Tenant};
pub use self::inventory::Inventory;
pub use self::kit::Conformance;
pub use self::openapi::OpenApiError;
pub use self::principal::Principal;
pub use self::remote::{AddressError, Remote, RemoteBody, RemoteFuture};
pub use self::report::{Case, Check, Failures, Outcome, Report};

#[cfg(test)]
mod tests;
