//! A call's time and tokens in the `gen_ai_client_*` metrics, as its reply passes.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use http::HeaderMap;

use super::super::meter::{Meter, Meters};
use super::body::Tap;
use super::call::Operation;
use super::reading::Reading;
use crate::error::{Error, ErrorKind};
use crate::metrics::Labels;

/// What costs tokens; a list of models is no call to one.
const METERED: [Operation; 3] = [Operation::Chat, Operation::TextCompletion, Operation::Embeddings];

/// The series of one provider: those of each operation with each model that may be a label, once there is a call of it.
pub(super) struct CallMeters {
    provider: Arc<str>,
    labels: Labels,
    made: Box<[OnceLock<Meters>]>,
}

/// What is read of a provider's reply while it passes, among the reply's extensions: whoever reads it too reads it here, and
/// it is read once.
#[derive(Clone)]
pub(super) struct SharedReading(Arc<Mutex<Reading>>);

/// Reads a reply, and measures its call once.
pub(super) struct Metered {
    meter: Option<Meter>,
    reading: SharedReading,
    provider: Arc<str>,
}

// === impl CallMeters ===

impl CallMeters {
    pub(super) fn new(provider: &Arc<str>, labels: Labels) -> Self {
        let made = METERED.len() * labels.models().len();
        Self { provider: Arc::clone(provider), labels, made: (0..made).map(|_| OnceLock::new()).collect() }
    }

    /// Measures a call from now on, when it is one to a model.
    pub(super) fn start(&self, operation: Operation, model: Option<&str>) -> Option<Meter> {
        let models = self.labels.models();
        let (row, column) =
            (METERED.iter().position(|metered| *metered == operation)?, self.labels.model_index(model));
        let (made, model) = (self.made.get(row * models.len() + column)?, models.get(column)?);
        Some(made.get_or_init(|| Meters::new(operation.as_str(), &self.provider, model)).start())
    }
}

// === impl SharedReading ===

impl SharedReading {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(Arc::new(Mutex::new(Reading::of(headers))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Metered ===

impl Metered {
    pub(super) fn new(meter: Option<Meter>, reading: SharedReading, provider: &Arc<str>) -> Self {
        Self { meter, reading, provider: Arc::clone(provider) }
    }
}

/// Ends the measurement of a call whose reply has ended.
fn settle(meter: &mut Option<Meter>, reading: &Reading, provider: &str, failure: Option<ErrorKind>) {
    let Some(mut meter) = meter.take() else { return };
    let failure = failure.or_else(|| reading.outcome(provider).err().map(|error| error.kind()));
    match failure {
        None => meter.done(reading.seen.usage),
        Some(kind) => meter.failed(kind),
    }
}

impl Tap for Metered {
    fn data(&mut self, bytes: &Bytes) {
        let mut reading = self.reading.lock();
        let before = reading.seen.chars;
        reading.data(bytes);
        if reading.seen.chars > before
            && let Some(meter) = &mut self.meter
        {
            meter.chunk();
        }
        // A client may go away once it has seen this, and misses nothing.
        if reading.seen.done {
            settle(&mut self.meter, &reading, &self.provider, None);
        }
    }

    fn end(&mut self, failure: Option<&Error>) {
        let mut reading = self.reading.lock();
        reading.end();
        settle(&mut self.meter, &reading, &self.provider, failure.map(Error::kind));
    }
}
