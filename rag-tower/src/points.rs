//! What a point looks like in every index, and the filter that every request carries.
//!
//! The engine in process and the server share no types, so this is the neutral form that both are converted from: one
//! place decides what is visible.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Stage};
use crate::filter::{Condition, Filter};
use crate::passage::{ChunkId, DocumentId, Origin};
use crate::port::{Hit, Point};
use crate::tenant::{BranchId, Branches, TenantId, TenantScope};

/// The dense vector's name.
pub(crate) const DENSE: &str = "dense";
/// The sparse vector's name.
pub(crate) const SPARSE: &str = "sparse";
/// The payload key that every request filters by; indexed as the tenant's.
pub(crate) const TENANT: &str = "tenant_id";
/// The payload key of the branch.
pub(crate) const BRANCH: &str = "branch_id";
/// The payload key of the document.
pub(crate) const DOCUMENT: &str = "document_id";
/// The payload key of the chunk.
pub(crate) const CHUNK: &str = "chunk_id";
/// The payload object that holds the labels: no label can stand for a tenant, a branch or a document.
const LABEL: &str = "label";
/// The branch of a document without one: an ordinary value, so that one condition covers both cases.
const NO_BRANCH: &str = "none";
/// The longest label name.
const MAX_LABEL: usize = 128;

/// Points of one tenant up to which a search compares all of them: about 5 ms of a core with 768 numbers each.
pub(crate) const EXACT_UP_TO: usize = 50_000;
/// What the graph search looks at when a tenant has more: the widest that stays at about 5 ms. Both were measured by
/// `cargo bench -p rag-tower-tests --bench retrieval -- --curve`.
pub(crate) const SEARCH_WIDTH: usize = 512;

/// "The value at this key is one of these."
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnyOf {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
}

/// What a request may see. All of it must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visible {
    /// From the scope: the tenant first, then the branches when they are limited. Always at the top level.
    pub(crate) scope: Vec<AnyOf>,
    /// From the caller: nested inside, where it can only narrow.
    pub(crate) caller: Vec<AnyOf>,
}

// === impl AnyOf ===

impl AnyOf {
    fn one(key: &str, value: impl ToString) -> Self {
        Self { key: key.into(), values: vec![value.to_string()] }
    }
}

// === impl Visible ===

impl Visible {
    /// Everything that the scope admits.
    pub(crate) fn of(scope: &TenantScope) -> Self {
        let mut conditions = vec![AnyOf::one(TENANT, scope.tenant())];
        if let Branches::Only(branches) = scope.branches() {
            let values = branches.iter().map(ToString::to_string).chain([NO_BRANCH.into()]).collect();
            conditions.push(AnyOf { key: BRANCH.into(), values });
        }
        Self { scope: conditions, caller: Vec::new() }
    }

    /// What the scope admits of these documents. There must be one: an engine may take no value for no restriction.
    pub(crate) fn documents(scope: &TenantScope, documents: &[DocumentId]) -> Self {
        let mut visible = Self::of(scope);
        let values = documents.iter().map(ToString::to_string).collect();
        visible.scope.push(AnyOf { key: DOCUMENT.into(), values });
        visible
    }

    /// What the scope admits and the caller's filter leaves.
    pub(crate) fn narrowed(scope: &TenantScope, filter: &Filter) -> Result<Self, Error> {
        let mut visible = Self::of(scope);
        for condition in filter.conditions() {
            visible.caller.push(match condition {
                Condition::Document(ids) => {
                    AnyOf { key: DOCUMENT.into(), values: ids.iter().map(ToString::to_string).collect() }
                }
                Condition::Label { name, any_of } => {
                    check_label(name, Stage::Retrieve)?;
                    AnyOf { key: format!("{LABEL}.\"{name}\""), values: any_of.clone() }
                }
            });
        }
        Ok(visible)
    }
}

/// The point of a chunk. It holds the tenant, so that no scope can name a point of another, whatever chunk it claims.
pub(crate) fn point_id(scope: &TenantScope, chunk: ChunkId) -> Uuid {
    Uuid::new_v5(&scope.tenant().as_uuid(), chunk.as_uuid().as_bytes())
}

