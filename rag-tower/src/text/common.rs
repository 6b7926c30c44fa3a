//! A text in, which of its words are mostly grammar out.

use std::collections::HashMap;
use std::sync::OnceLock;

use unicode_segmentation::UnicodeSegmentation;

use super::fold;

/// The function and question words of the language that a text seems to be in.
///
/// A question's "what" and "how many" stand in few passages, so the statistics of the passages take them for weighty
/// words. They are told apart by lists, a few dozen words a language, and the language by whose list meets the text most
/// often: `war` is grammar in German only. A language without a list keeps all its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Common {
    languages: u32,
}

/// Ask for something in a script that parts no words: Chinese, Japanese, Thai.
const QUESTIONS: [&str; 46] = [
    "什么",
    "什麼",
    "多少",
    "哪里",
    "哪裡",
    "哪个",
    "哪個",
    "哪些",
    "哪一",
    "哪",
    "谁",
    "誰",
    "为什么",
    "為什麼",
    "怎么",
    "怎麼",
    "如何",
    "何时",
    "何時",
    "几个",
    "幾個",
    "吗",
    "嗎",
    "呢",
    "请问",
    "なに",
    "何ですか",
    "ですか",
    "いくら",
    "いくつ",
    "どこ",
    "どの",
    "だれ",
    "どう",
    "いつ",
    "なぜ",
    "อะไร",
    "ที่ไหน",
    "เมื่อไร",
    "เมื่อใด",
    "ใคร",
    "อย่างไร",
    "เท่าไร",
    "เท่าไหร่",
    "เท่าใด",
    "ทําไม",
];

