//! A question to what kind of answer it asks for, and which of its words ask rather than name.

use std::collections::HashSet;
use std::sync::LazyLock;

use unicode_segmentation::UnicodeSegmentation;

use super::normalize;
use super::terms::{Form, each_term, term_id};
use crate::words;

/// What an answer to the question holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A number, a date or a time.
    Number,
    /// The name of somebody or of somewhere.
    Name,
    /// Nothing in particular.
    Anything,
}

/// What a question asks for.
pub(crate) struct Cue {
    pub(crate) wanted: Wanted,
    /// Terms that ask, such as those of "how many": a passage that holds them is no better for it.
    pub(crate) asking: HashSet<u32>,
}

/// The words that ask for each kind, in languages that people write to us in; a question in another language is weighed
/// without. The first kind of which a phrase is there is the kind asked for.
const ASKING: [(Wanted, &str); 5] = [
    (
        Wanted::Number,
        "how many|how much|how long|how old|how often|how far|how high|how tall|how large|how big|what percentage\
         |what percent|what number|what amount|what age|what year|which year\
         |bao nhiêu|bao lâu|bao xa|mấy|mấy giờ|năm nào|ngày nào\
         |چند|چقدر|چه تعداد|چه مقدار|چه مدت|چندم|چه سالی\
         |cuántos|cuántas|cuánto|cuánta|wie viele|wie viel|wieviele|wieviel|wie lange|wie hoch|wie oft|wie alt\
         |combien|quanti|quante|quanto|quantos|quantas|сколько|πόσο|πόσα|πόσοι|πόσες|πόσους|πόση|πόσος\
         |كم|कितने|कितनी|कितना|kaç|ne kadar|câți|câte|cât|berapa\
         |多少|几|多大|多长|多久|多高|哪一年|哪年|几点|幾|いくつ|いくら|몇|얼마|เท่าไร|เท่าใด|เท่าไหร่|กี่|ปีใด|ปีไหน",
    ),
    (
        Wanted::Number,
        "when|what date|what day|what month|what time|what century|khi nào|bao giờ|lúc nào|tháng nào|hồi nào\
         |کی|چه زمانی|چه وقت|چه تاریخی|کدام سال\
         |cuándo|wann|quand|quando|когда|πότε|متى|कब|ne zaman|când|kapan|什么时候|何时|いつ|언제|เมื่อไร|เมื่อใด|เมื่อไหร่",
    ),
    (
        Wanted::Name,
        "who|whom|whose|where|ai|của ai|ở đâu|nơi nào|đâu|چه کسی|چه کسانی|کجا|کجاست|کیست\
         |quién|quiénes|dónde|wer|wen|wem|wo|wohin|qui|où|dove|quem|onde|кто|кого|кем|где|куда\
         |ποιος|ποια|ποιοι|πού|من|أين|कौन|किसने|किसे|कहाँ|कहां|kim|kimin|nerede|cine|unde|siapa|di mana\
         |谁|哪里|哪儿|在哪|誰|どこ|누구|어디|ใคร|ที่ไหน",
    ),
    (
        Wanted::Anything,
        "why|tại sao|vì sao|sao lại|چرا|به چه دلیل|por qué|warum|weshalb|pourquoi|perché|por que|почему|зачем|γιατί\
         |لماذا|क्यों|neden|niçin|de ce|mengapa|kenapa|为什么|为何|なぜ|왜|ทำไม",
    ),
    (
        Wanted::Anything,
        "what|which|how|gì|cái gì|những gì|nào|như thế nào|thế nào|ra sao\
         |چه|چیست|چی|چیه|کدام|کدوم|چگونه|چطور|چه چیزی\
         |qué|cuál|cuáles|cómo|welche|welcher|welches|welchen|wie|que|quoi|quel|quelle|quels|quelles|comment\
         |che|cosa|quale|quali|qual|quais|o que|что|какой|какая|какие|каком|какую|чем|как|τι|ποιο|πώς\
         |ما|ماذا|أي|كيف|هل|क्या|किस|कैसे|hangi|nasıl|apa|bagaimana\
         |什么|哪些|哪个|怎么|怎样|如何|何|どの|どんな|どう|무엇|어떤|어떻게|อะไร|อย่างไร|ไหน",
    ),
];

/// Words that hold a sentence together, in the same languages. In a handful of passages such a word can be as rare as
/// the one that matters, which their statistics alone cannot tell.
const LIGHT: &str = "a an the is are was were be been am do does did have has had can could may might will would shall should \
    there here this that these those of in on at to for with from by about into and or but not no if as than then it its i \
    you he she we they me my your our their his her any some please tell \
    là có được không ở của cho và với các những một này đó thì mà để từ về trong khi bị đã đang sẽ cần tôi bạn mình em anh chị \
    tại hay hoặc nếu như theo cùng vào ra ạ nhé vậy ơi muốn xin hãy \
    است بود شد شده می های ها را به از در با که برای این آن و یا تا بر هم هر خود کرد کرده دارد داشت \
    el la los las un una de del en y o con por para es son fue ser está hay se su al como más \
    der die das ein eine einen den dem des und oder in im am an auf mit von zu zum zur für ist sind war wird hat es sich nicht \
    le les des du et ou dans sur avec pour par est sont a été il elle on se ce cette au aux pas \
    и в во на с со по к ко о об от до из за у не что это как был была были есть для или же \
    في من على إلى عن مع هذا هذه التي الذي كان كانت هو هي أن أو و \
    के का की को में से पर है हैं था थे थी और या यह वह ने एक भी लिए \
    ve ile bir bu şu için mi mı da de olarak var și sau cu din pe la un o care este sunt a fost\
    και ή το τα οι τον την του της των σε με για από είναι ήταν που";

