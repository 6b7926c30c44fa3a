//! A follow-up without a model: the words that the turn before was about.

use unicode_segmentation::UnicodeSegmentation;

use crate::memory::History;
use crate::text::{cue, is_light, normalize, term_id};
use crate::words;

/// The most words that are added, and how many turns are looked back.
const MOST: usize = 8;
const TURNS: usize = 3;
/// A question of more words than this stands by itself, whatever it begins with.
const SHORT: usize = 12;

/// How a follow-up begins. Marks count: `thế` is no `the`.
const LEADS: &str = "and|but|so|or|then|also|what about|how about|what if|còn|thế|thế còn|vậy|vậy còn|và|y|et|und|e|и|а|\
     و|پس|那|那么|还有|でも|じゃあ|それで|그럼|그리고|แล้ว|और";
/// What stands for something said before, and what ends a follow-up in Vietnamese. Marks count in a single word (`đó` is no
/// `do`), and may be left out of a longer phrase.
const STANDS_FOR: &str = "it|its|they|them|their|that|this|those|these|he|she|him|her|one|ones|\
     nó|đó|ấy|này|kia|họ|thì sao|khoá đó|cái đó|ở đó|lớp đó|آن|این|او|它|他|她|这个|那个|这|それ|これ|その|그것|มัน|यह|वह|उस|इस|это|он|она|оно";

/// The question so that it can be searched for by itself: followed by the weighty words of what was asked before. None when
/// it can stand by itself already, or when nothing before it has a weighty word.
///
/// A question leans on the conversation when it has at most one word of weight ("The fee?", "học phí?"), begins like a
/// continuation ("And…", "còn…"), or is short and holds a word that stands for another ("How long is it?"). Scripts without
/// spaces go by length. The words come from the latest turn that stood by itself, of the last three; numbers of that turn are
/// left out where the question brings its own. Where no turn helps, the interest that memory keeps of a person does.
///
/// ```
/// use rag_tower::SessionId;
/// use rag_tower::memory::{History, Turn, standalone};
/// use rag_tower::TenantId;
///
/// let mut history = History::new(SessionId::generate(), TenantId::named("a"));
/// history.recent_messages_buffer.push(Turn {
///     question: "Học phí khoá IELTS 6.5 là bao nhiêu?".into(),
///     answer: "10.500.000 đồng. [1]".into(),
///     route: None,
///     pending: None,
/// });
/// let asked = standalone("còn lịch khai giảng thì sao?", &history);
/// assert_eq!(asked.as_deref(), Some("còn lịch khai giảng thì sao? (Học phí khoá IELTS 6.5)"));
/// assert_eq!(standalone("Trung tâm có dạy tiếng Anh thương mại cho doanh nghiệp không?", &history), None);
/// ```
#[must_use]
pub fn standalone(question: &str, history: &History) -> Option<String> {
    if !leans(question) {
        return None;
    }
    let asked: Vec<String> = words::words(question);
    let numbers = asked.iter().any(|word| word.contains(char::is_numeric));
    let new = |word: &String| {
        let folded = words::fold(word);
        let number = numbers && word.contains(char::is_numeric);
        !(number || asked.contains(&folded))
    };
    let turns = history.recent_messages_buffer.iter().rev().take(TURNS);
    let mut topic: Vec<String> = Vec::new();
    for turn in turns {
        topic = weighty(&turn.question);
        if !topic.is_empty() && !leans(&turn.question) {
            break;
        }
    }
    topic.retain(new);
    topic.truncate(MOST);
    if topic.is_empty() {
        topic.extend(
            history.entity_memory.get("interest").and_then(|interest| interest.as_str()).map(str::to_owned),
        );
        topic.retain(new);
    }
    (!topic.is_empty()).then(|| format!("{question} ({})", topic.join(" ")))
}

/// True when a question cannot be understood without what came before.
fn leans(question: &str) -> bool {
    let normal = normalize(question);
    let words = words::words(question);
    let begins = |lead: &str| {
        let rest = normal.trim_start().strip_prefix(normalize(lead).as_str());
        rest.is_some_and(|rest| {
            lead.starts_with(is_unspaced) || rest.starts_with(|c: char| !c.is_alphanumeric())
        })
    };
    let holds = |phrase: &str| match phrase.split_once(' ') {
        Some(_) => {
            let phrase = words::words(phrase);
            words.windows(phrase.len()).any(|window| window == phrase)
        }
        None if phrase.starts_with(is_unspaced) => normal.contains(phrase),
        None => normal.unicode_words().any(|word| word == normalize(phrase)),
    };
    let short = words.len() <= SHORT;
    let weighty = weighty(question);
    let few = match weighty.as_slice() {
        [] => true,
        [one] => one.chars().count() <= if one.starts_with(is_unspaced) { 4 } else { 24 },
        // Two syllables are one word of Vietnamese.
        [_, _] => {
            words.len() <= 3
                && question
                    .chars()
                    .any(|c| matches!(c, '\u{1ea0}'..='\u{1ef9}' | 'đ' | 'ơ' | 'ư' | 'í' | 'ì'))
        }
        _ => false,
    };
    few || (short && (LEADS.split('|').any(begins) || STANDS_FOR.split('|').any(holds)))
}

