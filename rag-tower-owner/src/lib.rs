//! The owner's side of rag-tower: owner authentication, the owner API, the console and the reference server.

#[cfg(feature = "auth")]
pub mod auth;
#[cfg(feature = "server")]
mod cli;
#[cfg(feature = "server")]
pub mod cluster;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod data_dir;
#[cfg(feature = "server")]
mod doctor;
#[cfg(feature = "server")]
mod failure;
#[cfg(feature = "server")]
pub mod owner_store;
#[cfg(feature = "auth")]
mod secret;
#[cfg(feature = "server")]
pub mod tenant_data;
#[cfg(feature = "server")]
pub mod tools;

pub use rag_tower::masking;

#[cfg(feature = "server")]
pub use self::cli::run;
#[cfg(feature = "server")]
pub use self::failure::Failure;
#[cfg(feature = "auth")]
pub use self::secret::Secret;
