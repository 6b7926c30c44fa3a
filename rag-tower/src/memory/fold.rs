//! How a turn becomes memory, without a model: the last turns are kept, older ones are shortened into the summary, and
//! what a person says of themselves becomes entities.

use std::sync::Arc;

use serde_json::Value;

use super::{History, Turn};
use crate::masking::{self, Phone};
use crate::words::words;

/// How much a session remembers. Every store folds with this, so that sessions look the same wherever they are kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Folding {
    /// The turns that are kept whole. Default: 6.
    pub recent_turns: usize,
    /// The most characters of one kept answer or question. Default: 4000.
    pub turn_chars: usize,
    /// The most characters of the summary. Default: 2000.
    pub summary_chars: usize,
    /// Names of things people ask for, such as courses; the last one named is kept as `interest`. Default: none.
    pub interests: Arc<[Arc<str>]>,
}

/// What is left of a question, and of an answer, in the summary, in characters.
const SUMMARY_QUESTION: usize = 120;
const SUMMARY_ANSWER: usize = 160;
/// The longest name that is believed, in words.
const NAME_WORDS: usize = 4;

// === impl Folding ===

impl Folding {
    /// Adds a turn to a session.
    pub fn fold(&self, history: &mut History, turn: Turn) {
        self.learn(history, &turn.question);
        history.recent_messages_buffer.push(Turn {
            question: cut(&turn.question, self.turn_chars),
            answer: cut(&turn.answer, self.turn_chars),
            ..turn
        });
        let surplus = history.recent_messages_buffer.len().saturating_sub(self.recent_turns);
        for old in history.recent_messages_buffer.drain(..surplus) {
            if !history.rolling_summary.is_empty() {
                history.rolling_summary.push('\n');
            }
            history.rolling_summary.push_str(&shorten(&old));
        }
        while history.rolling_summary.chars().count() > self.summary_chars {
            // Whole lines go, oldest first; a single line is shorter than any sensible limit.
            match history.rolling_summary.find('\n') {
                Some(end) => drop(history.rolling_summary.drain(..=end)),
                None => history.rolling_summary.clear(),
            }
        }
    }

    /// Entities by rule: `name`, `phone` (masked), `level` and `interest`. The last word on each wins.
    fn learn(&self, history: &mut History, question: &str) {
        let asked = words(question);
        let mut keep = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                history.entity_memory.insert(name.to_owned(), Value::String(value));
            }
        };
        keep("name", name(question));
        keep("phone", Phone::find(question).map(|phone| phone.masked()));
        keep("level", level(&asked));
        let interest = self.interests.iter().rev().find(|interest| contains(&asked, &words(interest)));
        keep("interest", interest.map(|interest| interest.to_string()));
    }
}

impl Default for Folding {
    fn default() -> Self {
        Self { recent_turns: 6, turn_chars: 4_000, summary_chars: 2_000, interests: Arc::from([]) }
    }
}

fn shorten(turn: &Turn) -> String {
    let first = |text: &str, most| {
        let line = text.split(['\n', '\r']).find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        cut(&masking::text(line), most)
    };
    format!("- {} → {}", first(&turn.question, SUMMARY_QUESTION), first(&turn.answer, SUMMARY_ANSWER))
}

fn cut(text: &str, most: usize) -> Arc<str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// True when `part` is in `all`, in order and together.
fn contains(all: &[String], part: &[String]) -> bool {
    !part.is_empty() && all.windows(part.len()).any(|window| window == part)
}

/// The words after "my name is" or "tôi tên là" and their like, up to the first that is not a name: names begin with a
/// capital letter.
fn name(question: &str) -> Option<String> {
    const LEADS: [&[&str]; 6] = [
        &["my", "name", "is"],
        &["toi", "ten", "la"],
        &["ten", "toi", "la"],
        &["em", "ten", "la"],
        &["minh", "ten", "la"],
        &["ten", "minh", "la"],
    ];
    let typed: Vec<&str> = question.split_whitespace().collect();
    let folded: Vec<String> = typed.iter().map(|word| words(word).concat()).collect();
    let after = LEADS.iter().find_map(|lead| {
        let at = folded.windows(lead.len()).position(|window| window.iter().eq(lead.iter()))?;
        Some(at + lead.len())
    })?;
    let mut name = Vec::new();
    for word in typed.iter().skip(after).take(NAME_WORDS) {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        if !bare.chars().next().is_some_and(char::is_uppercase) {
            break;
        }
        name.push(bare);
        if !word.ends_with(bare) {
            break;
        }
    }
    (!name.is_empty()).then(|| name.join(" "))
}

