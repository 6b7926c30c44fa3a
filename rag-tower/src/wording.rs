//! What the stack itself says to people, in their language: when it does not know, does not deal with something, or
//! hands over.

use std::sync::Arc;

use crate::words::words;

/// The sentences of one language.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wording {
    /// Nothing fits the question.
    pub unknown: Arc<str>,
    /// What was searched: `{count}` stands for how many passages were looked at, `{titles}` for where the nearest are from.
    pub searched: Arc<str>,
    /// Nothing was found at all, so there is nothing to name.
    pub nothing: Arc<str>,
    /// Offers that a person answers.
    pub offer: Arc<str>,
    /// The question is not what this assistant is for.
    pub out_of_domain: Arc<str>,
    /// A person takes over.
    pub handoff: Arc<str>,
    /// No answer may be given now, for a reason that is not the person's to know.
    pub withheld: Arc<str>,
}

/// The wording for a question: Vietnamese for a Vietnamese question, English for any other, or one for all.
#[derive(Clone, Debug)]
pub struct Wordings {
    default: Wording,
    vietnamese: Option<Wording>,
}

// === impl Wording ===

impl Wording {
    /// English.
    #[must_use]
    pub fn english() -> Self {
        Self {
            unknown: "I don't know: the documents I may use do not answer this well enough.".into(),
            searched: "I looked at {count} passages; the nearest are in: {titles}.".into(),
            nothing: "I searched all documents and found nothing about it.".into(),
            offer: "Would you like a member of staff to answer? Leave a phone number and your question."
                .into(),
            out_of_domain: "I can only help with questions about our services. Please ask about those."
                .into(),
            handoff: "I am passing this to a member of staff, who will get back to you.".into(),
            withheld: "I cannot answer this right now. Please try again in a little while.".into(),
        }
    }

    /// Vietnamese.
    #[must_use]
    pub fn vietnamese() -> Self {
        Self {
            unknown: "Tôi chưa biết câu trả lời: các tài liệu tôi được dùng chưa trả lời đủ rõ câu hỏi này."
                .into(),
            searched: "Tôi đã xem {count} đoạn tài liệu; gần nhất là trong: {titles}.".into(),
            nothing: "Tôi đã tìm trong mọi tài liệu nhưng không thấy nội dung nào liên quan.".into(),
            offer: "Bạn có muốn nhân viên trả lời không? Hãy để lại số điện thoại và câu hỏi.".into(),
            out_of_domain:
                "Tôi chỉ hỗ trợ các câu hỏi về dịch vụ của chúng tôi. Bạn hãy hỏi về các dịch vụ đó nhé."
                    .into(),
            handoff: "Tôi chuyển câu hỏi này cho nhân viên, nhân viên sẽ liên hệ lại với bạn.".into(),
            withheld: "Hiện tôi chưa thể trả lời câu hỏi này. Bạn vui lòng thử lại sau ít phút.".into(),
        }
    }
}

// === impl Wordings ===

impl Wordings {
    /// This wording whatever the question's language.
    #[must_use]
    pub fn only(wording: Wording) -> Self {
        Self { default: wording, vietnamese: None }
    }

    /// The wording for a question's text.
    #[must_use]
    pub fn of(&self, question: &str) -> &Wording {
        self.vietnamese.as_ref().filter(|_| is_vietnamese(question)).unwrap_or(&self.default)
    }
}

impl Default for Wordings {
    fn default() -> Self {
        Self { default: Wording::english(), vietnamese: Some(Wording::vietnamese()) }
    }
}

/// True for a text with a letter that, among the languages written in Latin script, Vietnamese alone uses, and for one
/// typed without marks that asks in Vietnamese.
fn is_vietnamese(text: &str) -> bool {
    const ASKS: [[&str; 2]; 18] = [
        ["bao", "nhieu"],
        ["bao", "lau"],
        ["bao", "gio"],
        ["khi", "nao"],
        ["the", "nao"],
        ["nhu", "nao"],
        ["la", "gi"],
        ["cai", "gi"],
        ["o", "dau"],
        ["tai", "sao"],
        ["vi", "sao"],
        ["hoc", "phi"],
        ["khong", "a"],
        ["duoc", "khong"],
        ["thi", "sao"],
        ["may", "gio"],
        ["cho", "hoi"],
        ["nhung", "gi"],
    ];
    let marked = |c| matches!(c, 'ơ' | 'Ơ' | 'ư' | 'Ư' | 'đ' | 'Đ' | '\u{1ea0}'..='\u{1ef9}');
    text.contains(marked) || words(text).windows(2).any(|pair| ASKS.iter().any(|asks| pair == asks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_answered_in_their_language() {
        let wordings = Wordings::default();
        assert_eq!(wordings.of("Học phí bao nhiêu?"), &Wording::vietnamese());
        assert_eq!(wordings.of("hoc phi bao nhieu vay"), &Wording::vietnamese());
        assert_eq!(wordings.of("Où est le café ?"), &Wording::english());
        assert_eq!(Wordings::only(Wording::english()).of("Học phí"), &Wording::english());
    }
}
