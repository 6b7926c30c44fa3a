//! What a conversation remembers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ask::SessionId;
use crate::tenant::{TenantId, TenantScope};

/// What is known of a session before the next turn.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The conversation.
    pub session: SessionId,
    /// Whose it is; compared with the scope on load.
    pub tenant: TenantId,
    /// Facts about the person and their wishes: name, level, branch of interest.
    pub entity_memory: Map<String, Value>,
    /// What was said before the recent messages, in short.
    pub rolling_summary: String,
    /// The last turns, oldest first.
    pub recent_messages_buffer: Vec<Turn>,
}

/// One exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// What was asked.
    pub question: Arc<str>,
    /// What was answered.
    pub answer: Arc<str>,
    /// The route that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Arc<str>>,
    /// A tool that waits for the next turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
}

/// A turn on its way into a session.
#[derive(Clone, Debug)]
pub struct NewTurn {
    /// Whose it is.
    pub scope: TenantScope,
    /// The conversation.
    pub session: SessionId,
    /// What was said.
    pub turn: Turn,
}

/// A tool that has asked something back, such as a ticket that waits for a phone number: it gets the next turn,
/// whatever that says, unless it yields. A tool says so with [`TraceHandle::set_pending`](crate::TraceHandle::set_pending).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The tool's name in the [`RouteLayer`](crate::route::RouteLayer).
    pub tool: Arc<str>,
    /// What the tool needs to go on.
    pub state: Value,
    /// True when the next turn may be taken by another tool that the classifier sends it to.
    #[serde(default)]
    pub yields: bool,
}

// === impl History ===

impl History {
    /// A session without a turn.
    #[must_use]
    pub fn new(session: SessionId, tenant: TenantId) -> Self {
        Self {
            session,
            tenant,
            entity_memory: Map::new(),
            rolling_summary: String::new(),
            recent_messages_buffer: Vec::new(),
        }
    }

    /// True when nothing has been said yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recent_messages_buffer.is_empty()
            && self.rolling_summary.is_empty()
            && self.entity_memory.is_empty()
    }

    /// The last turn.
    #[must_use]
    pub fn last(&self) -> Option<&Turn> {
        self.recent_messages_buffer.last()
    }

    /// The tool that waits for this turn.
    #[must_use]
    pub fn pending(&self) -> Option<&Pending> {
        self.last()?.pending.as_ref()
    }
}
