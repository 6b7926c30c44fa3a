//! The owner's side of rag-tower: owner authentication, the owner API, the console and the reference server.
//!
//! ```text
//!  owner ── /owner ─────────▶ console: static pages                      OwnerAuthLayer
//!        └─ /owner/api ─────▶ figures, requests, hand-offs, prices, …    OwnerScope, audited changes
//!  tenants ─ /query, /ws ───▶ the stack of rag_tower                     TenantScope, one row per ask
//!  Prometheus ─ :9464 ──────▶ /metrics /livez /readyz                    nothing else
//! ```
//!
//! It is two things in one crate:
//!
//! - **The reference server**, with the default feature `server`: the binary `rag-tower-owner`, and `run`, which is all its `main`
//!   does. `--help` lists commands and settings; how to run it for others is in `deploy/` of this crate.
//! - **The owner's login alone**, with `default-features = false, features = ["auth"]`: [`auth`] is a layer and two services, usable from
//!   plain hyper, with no database and no web framework.
//!
//! ```
//! use rag_tower_owner::Secret;
//! use rag_tower_owner::auth::{OwnerAuth, OwnerAuthConfig, OwnerAuthLayer, OwnerPassword};
//!
//! # fn main() -> Result<(), rag_tower::Error> {
//! let password = OwnerPassword::Plain(Secret::new("a long enough password"));
//! let config = OwnerAuthConfig::new("owner", password, Secret::new("a signing secret of 32 characters or more"));
//! let layer = OwnerAuthLayer::new(OwnerAuth::new(config)?); // around everything that is the owner's
//! # drop(layer);
//! # Ok(())
//! # }
//! ```
//!
//! What the server is made of, in the order in which to read it: `stack.rs` (the layers of an ask), `app.rs` and `routes.rs` (what HTTP
//! reaches), `serve.rs` (coming up and going down), and `config`.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "server")]
mod alerts;
#[cfg(feature = "server")]
mod api;
#[cfg(feature = "server")]
mod app;
#[cfg(feature = "server")]
mod ask;
#[cfg(feature = "auth")]
pub mod auth;
#[cfg(feature = "server")]
mod banner;
#[cfg(feature = "server")]
mod beside;
#[cfg(feature = "server")]
mod branches;
#[cfg(feature = "server")]
mod canary;
#[cfg(feature = "server")]
mod cli;
#[cfg(feature = "server")]
pub mod cluster;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod data_dir;
#[cfg(feature = "server")]
mod demo;
#[cfg(feature = "server")]
mod demo_data;
#[cfg(feature = "server")]
mod doctor;
#[cfg(feature = "server")]
mod eval;
#[cfg(feature = "server")]
mod failure;
#[cfg(feature = "server")]
mod gauges;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
mod identity;
#[cfg(feature = "server")]
mod index;
#[cfg(feature = "server")]
mod ingest;
#[cfg(feature = "server")]
mod intake;
#[cfg(feature = "server")]
mod isolation;
#[cfg(feature = "server")]
mod jobs;
#[cfg(feature = "server")]
mod locked;
#[cfg(feature = "server")]
mod mend;
#[cfg(feature = "server")]
mod models;
#[cfg(feature = "server")]
mod operator;
#[cfg(feature = "server")]
pub mod owner_store;
#[cfg(feature = "server")]
mod partitions;
#[cfg(feature = "server")]
mod platform;
#[cfg(feature = "server")]
mod prices;
#[cfg(feature = "server")]
mod progress;
#[cfg(feature = "server")]
mod ready;
#[cfg(feature = "server")]
mod registry;
#[cfg(feature = "server")]
mod replay;
#[cfg(feature = "server")]
mod rollups;
#[cfg(feature = "server")]
pub mod routes;
#[cfg(feature = "auth")]
mod secret;
#[cfg(feature = "server")]
mod secrets;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "server")]
mod shared;
#[cfg(feature = "server")]
mod stack;
#[cfg(feature = "server")]
mod system;
#[cfg(feature = "server")]
mod telemetry;
#[cfg(feature = "server")]
pub mod tenant_data;
#[cfg(feature = "server")]
mod tls;
#[cfg(feature = "server")]
mod tooling;
#[cfg(feature = "server")]
pub mod tools;
#[cfg(feature = "server")]
mod zone;

pub use rag_tower::masking;

#[cfg(feature = "server")]
pub use self::cli::run;
#[cfg(feature = "server")]
pub use self::failure::Failure;
#[cfg(feature = "auth")]
pub use self::secret::Secret;
