//! What a store found while it looked a credential up in, the same for the first who asks with the scope out.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What was found beside a credential, which saves the first read with the scope. It is taken once: what is read later must
/// be as it is by then. Only the store that found it knows what it is.
#[derive(Default)]
pub(crate) struct Beside(Mutex<Option<Arc<Found>>>);

type Found = dyn Any + Send + Sync;

// === impl Beside ===

impl Beside {
    pub(super) fn new(found: Arc<Found>) -> Self {
        Self(Mutex::new(Some(found)))
    }

    /// It, if there is something left, and gone from here.
    pub(super) fn take(&self) -> Option<Arc<Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Clone for Beside {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }
}

/// All are equal: what was found is no part of what is granted.
impl PartialEq for Beside {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Beside {}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beside")
    }
}
