//! The claims of a tenant token. Every one is required, and each has one type.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::TokenIdentity;
use crate::tenant::{BranchId, Branches, Grant, Role, TenantId};

/// Serde is strict here: a whole number is neither a string, a float nor a negative number, and a claim that comes
/// twice is an error.
#[derive(Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: String,
    pub(super) sub: String,
    pub(super) exp: u64,
    pub(super) iat: u64,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub(super) nbf: Option<u64>,
    pub(super) jti: String,
    pub(super) tid: TenantId,
    pub(super) branches: BranchClaim,
    #[serde(deserialize_with = "role")]
    pub(super) role: Role,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum BranchClaim {
    All(Star),
    Only(Vec<BranchId>),
}

/// The text `*`. Serde would read an enum's variant from an object too, as `{"*": null}`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub(super) struct Star;

/// A claim that may be missing is still a number where it is there: `null` is none.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(from).map(Some)
}

/// A role by its name, and in no other form.
fn role<'de, D: Deserializer<'de>>(from: D) -> Result<Role, D::Error> {
    let name = String::deserialize(from)?;
    let known = [Role::Member, Role::Agent, Role::Admin].into_iter().find(|role| role.as_str() == name);
    known.ok_or_else(|| D::Error::custom("no such role"))
}

// === impl Claims ===

impl Claims {
    /// True when the texts have a length that fits a column.
    pub(super) fn is_sound(&self) -> bool {
        (1..=256).contains(&self.sub.len()) && (1..=128).contains(&self.jti.len())
    }

    pub(super) fn split(self) -> (TokenIdentity, Grant) {
        let subject: Arc<str> = self.sub.into();
        let identity = TokenIdentity {
            jti: self.jti.into(),
            subject: Arc::clone(&subject),
            tenant: self.tid,
            issued_at: self.iat,
            expires_at: self.exp,
        };
        let branches = match self.branches {
            BranchClaim::All(Star) => Branches::All,
            BranchClaim::Only(some) => Branches::Only(some.into()),
        };
        let grant = Grant::new(self.tid).with_subject(subject).with_role(self.role).with_branches(branches);
        (identity, grant)
    }
}

// === impl Star ===

impl TryFrom<String> for Star {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "*" { Ok(Self) } else { Err("all branches are \"*\"") }
    }
}

impl From<Star> for &'static str {
    fn from(Star: Star) -> Self {
        "*"
    }
}