/// A point's payload, with the tenant from the scope.
pub(crate) fn payload(scope: &TenantScope, point: &Point) -> Result<Map<String, Value>, Error> {
    if !scope.admits(Origin::Tenant { tenant: scope.tenant(), branch: point.branch }) {
        return Err(Error::new(ErrorKind::NotFound, Stage::Ingest).with_message("no such branch"));
    }
    for name in point.labels.keys() {
        check_label(name, Stage::Ingest)?;
    }
    let mut payload = Map::new();
    payload.insert(TENANT.into(), json!(scope.tenant()));
    payload.insert(BRANCH.into(), point.branch.map_or_else(|| json!(NO_BRANCH), |branch| json!(branch)));
    payload.insert(DOCUMENT.into(), json!(point.document));
    payload.insert(CHUNK.into(), json!(point.chunk));
    if !point.labels.is_empty() {
        payload.insert(LABEL.into(), json!(point.labels));
    }
    Ok(payload)
}

/// A hit from a point's payload. A point without a readable origin is nobody's, and fails the search.
pub(crate) fn hit<'p>(field: impl Fn(&str) -> Option<&'p str>, score: f32) -> Result<Hit, Error> {
    let id = |key: &str| field(key).and_then(|text| text.parse::<Uuid>().ok());
    let branch = match field(BRANCH) {
        Some(NO_BRANCH) => Some(None),
        _ => id(BRANCH).map(|id| Some(BranchId::new(id))),
    };
    let parts = id(TENANT).zip(branch).zip(id(DOCUMENT)).zip(id(CHUNK));
    let Some((((tenant, branch), document), chunk)) = parts else {
        metrics::counter!("rag_isolation_violations_total", "layer" => "index").increment(1);
        tracing::error!("a vector index returned a point without an origin");
        return Err(Error::new(ErrorKind::Isolation, Stage::Retrieve));
    };
    Ok(Hit {
        chunk: ChunkId::new(chunk),
        document: DocumentId::new(document),
        origin: Origin::Tenant { tenant: TenantId::new(tenant), branch },
        score,
    })
}

/// Names that cannot break out of a quoted key.
fn check_label(name: &str, stage: Stage) -> Result<(), Error> {
    let bad = |c: char| c.is_control() || matches!(c, '"' | '\\');
    if name.is_empty() || name.chars().count() > MAX_LABEL || name.contains(bad) {
        return Err(Error::invalid(
            stage,
            format!(
                "a label's name has 1 to {MAX_LABEL} characters, without quotes, backslashes and control characters"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grant;

    fn scope(branches: Branches) -> TenantScope {
        crate::test_util::granted(Grant::new(TenantId::named("a")).with_branches(branches))
    }

    #[test]
    fn t12_the_tenant_comes_first_and_a_filter_goes_inside() {
        let scope = scope(Branches::Only(std::sync::Arc::from([])));
        let sneaky = Condition::Label { name: TENANT.into(), any_of: vec!["other".into()] };
        let visible = Visible::narrowed(&scope, &Filter::default().and(sneaky).unwrap()).unwrap();
        assert_eq!(visible.scope[0], AnyOf::one(TENANT, scope.tenant()));
        assert_eq!(visible.scope[1], AnyOf::one(BRANCH, NO_BRANCH));
        assert_eq!(visible.caller, [AnyOf::one("label.\"tenant_id\"", "other")]);
    }

    #[test]
    fn t12_a_label_cannot_break_out_of_its_key() {
        let scope = scope(Branches::All);
        for name in ["", "a\"b", "a\\", "a\nb", &"x".repeat(129)] {
            let filter =
                Filter::default().and(Condition::Label { name: name.into(), any_of: vec!["v".into()] });
            let refused = Visible::narrowed(&scope, &filter.unwrap()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{name}");
        }
    }

    #[test]
    fn t13_a_chunk_of_two_tenants_is_two_points() {
        let chunk = ChunkId::new(Uuid::from_u128(1));
        let other = crate::test_util::scope("b");
        assert_ne!(point_id(&scope(Branches::All), chunk), point_id(&other, chunk));
    }

    #[test]
    fn t10_a_point_without_an_origin_fails_the_search() {
        assert_eq!(hit(|_| None, 1.0).unwrap_err().kind(), ErrorKind::Isolation);
        let odd = |key: &str| {
            Some(if key == BRANCH { "somewhere" } else { "00000000-0000-0000-0000-000000000001" })
        };
        assert_eq!(hit(odd, 1.0).unwrap_err().kind(), ErrorKind::Isolation);
    }
}
