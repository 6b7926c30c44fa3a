//! Conversation memory.

mod history;

pub use self::history::{History, Turn};
