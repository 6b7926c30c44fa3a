//! Who asks: tenants as capabilities, and the only place where they are minted.
//!
//! A [`TenantId`] is a name and opens nothing. A [`TenantScope`] is the permission; it is minted by a
//! [`TenantAuthority`] from what a verified credential [grants](Grant).

mod authority;
mod id;
mod scope;

pub use self::authority::TenantAuthority;
pub(crate) use self::id::id;
pub use self::id::{BranchId, CorpusId, TenantId};
pub use self::scope::{Branches, Grant, Role, TenantScope};
