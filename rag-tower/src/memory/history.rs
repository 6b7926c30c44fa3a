//! What a conversation remembers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ask::SessionId;
use crate::tenant::TenantId;

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
    /// What a tool needs on the next turn, such as a ticket that waits for a phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Value>,
}
