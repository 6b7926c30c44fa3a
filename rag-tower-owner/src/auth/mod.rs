//! Who owns the platform: login, logout, and the layer that lets nobody else past. It needs no database and no web
//! framework.
//!
//! One [`OwnerAuth`] holds the settings and the live sessions; the layer and the two services share it:
//!
//! ```
//! use rag_tower_owner::auth::{LoginService, LogoutService, OwnerAuth, OwnerAuthConfig, OwnerAuthLayer, OwnerPassword};
//! use rag_tower_owner::Secret;
//!
//! # fn main() -> rag_tower::Result<()> {
//! let password = OwnerPassword::Plain(Secret::new("nine-lives-of-a-lucky-cat"));
//! let jwt_secret = Secret::new("k7Pq2mXv9RtY4wZb6NcJ8sLd3FhG5aQe");
//! let auth = OwnerAuth::new(OwnerAuthConfig::new("owner", password, jwt_secret))?;
//! let (login, logout) = (LoginService::new(auth.clone()), LogoutService::new(auth.clone()));
//! let guard = OwnerAuthLayer::new(auth); // around everything that only the owner may see
//! # Ok(()) }
//! ```
//!
//! - A session is a signed token in an `HttpOnly` cookie, `SameSite=Strict`; where a configured origin is https the
//!   cookie is `__Host-owner_token` and `Secure`. Programs send the same token after `Authorization: Bearer`.
//! - Logout ends the session at once, whatever the token's expiry.
//! - A request that changes something and comes with the cookie must come from the same origin.
//! - The owner is no tenant and a tenant is no owner: their tokens have different audiences, and an [`OwnerScope`]
//!   opens no tenant's data.

mod client;
mod cookie;
mod event;
mod layer;
mod login;
mod logout;
mod password;
mod respond;
mod scope;
mod session;
mod settings;
pub(crate) mod token;

pub use self::client::ClientAddr;
pub use self::event::{AuthEvent, AuthEventKind};
pub use self::layer::{OwnerAuthFuture, OwnerAuthLayer, OwnerAuthService};
pub use self::login::LoginService;
pub use self::logout::LogoutService;
pub use self::password::OwnerPassword;
pub use self::respond::AuthFuture;
pub use self::scope::OwnerScope;
pub use self::session::{MemorySessions, OwnerSessions};
pub use self::settings::{OwnerAuth, OwnerAuthConfig};
pub use self::token::OWNER_AUDIENCE;

#[cfg(test)]
mod tests;
