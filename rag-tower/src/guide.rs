//! The guide, page by page: read [`overview`] first.

#[doc = include_str!("docs/overview.md")]
pub mod overview {}
#[doc = include_str!("docs/tenants.md")]
pub mod tenants {}
#[cfg(feature = "conformance")]
#[doc = include_str!("docs/conformance.md")]
pub mod conformance {}
#[doc = include_str!("docs/stages.md")]
pub mod stages {}
#[doc = include_str!("docs/retrieval.md")]
pub mod retrieval {}
#[doc = include_str!("docs/routing.md")]
pub mod routing {}
#[doc = include_str!("docs/tracing.md")]
pub mod tracing {}
#[doc = include_str!("docs/metrics.md")]
pub mod metrics {}
#[doc = include_str!("docs/limits.md")]
pub mod limits {}
#[doc = include_str!("docs/providers.md")]
pub mod providers {}
#[doc = include_str!("docs/http.md")]
pub mod http {}
#[doc = include_str!("docs/server.md")]
pub mod server {}
#[doc = include_str!("docs/errors.md")]
pub mod errors {}
