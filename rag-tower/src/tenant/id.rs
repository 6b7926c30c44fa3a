//! Names of tenants, branches and shared corpora: plain identifiers that grant nothing.

use uuid::Uuid;

/// The namespace of names turned into tenant ids, fixed for ever: `uuidv5(DNS, "tenant.rag-tower")`.
const NAMESPACE: Uuid = Uuid::from_u128(0x5a3e_0c57_7c41_5e0b_9d86_1f7a_6d1c_2b90);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(::uuid::Uuid);

        impl $name {
            /// Wraps an existing id.
            #[must_use]
            pub const fn new(id: ::uuid::Uuid) -> Self {
                Self(id)
            }

            /// The id as a UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> ::uuid::Uuid {
                self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = ::uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}
pub(crate) use id;

id! {
    /// Identifies a tenant. It is a name, not a permission: only a [`TenantScope`](super::TenantScope) opens data.
    TenantId
}
id! {
    /// Identifies a branch (a site, a shop, a department) of a tenant.
    BranchId
}
id! {
    /// Identifies a corpus that several tenants may read.
    CorpusId
}

// === impl TenantId ===

impl TenantId {
    /// The id for an application that knows its tenants by name: UUIDv5 of the name in a fixed namespace.
    ///
    /// ```
    /// use rag_tower::TenantId;
    /// assert_eq!(TenantId::named("acme"), TenantId::named("acme"));
    /// assert_ne!(TenantId::named("acme"), TenantId::named("Acme"));
    /// ```
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
    }
}

// === impl BranchId ===

impl BranchId {
    /// The id of a named branch of a tenant: UUIDv5 of the name with the tenant as its namespace.
    #[must_use]
    pub fn named(tenant: TenantId, name: &str) -> Self {
        Self(Uuid::new_v5(&tenant.as_uuid(), name.as_bytes()))
    }
}
