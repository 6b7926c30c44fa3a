//! The layer.

use std::sync::Arc;

use tower_layer::Layer;

use super::permit::Gate;
use super::service::Admission;

/// Limits how many asks run at once. See the [module](super). Every service made by one layer, and every clone,
/// shares its counts.
#[derive(Clone, Debug)]
pub struct AdmissionLayer {
    pub(super) gate: Arc<Gate>,
}

// === impl AdmissionLayer ===

impl AdmissionLayer {
    /// At most `global` asks at once, at least one. Per tenant: no limit of its own.
    #[must_use]
    pub fn new(global: usize) -> Self {
        Self { gate: Arc::new(Gate::new(global.max(1), usize::MAX)) }
    }

    /// At most `limit` asks of one tenant at once, at least one. Default: no limit but the global one. Set it before
    /// the layer is used: counts start anew.
    #[must_use]
    pub fn per_tenant(self, limit: usize) -> Self {
        let (global, _) = self.gate.limits();
        Self { gate: Arc::new(Gate::new(global, limit.max(1))) }
    }

    /// Asks that run now, and tenants they belong to.
    #[must_use]
    pub fn in_use(&self) -> (usize, usize) {
        self.gate.in_use()
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Admission<S> {
        Admission { inner, gate: Arc::clone(&self.gate) }
    }
}
