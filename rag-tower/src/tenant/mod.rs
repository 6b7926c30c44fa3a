//! Who asks: tenants as capabilities, and the only place where they are minted.
//!
//! A [`TenantId`] is a name and opens nothing. A [`TenantScope`] is the permission; it is minted by a
//! [`TenantAuthority`] from what a verified credential [grants](Grant).
//!
//! Over HTTP a [`ResolveTenantLayer`] does both: its [`ResolveTenant`] verifies the request's credential, the layer
//! mints the scope and puts it into the request's extensions. The credential names the tenant. The header
//! `X-Tenant-ID` is an assertion: where it is sent it must name the same tenant.

mod api_key;
mod authority;
mod beside;
#[cfg(feature = "codes")]
pub mod code;
mod credential;
#[cfg(feature = "axum")]
mod extract;
mod id;
#[cfg(feature = "jwt")]
mod jwt;
mod layer;
mod resolve;
mod scope;
mod service;
mod throttle;

pub use self::api_key::{ApiKeyResolver, ApiKeys, KeyHash, MIN_API_KEY_CHARS, MemoryApiKeys};
pub use self::authority::TenantAuthority;
pub use self::credential::{API_KEY_HEADER, AuthFailure};
pub(crate) use self::id::id;
pub use self::id::{BranchId, CorpusId, TenantId};
#[cfg(feature = "jwt")]
#[cfg_attr(not(docsrs), doc = "<span class='stab portability'><code>jwt</code></span>")]
pub use self::jwt::{
    CredentialResolver, JwtKey, JwtResolver, MemoryRevocations, MintedToken, NoRevocations, Revocations,
    TENANT_AUDIENCE, TokenIdentity, TokenMinter,
};
pub use self::layer::ResolveTenantLayer;
pub use self::resolve::{
    Asserted, ConstantTenant, DerivedNames, ResolveTenant, TENANT_HEADER, TenantNames, TrustedGateway,
};
pub use self::scope::{Branches, Grant, Role, TenantScope};
pub use self::service::{ResolveTenantFuture, ResolveTenantService};
pub use self::throttle::LoginThrottle;
