//! Whether tenants are kept apart, asked in production: two tenants that nobody is in, what one of them gets of the other's out.
//!
//! Each has a document with a secret. Every few minutes each asks for its own, which it must get, and one of them tries to
//! get at the other's on every way there is. The asks go through the same layers, index, database, cache and memory as any
//! other; only what is paid for is left out. They are rows of the channel `canary`, which counts nowhere.
//!
//! | check | what is tried | what must come of it |
//! |---|---|---|
//! | `own_secret` | each asks for its own secret | it gets it, else nothing is shown by the rest |
//! | `foreign_question` | A asks what B was just answered, cached and found | neither B's secret nor a source of B's |
//! | `foreign_session` | A goes on with B's conversation | there is no such conversation |
//! | `foreign_vector` | A searches for the very text of B's document | hits of A's alone |
//! | `foreign_rows` | A reads B's ask, document, chunks and conversation by id | nothing |
//! | `rotated_secret` | each asks for its secret after it was replaced | never the old one |
//!
//! The documents are this process's own, so that servers on one database do not disturb each other. A secret is replaced
//! with every tenth round, at the latest within the hour; what an hour old document is left of is a server's that has
//! crashed, and is removed.

mod document;
mod heard;
mod judge;
mod prober;
mod state;
mod watch;

use rag_tower::TenantScope;
use rag_tower::tenant::TenantId;
use serde::Serialize;

pub(crate) use self::prober::{Parts, Prober};
pub(crate) use self::state::CanaryState;
pub(crate) use self::watch::Canary;
use crate::platform::scope_of;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(crate) enum Tenant {
    #[serde(rename = "canary-a")]
    A,
    #[serde(rename = "canary-b")]
    B,
}

/// True for a tenant that nobody is.
pub(crate) fn is_canary(tenant: TenantId) -> bool {
    Tenant::BOTH.into_iter().any(|canary| canary.id() == tenant)
}

// === impl Tenant ===

impl Tenant {
    const BOTH: [Self; 2] = [Self::A, Self::B];

    const fn slug(self) -> &'static str {
        match self {
            Self::A => "canary-a",
            Self::B => "canary-b",
        }
    }

    /// Not that of a tenant with this slug: who registers one by its slug does not become a canary.
    fn id(self) -> TenantId {
        match self {
            Self::A => TenantId::named("rag-tower-canary-a"),
            Self::B => TenantId::named("rag-tower-canary-b"),
        }
    }

    fn scope(self) -> TenantScope {
        scope_of(self.id())
    }
}