/// A language level: `A1` to `C2`, or a score after the name of a test ("IELTS 6.5", "TOEIC 700").
fn level(asked: &[String]) -> Option<String> {
    let test = asked.windows(2).rev().find_map(|pair| {
        let [test, score] = pair else { return None };
        let known = matches!(test.as_str(), "ielts" | "toeic" | "toefl" | "band");
        (known && score.parse::<f32>().is_ok()).then(|| format!("{} {score}", test.to_uppercase()))
    });
    let grade = || {
        let grade = asked.iter().rev().find(|word| matches!(word.as_bytes(), [b'a'..=b'c', b'1' | b'2']))?;
        Some(grade.to_uppercase())
    };
    test.or_else(grade)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::SessionId;
    use crate::tenant::TenantId;

    fn history() -> History {
        History::new(SessionId::generate(), TenantId::named("a"))
    }

    fn turn(question: &str, answer: &str) -> Turn {
        Turn { question: question.into(), answer: answer.into(), route: None, pending: None }
    }

    fn entity(question: &str, name: &str) -> Option<String> {
        let mut history = history();
        let interests = ["IELTS", "Giao tiếp"].map(Arc::from).into();
        Folding { interests, ..Folding::default() }.fold(&mut history, turn(question, "ok"));
        history.entity_memory.get(name).map(|value| value.as_str().unwrap().to_owned())
    }

    #[test]
    fn the_last_turns_stay_and_older_ones_are_shortened() {
        let mut history = history();
        let folding = Folding { recent_turns: 2, ..Folding::default() };
        for n in 0..4 {
            folding.fold(&mut history, turn(&format!("question {n}"), &format!("answer {n}\nmore")));
        }
        assert_eq!(
            history.recent_messages_buffer,
            [turn("question 2", "answer 2\nmore"), turn("question 3", "answer 3\nmore")]
        );
        assert_eq!(history.rolling_summary, "- question 0 → answer 0\n- question 1 → answer 1");
    }

    #[test]
    fn memory_is_bounded_however_long_the_conversation() {
        let mut history = history();
        let folding = Folding { recent_turns: 1, turn_chars: 50, summary_chars: 300, ..Folding::default() };
        for _ in 0..50 {
            folding.fold(&mut history, turn(&"ệ ".repeat(500), &"a ".repeat(5_000)));
        }
        assert!(history.rolling_summary.chars().count() <= 300);
        assert_eq!(history.recent_messages_buffer.len(), 1);
        assert_eq!(history.recent_messages_buffer[0].answer.chars().count(), 51);
    }

    #[test]
    fn people_are_known_by_what_they_say() {
        assert_eq!(
            entity("Chào bạn, tôi tên là Nguyễn Thị Lan, muốn học", "name").unwrap(),
            "Nguyễn Thị Lan"
        );
        assert_eq!(entity("my name is Ann and I like tea", "name").unwrap(), "Ann");
        assert_eq!(entity("my name is not important", "name"), None);
        assert_eq!(entity("em đang IELTS 5.5 muốn lên 6.5", "level").unwrap(), "IELTS 5.5");
        assert_eq!(entity("trình độ B1", "level").unwrap(), "B1");
        assert_eq!(entity("khóa giao tiếp giá bao nhiêu", "interest").unwrap(), "Giao tiếp");
        assert_eq!(entity("hello", "interest"), None);
    }

    #[test]
    fn phones_are_masked_before_they_are_kept_as_facts() {
        assert_eq!(entity("gọi 0912 345 123 nhé", "phone").unwrap(), "09****123");
        assert_eq!(entity("giá 5.000.000.000", "phone"), None);
        let mut history = history();
        let folding = Folding { recent_turns: 0, ..Folding::default() };
        folding.fold(&mut history, turn("gọi 0912345123", "đã ghi 0912345123, lan@example.com"));
        assert_eq!(history.rolling_summary, "- gọi 09****123 → đã ghi 09****123, l***@example.com");
    }
}