/// The lists, one language each. Vietnamese and others also hold without their marks.
const LISTS: [&str; 18] = [
    // en
    "the of and a an in to is was were are be been being by for on with at from as that this these those it its \
         his her their he she they we you i which who whom whose what when where why how many much do does did has have had \
         can could will would should may might there or not but if than then into about after before during between \
         also such other some any all no more most only over under out up so both each per name give tell me us my our \
         your please kind type",
    // de
    "der die das des dem den ein eine einer eines einem einen und oder aber in im ins an am auf aus bei mit nach von \
         vom zu zum zur für durch über unter vor zwischen um gegen ohne bis ist sind war waren wird werden wurde wurden \
         sein seine seiner hat haben hatte hatten kann können nicht auch als wie wer wen wem wessen was wann wo wohin \
         warum wieso weshalb welche welcher welches welchem welchen wie viel viele es er sie wir ihr ihre dass sich so \
         man nur noch wenn dann dieser diese dieses",
    // es
    "el la los las lo un una unos unas de del al a y e o u en por para con sin sobre entre desde hasta que qué quién \
         quiénes cuál cuáles cuándo cuánto cuánta cuántos cuántas dónde cómo por qué es son era eran fue fueron ser está \
         están ha han había se su sus le les no más como pero si también este esta estos estas ese esa eso donde cuando \
         según durante tras qué hay tiene",
    // fr
    "le la les l un une des du de d à au aux et ou en dans par pour avec sans sur sous entre vers chez que qu qui quoi \
         quel quelle quels quelles quand où comment combien pourquoi est sont était étaient être été a ont avait il elle \
         ils elles on nous vous je ce cet cette ces se s son sa ses leur leurs ne n pas plus mais comme si c y t",
    // it
    "il lo la i gli le l un uno una di del dello della dei degli delle a al allo alla ai agli alle da dal dalla in nel \
         nella con su sul sulla per tra fra e o ma che chi cosa quale quali quando dove come quanto quanta quanti quante \
         perché è sono era erano essere stato ha hanno aveva si suo sua suoi non più anche questo questa",
    // pt
    "o a os as um uma uns umas de do da dos das em no na nos nas por pelo pela para com sem sobre entre até e ou mas \
         que quem qual quais quando onde como quanto quanta quantos quantas porque é são era eram foi foram ser está estão \
         ha há tem se seu sua seus suas não mais também este esta isso ao à",
    // ro
    "și si sau dar în in la de din pe cu pentru prin după către între sub peste fără până un o unui unei unor niște al \
         a ai ale cel cea cei cele este sunt era erau fi fost a au are avea avut fost va vor se s și-a lui ei lor său sa \
         care ce cine cui cât câtă câți câte când unde cum de ce nu mai ca că să acest această aceste acești",
    // nl
    "de het een en of maar in op aan bij met van voor door over onder tussen uit naar tot om te is zijn was waren wordt \
         worden werd werden heeft hebben had hadden kan kunnen niet ook als dan dat die dit deze wie wat wanneer waar \
         waarom hoe hoeveel welke welk er hij zij ze we wij je ik hun haar",
    // tr
    "ve veya ya da de ile için gibi kadar göre sonra önce bir bu şu o ne neden niçin niye nasıl nerede nereye nereden \
         kim kimin kime kimi hangi hangisi kaç ne kadar ne zaman mi mı mu mü midir mıdır mudur müdür dir dır dur dür olan \
         olarak oldu olduğu olduğunu idi ise değil en daha çok her onun onların tarafından nedir kimdir",
    // vi
    "là của và các những một cho trong với được có không này đó khi đã đang sẽ từ đến ở tại về theo như bởi vì do mà thì \
         cũng ra vào trên dưới sau trước nào gì ai đâu bao nhiêu mấy sao thế hay hoặc nhưng nếu để bị cái chiếc rằng hơn \
         nhất lại còn đây đấy ấy vậy hãy bằng giữa ngoài cùng",
    // id
    "yang dan di ke dari untuk pada dengan dalam oleh adalah ialah itu ini atau tidak akan telah sudah sebagai juga apa \
         siapa kapan mana dimana bagaimana berapa mengapa kenapa apakah para ada saat karena",
    // pl
    "i w we z ze na do od po za o u przez dla przy pod nad między jest są był była było były być ma miał nie się to ten \
         ta te tego tej tym co kto kogo kim jaki jaka jakie jakich kiedy gdzie jak ile dlaczego który która które których \
         oraz lub ale że czy jego jej ich",
    // ru
    "и в во на с со к ко о об от до из у за по под над при для без через между а но или не ни что кто кого кому кем чем \
         чего чему какой какая какое какие каких каким какую каком который которая которое которые которых когда где куда \
         откуда как сколько почему зачем чей это этот эта эти этого был была было были быть есть является являются его её \
         ее их он она они оно мы вы я ли же бы так также то том тот та те",
    // el
    "ο η το οι τα του της των τον την τους τις ένας μια μία ένα και ή αλλά σε στο στη στην στον στους στις στα από με \
         για προς ως κατά μετά πριν μεταξύ χωρίς που ποιος ποια ποιο ποιοι ποιες ποιον ποιου τι πότε πού πως πώς πόσο πόση \
         πόσα πόσοι πόσες γιατί είναι ήταν είχε έχει έχουν να θα δεν μην ότι αυτό αυτή αυτός όπως",
    // ar
    "في من إلى على عن مع بين حتى منذ خلال بعد قبل عند التي الذي الذين هذا هذه ذلك تلك هو هي هم كان كانت يكون تكون كانوا \
         ما ماذا من متى أين كيف كم لماذا أي أية هل لم لا لن أن إن أو ثم و قد كما به بها له لها لهم فيه فيها منه منها وهو \
         وهي ولم ومن وفي ما هي ما هو بم لمن",
    // fa
    "در از به با را که این آن برای تا بر و یا یک است بود هست شد شده می نمی ها های هم نیز اما اگر چه چی چیست کیست کی \
         کدام کجا کجاست چند چقدر چگونه چطور چرا آیا هر بین پس پیش ای اش شود کرد کرده دارد داشت بوده باشد او آنها نام",
    // hi
    "का की के को में से पर और या एक है हैं था थी थे हो होता होती होते हुआ हुई हुए गया गई गए ने तक भी ही तो कि जो जिस जिसे \
         यह ये वह वे इस उस इन उन क्या कौन किस किसने किसे किसको किसका किसकी किसके किन कब कहाँ कहां कैसे कितना कितनी कितने क्यों \
         कौनसा कौनसी लिए साथ द्वारा करने करता करते करना किया कर नहीं अपने रहा रही रहे",
    // uk
    "і й та в у на з із зі до від по за про для при під над між що хто кого кому ким який яка яке які яких якій коли де \
         куди звідки як скільки чому чи не є був була було були бути це цей ця ці його її їх він вона вони або але також",
];