static LIGHT_TERMS: LazyLock<HashSet<u32>> = LazyLock::new(|| {
    let mut terms = HashSet::new();
    for word in LIGHT.split_whitespace() {
        each_term(&normalize(word), |term, form| {
            terms.extend((form == Form::Written).then(|| term_id(term)));
        });
    }
    terms
});

/// True for a word that holds a sentence together and says little itself.
pub(crate) fn is_light(term: u32) -> bool {
    LIGHT_TERMS.contains(&term)
}

/// A phrase that asks, and the ids of its terms.
struct Phrase {
    wanted: Wanted,
    /// For a script that separates words: one word as it is written, several without their diacritics, since a single
    /// short word without them is too often another word ("mấy", "may").
    words: Vec<String>,
    /// For a script that does not.
    run: Option<String>,
    terms: Vec<u32>,
}

static PHRASES: LazyLock<Vec<Phrase>> = LazyLock::new(|| {
    let phrases = |(wanted, list): &(Wanted, &'static str)| {
        let wanted = *wanted;
        list.split('|').map(move |phrase| Phrase::new(wanted, phrase))
    };
    ASKING.iter().flat_map(phrases).collect()
});

/// What a question asks for.
pub(crate) fn cue(question: &str) -> Cue {
    let normal = normalize(question);
    let written = asking_words(question);
    let folded: Vec<String> = written.iter().map(|word| words::fold(word)).collect();
    let mut cue = Cue { wanted: Wanted::Anything, asking: HashSet::new() };
    for phrase in PHRASES.iter().filter(|phrase| phrase.is_in(&written, &folded, &normal)) {
        if cue.wanted == Wanted::Anything {
            cue.wanted = phrase.wanted;
        }
        cue.asking.extend(&phrase.terms);
    }
    cue
}

/// The question's words; one that is written as a name or an abbreviation ("AI", "Kim") asks nothing and is left empty.
fn asking_words(question: &str) -> Vec<String> {
    let shouted = !question.chars().any(char::is_lowercase);
    let asking = |(at, word): (usize, &str)| {
        let abbreviation = word.chars().nth(1).is_some() && !word.chars().any(|c| !c.is_uppercase());
        let name = at > 0 && word.starts_with(char::is_uppercase);
        if (abbreviation || name) && !shouted { String::new() } else { normalize(word) }
    };
    question.unicode_words().enumerate().map(asking).collect()
}

// === impl Phrase ===

impl Phrase {
    fn new(wanted: Wanted, phrase: &str) -> Self {
        let normal = normalize(phrase);
        let mut terms = Vec::new();
        each_term(&normal, |term, _| terms.push(term_id(term)));
        let unspaced = |c: char| matches!(c, '\u{e00}'..='\u{e7f}' | '\u{3041}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}');
        let run = normal.starts_with(unspaced).then(|| normal.clone());
        let words = if normal.contains(' ') { words::words(&normal) } else { vec![normal] };
        Self { wanted, words, run, terms }
    }

    fn is_in(&self, written: &[String], folded: &[String], normal: &str) -> bool {
        match (&self.run, self.words.as_slice()) {
            (Some(run), _) => normal.contains(run),
            (None, [word]) => written.contains(word),
            (None, words) => folded.windows(words.len()).any(|window| window == words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_asked_for_in_any_language() {
        for (question, wanted) in [
            ("How many students are in a class?", Wanted::Number),
            ("Học phí bao nhiêu?", Wanted::Number),
            ("hoc phi bao nhieu", Wanted::Number),
            ("کلاس چند نفر دارد؟", Wanted::Number),
            ("一个班多少人？", Wanted::Number),
            ("มีนักเรียนกี่คน", Wanted::Number),
            ("Когда открывается центр?", Wanted::Number),
            ("Ai dạy lớp này?", Wanted::Name),
            ("Where is the desk?", Wanted::Name),
            ("WHERE IS THE DESK?", Wanted::Name),
            ("What is AI?", Wanted::Anything),
            ("AI là gì?", Wanted::Anything),
            ("May I pay later?", Wanted::Anything),
        ] {
            assert_eq!(cue(question).wanted, wanted, "{question}");
        }
    }

    #[test]
    fn words_that_ask_are_told_from_words_that_name() {
        let asking = cue("How many students know Kim?").asking;
        assert!(asking.contains(&term_id("how")) && asking.contains(&term_id("many")));
        assert!(!asking.contains(&term_id("kim")) && !asking.contains(&term_id("students")));
    }
}
