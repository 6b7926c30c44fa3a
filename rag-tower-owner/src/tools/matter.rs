//! What a question is about, with the earlier questions of the conversation that it goes on from.

use rag_tower::memory::Turn;
use rag_tower::{Ask, Scoped};

use super::courses::{Mentions, NEXT, mentions};
use super::text::words;
use crate::tenant_data::TenantData;

/// One matter over the questions that belong to it.
#[derive(Clone, Debug)]
pub(super) struct Matter {
    /// The words of its questions, the earliest first.
    pub(super) words: Vec<String>,
    /// The courses it is about.
    pub(super) mentions: Mentions,
    /// True when this tool has asked back in the turn before.
    pub(super) answers_us: bool,
}

impl Matter {
    /// The matter of an ask that `tool` answers. It goes on from the turn before when the tool asked something back there,
    /// or when that turn took the same route and this one names no course ("and for two?").
    pub(super) fn of(data: &TenantData, ask: &Ask, tool: &str) -> Self {
        let asked = words(ask.question().as_str());
        let mut matter =
            Self { mentions: mentions(data, &asked), words: asked, answers_us: waits(ask, tool) };
        let route = ask.trace().snapshot().route;
        for turn in turns(ask).iter().rev() {
            let silent = matter.mentions.found.is_empty() && matter.mentions.unclear.is_empty();
            if is_waiting(turn, tool) || (silent && route.is_some() && turn.route == route) {
                matter.absorb(data, &turn.question);
            } else {
                break;
            }
        }
        matter
    }

    /// Takes an earlier question in.
    fn absorb(&mut self, data: &TenantData, earlier: &str) {
        let mut joined = words(earlier);
        let mut before = mentions(data, &joined).found;
        joined.push(NEXT.into());
        joined.append(&mut self.words);
        let all = mentions(data, &joined);
        let now = std::mem::replace(&mut self.mentions, all);
        if !now.found.is_empty() {
            // What is named now settles what was unclear before.
            before.retain(|course| !now.found.contains(course));
            before.extend(now.found);
            self.mentions.found = before;
            self.mentions.unclear = now.unclear;
        }
        self.words = joined;
    }
}

/// The turns that are remembered, oldest first.
pub(super) fn turns(ask: &Ask) -> &[Turn] {
    ask.history().map(|history| history.recent_messages_buffer.as_slice()).unwrap_or_default()
}

/// True when the tool asked something back in the turn before.
pub(super) fn waits(ask: &Ask, tool: &str) -> bool {
    turns(ask).last().is_some_and(|turn| is_waiting(turn, tool))
}

/// True when the tool asked something back in this turn.
pub(super) fn is_waiting(turn: &Turn, tool: &str) -> bool {
    turn.pending.as_ref().is_some_and(|pending| &*pending.tool == tool)
}