/// The place of Vietnamese among them.
const VIETNAMESE: usize = 9;

// === impl Common ===

impl Common {
    /// For a normalised text.
    pub(crate) fn of(text: &str) -> Self {
        let mut counts = [0_u32; LISTS.len()];
        for word in text.unicode_words() {
            let languages = words().get(word).copied().unwrap_or(0);
            let languages = languages | (u32::from(word.chars().any(is_vietnamese)) << VIETNAMESE);
            for (at, count) in counts.iter_mut().enumerate() {
                *count += (languages >> at) & 1;
            }
        }
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        let best = counts.iter().enumerate().filter(|(_, count)| **count == most);
        Self { languages: best.fold(0, |languages, (at, _)| languages | (1 << at)) }
    }

    /// True for a normalised word that is mostly grammar.
    pub(crate) fn holds(self, word: &str) -> bool {
        words().get(word).is_some_and(|languages| languages & self.languages != 0)
    }

    /// True when the text seems to be Vietnamese.
    pub(crate) fn is_vietnamese(self) -> bool {
        (self.languages >> VIETNAMESE) & 1 == 1
    }
}

/// The phrases that ask for something in a script that parts no words, of those that the text holds.
pub(super) fn asking(text: &str) -> impl Iterator<Item = &'static str> {
    QUESTIONS.iter().copied().filter(move |phrase| text.contains(phrase))
}

/// Letters with two marks, or a dot below or a hook above: no other language writes them.
fn is_vietnamese(c: char) -> bool {
    matches!(c, '\u{1ea0}'..='\u{1ef9}' | 'ơ' | 'ư')
}

/// Normalised words, with and without their marks, and a bit for each list that has them.
fn words() -> &'static HashMap<String, u32> {
    static WORDS: OnceLock<HashMap<String, u32>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let mut words = HashMap::<String, u32>::new();
        for (at, list) in LISTS.iter().enumerate() {
            for word in super::normalize(list).split_whitespace() {
                for form in [Some(word.to_owned()), fold(word)].into_iter().flatten() {
                    *words.entry(form).or_default() |= 1 << at;
                }
            }
        }
        words
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_decides_what_is_grammar() {
        let german = Common::of("wann war die schlacht am see");
        assert!(german.holds("war") && german.holds("wann") && !german.holds("schlacht"));
        let english = Common::of("when did the war at the lake begin");
        assert!(!english.holds("war") && english.holds("when") && english.holds("the"));
        let bare = Common::of("hoc phi cua khoa nay la bao nhieu");
        assert!(bare.is_vietnamese() && bare.holds("bao") && !bare.holds("phi"));
        let none = Common::of("ielts 6.5");
        assert!(!none.holds("ielts") && !none.is_vietnamese());
    }

    #[test]
    fn questions_are_found_inside_a_run() {
        assert_eq!(asking("学费是多少").collect::<Vec<_>>(), ["多少"]);
        assert_eq!(asking("学费").count(), 0);
        assert!(QUESTIONS.iter().all(|phrase| super::super::normalize(phrase) == *phrase));
    }
}
