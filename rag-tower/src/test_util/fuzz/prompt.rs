//! Texts that others wrote, on their way into a prompt.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Broken, broken, hold};
use crate::ask::SessionId;
use crate::memory::{History, Turn};
use crate::passage::{ChunkId, DocumentId, Origin, Passage};
use crate::port::{Message, Speaker};
use crate::stage::{DefaultTemplate, Template, TemplateInput};
use crate::tenant::TenantScope;

/// The line between two texts.
const BETWEEN: &str = "\n---\n";
/// So many passages are read; what follows is left out.
const MOST_PASSAGES: usize = 8;

/// Checks [`DefaultTemplate`]. Lines of `---` part the texts: the question, a summary, the name and value of a fact, the
/// question and answer of a turn, and then a title and a text for each passage.
///
/// The system message is the same whatever the texts are, and turns stay what they were. Each passage stands whole
/// between its own markers, in order and with its number; nothing quoted holds a marker; the question comes last.
///
/// # Errors
/// The property that does not hold.
pub fn prompt(data: &[u8]) -> Result<(), Broken> {
    let text = String::from_utf8_lossy(data);
    let mut texts = text.split(BETWEEN);
    let mut next = || texts.next().unwrap_or_default();
    let question = next();
    let scope = crate::test_util::scope("acme");
    let history = history(&scope, [next(), next(), next(), next(), next()]);
    let texts: Vec<_> = texts.take(2 * MOST_PASSAGES).collect();
    let passages: Vec<_> = texts.chunks(2).map(|pair| passage(&scope, pair)).collect();

    let input = TemplateInput { scope: &scope, question, history: Some(&history), passages: &passages };
    let messages = DefaultTemplate::default().render(&input);
    let none = TemplateInput { scope: &scope, question: "", history: None, passages: &[] };
    let empty = DefaultTemplate::default().render(&none);

    let [system, middle @ .., last] = &messages[..] else { return Err(broken("fewer than two messages")) };
    let steady = empty.first() == Some(system) && system.speaker == Speaker::System;
    hold(steady, || format!("the system message became {:?}", system.text))?;
    let turns = history.recent_messages_buffer.iter();
    let said = turns.flat_map(|turn| [(Speaker::User, &turn.question), (Speaker::Assistant, &turn.answer)]);
    let same = middle.iter().map(|message| (message.speaker, &message.text)).eq(said);
    hold(same, || format!("what was said before became {middle:?}"))?;
    last_message(last, &history, &passages, question)
}

/// Reads the last message by its markers alone.
fn last_message(
    message: &Message,
    history: &History,
    passages: &[Passage],
    question: &str,
) -> Result<(), Broken> {
    let lost = |what: &str| broken(format!("{what} is not where it should be in {:?}", message.text));
    hold(message.speaker == Speaker::User, || "the last message is not the user's".to_owned())?;
    let mut rest = &*message.text;
    if !(history.rolling_summary.is_empty() && history.entity_memory.is_empty()) {
        let memory = rest.strip_prefix("<memory>\n").and_then(|rest| rest.split_once("</memory>\n"));
        let (memory, after) = memory.ok_or_else(|| lost("the memory"))?;
        hold(!memory.contains(['<', '>', '"']), || format!("the memory can leave its quotes: {memory:?}"))?;
        let end = format!("{}\n", as_quoted(&history.rolling_summary));
        hold(history.rolling_summary.is_empty() || memory.ends_with(&end), || {
            format!("in memory: {memory:?}")
        })?;
        rest = after;
    }
    for (n, passage) in (1..).zip(passages) {
        let begin = format!("<passage n=\"{n}\" title=\"");
        let title = rest.strip_prefix(&*begin).and_then(|rest| rest.split_once("\">\n"));
        let (title, after) = title.ok_or_else(|| lost("a title"))?;
        let (text, after) = after.split_once("\n</passage>\n").ok_or_else(|| lost("the end of a passage"))?;
        let same = title == as_quoted(&passage.title) && text == as_quoted(&passage.text);
        hold(same, || format!("passage {n} became {title:?} and {text:?}"))?;
        rest = after;
    }
    if passages.is_empty() {
        rest =
            rest.strip_prefix("There are no passages.\n").ok_or_else(|| lost("the word of no passages"))?;
    }
    hold(rest.strip_prefix("\nQuestion: ") == Some(question), || format!("the question became {rest:?}"))
}

/// The text as a reader sees it, without what opens and closes markers.
fn as_quoted(text: &str) -> String {
    text.replace('<', "‹").replace('>', "›").replace('"', "”")
}

fn history(scope: &TenantScope, [summary, name, value, asked, answered]: [&str; 5]) -> History {
    let mut history = History::new(SessionId::generate(), scope.tenant());
    history.rolling_summary = summary.to_owned();
    if !name.is_empty() {
        // What is remembered need not be a text.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        history.entity_memory = Map::from_iter([(name.to_owned(), value)]);
    }
    if !asked.is_empty() {
        let (question, answer) = (asked.into(), answered.into());
        history.recent_messages_buffer = vec![Turn { question, answer, route: None, pending: None }];
    }
    history
}

fn passage(scope: &TenantScope, pair: &[&str]) -> Passage {
    let of = |n: usize| -> Arc<str> { pair.get(n).copied().unwrap_or_default().into() };
    let tenant = scope.tenant();
    let document = DocumentId::named(tenant, "a.md");
    Passage {
        chunk: ChunkId::of(tenant, document, 0),
        document,
        seq: 0,
        origin: Origin::Tenant { tenant, branch: None },
        title: of(0),
        file_name: "a.md".into(),
        text: of(1),
        score: 0.5,
        found: std::collections::BTreeMap::new(),
    }
}
