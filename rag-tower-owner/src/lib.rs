//! The owner's side of rag-tower: owner authentication, the owner API, the console and the reference server.

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
mod stack;
#[cfg(feature = "server")]
mod system;
#[cfg(feature = "server")]
mod telemetry;
#[cfg(feature = "server")]
pub mod tenant_data;
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