/// The words of a question that say what it is about, as they were written, in order, each once.
fn weighty(question: &str) -> Vec<String> {
    let asking = cue(question).asking;
    let mut found: Vec<String> = Vec::new();
    for word in runs(question) {
        let normal = normalize(word);
        let term = term_id(&normal);
        let names = word.starts_with(char::is_uppercase) && !normal.is_ascii();
        let stands_for = !names && STANDS_FOR.split('|').chain(LEADS.split('|')).any(|known| known == normal);
        if asking.contains(&term) || is_light(term) || stands_for || found.iter().any(|had| had == word) {
            continue;
        }
        found.push(word.to_owned());
    }
    found
}

/// The words of a text; a run of a script that does not part its words is one.
fn runs(text: &str) -> Vec<&str> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (start, word) in text.unicode_word_indices() {
        let end = start + word.len();
        match runs.last_mut() {
            Some((from, to))
                if *to == start
                    && word.starts_with(is_unspaced)
                    && text[*from..].starts_with(is_unspaced) =>
            {
                *to = end;
            }
            _ => runs.push((start, end)),
        }
    }
    runs.into_iter().filter_map(|(from, to)| text.get(from..to)).collect()
}

fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::SessionId;
    use crate::memory::Turn;
    use crate::tenant::TenantId;

    fn after(turns: &[&str]) -> History {
        let mut history = History::new(SessionId::generate(), TenantId::named("a"));
        history.recent_messages_buffer = turns
            .iter()
            .map(|question| Turn {
                question: (*question).into(),
                answer: "x".into(),
                route: None,
                pending: None,
            })
            .collect();
        history
    }

    #[test]
    fn follow_ups_get_the_topic_of_the_turn_before() {
        for (before, question, expected) in [
            (
                &["How much is the pottery course?"][..],
                "And the timetable?",
                "And the timetable? (pottery course)",
            ),
            (&["How much is the pottery course?"], "How long is it?", "How long is it? (pottery course)"),
            (&["How much is the pottery course?", "And the timetable?"], "Where?", "Where? (pottery course)"),
            (
                &["When does the 7.40 boat to Skerry leave?"],
                "And the 9.15?",
                "And the 9.15? (boat Skerry leave)",
            ),
            (
                &["Khoá gốm cho trẻ em có những gì?"],
                "còn học phí thì sao?",
                "còn học phí thì sao? (Khoá gốm trẻ)",
            ),
            (&["Khoá gốm cho trẻ em có những gì?"], "học phí?", "học phí? (Khoá gốm trẻ)"),
            (&["Khoá gốm mở khi nào?"], "con hoc phi thi sao", "con hoc phi thi sao (Khoá gốm mở)"),
            (&["陶艺课程在三楼上课"], "学费？", "学费？ (陶艺课程在三楼上课)"),
        ] {
            assert_eq!(standalone(question, &after(before)).as_deref(), Some(expected), "{question}");
        }
    }

    #[test]
    fn questions_that_stand_by_themselves_are_left_alone() {
        let history = after(&["How much is the pottery course?"]);
        for question in [
            "What are the opening hours of the library?",
            "How much is a weekend ticket for the museum?",
            "What do you charge for a locker, no receipt needed?",
            "The swimming pool is open on which days?",
            "Is there free parking at the west gate?",
            "Trung tâm mở cửa lúc mấy giờ vào chủ nhật?",
            "图书馆星期天几点开门关门？",
        ] {
            assert_eq!(standalone(question, &history), None, "{question}");
        }
        assert_eq!(standalone("And the fee?", &after(&[])), None);
        assert_eq!(standalone("And the fee?", &after(&["And?"])), None);
    }

    #[test]
    fn what_a_person_is_interested_in_helps_where_no_turn_does() {
        let mut history = after(&["ok"]);
        history.recent_messages_buffer.clear();
        history.entity_memory.insert("interest".into(), "Pottery".into());
        assert_eq!(standalone("And the fee?", &history).as_deref(), Some("And the fee? (Pottery)"));
    }
}
