//! The guide, page by page: read [`overview`] first.
//!
//! | to | read |
//! |---|---|
//! | understand the parts | [`overview`], [`stages`], [`streaming`], [`errors`] |
//! | keep tenants apart | [`tenants`], [`isolation`], and the page on the conformance kit |
//! | answer well | [`retrieval`], [`routing`], [`providers`] |
//! | know what happened | [`tracing`] |
//! | withstand load | [`limits`], [`backpressure`], [`scaling_out`] |
//! | write a part of your own | [`writing_a_stage`], [`cookbook`] |
//! | speak HTTP | [`http`] |
//! | run it | [`deployment`], [`server`], [`upgrading`] |

#[doc = include_str!("docs/overview.md")]
pub mod overview {}
#[doc = include_str!("docs/tenants.md")]
pub mod tenants {}
#[doc = include_str!("docs/isolation.md")]
pub mod isolation {}
#[cfg(feature = "conformance")]
#[doc = include_str!("docs/conformance.md")]
pub mod conformance {}
#[doc = include_str!("docs/stages.md")]
pub mod stages {}
#[doc = include_str!("docs/writing_a_stage.md")]
pub mod writing_a_stage {}
#[doc = include_str!("docs/streaming.md")]
pub mod streaming {}
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
#[doc = include_str!("docs/backpressure.md")]
pub mod backpressure {}
#[doc = include_str!("docs/providers.md")]
pub mod providers {}
#[doc = include_str!("docs/http.md")]
pub mod http {}
#[doc = include_str!("docs/cookbook.md")]
pub mod cookbook {}
#[doc = include_str!("docs/deployment.md")]
pub mod deployment {}
#[doc = include_str!("docs/scaling_out.md")]
pub mod scaling_out {}
#[doc = include_str!("docs/server.md")]
pub mod server {}
#[doc = include_str!("docs/upgrading.md")]
pub mod upgrading {}
#[doc = include_str!("docs/errors.md")]
pub mod errors {}
