//! What a question about fees asks for besides the course.

use super::quote::{Payment, Wishes};
use super::text::{find, words};
use crate::tenant_data::TenantData;

/// The most learners that are reckoned for; a larger figure is taken for something else.
const MAX_LEARNERS: u32 = 500;

/// Words after a figure that make it a number of learners.
const LEARNERS: [&[&str]; 34] = [
    &["nguoi"],
    &["hoc", "vien"],
    &["hoc", "sinh"],
    &["sinh", "vien"],
    &["ban"],
    &["be"],
    &["con"],
    &["chau"],
    &["em"],
    &["dua"],
    &["vo", "chong"],
    &["anh", "em"],
    &["chi", "em"],
    &["anh", "chi", "em"],
    &["me", "con"],
    &["bo", "con"],
    &["people"],
    &["persons"],
    &["person"],
    &["learners"],
    &["learner"],
    &["students"],
    &["student"],
    &["children"],
    &["child"],
    &["kids"],
    &["kid"],
    &["siblings"],
    &["brothers"],
    &["sisters"],
    &["friends"],
    &["adults"],
    &["of", "us"],
    &["pupils"],
];
/// Words before a figure that make it a number of learners.
const FOR: [&[&str]; 7] =
    [&["group", "of"], &["nhom"], &["cho"], &["for"], &["party", "of"], &["team", "of"], &["us"]];
/// Words after a figure that make it a number of parts to pay in.
const PARTS: [&[&str]; 8] =
    [&["dot"], &["lan"], &["ky"], &["instalments"], &["installments"], &["parts"], &["payments"], &["times"]];
/// Words that ask for paying in parts.
const IN_PARTS: [&[&str]; 8] = [
    &["tra", "gop"],
    &["nhieu", "dot"],
    &["tung", "dot"],
    &["chia", "dot"],
    &["instalments"],
    &["installments"],
    &["instalment"],
    &["installment"],
];
/// Words that deny what follows them.
const NOT: [&str; 7] = ["khong", "chua", "without", "no", "not", "bo", "excluding"];
/// Words that may stand between them.
const BETWEEN: [&str; 12] = ["phai", "la", "the", "a", "an", "any", "in", "co", "dung", "ap", "tinh", "can"];

/// Reads learners, discounts and the way of paying from a question's words. `taken` marks the words that name a course.
pub(super) fn wishes(data: &TenantData, asked: &[String], taken: &[bool]) -> Wishes {
    let claimed = data.discounts.iter().enumerate().filter(|(_, discount)| {
        discount
            .names
            .iter()
            .map(|name| words(name))
            .filter(|name| !name.is_empty())
            .any(|name| find(asked, &name).any(|at| !denied(&asked[..at])))
    });
    Wishes {
        claimed: claimed.map(|(place, _)| place).collect(),
        learners: learners(asked, taken),
        payment: payment(asked, taken),
    }
}

fn denied(before: &[String]) -> bool {
    let mut words = before.iter().rev().map(String::as_str).skip_while(|word| BETWEEN.contains(word));
    words.next().is_some_and(|word| NOT.contains(&word))
}

fn learners(asked: &[String], taken: &[bool]) -> Option<u32> {
    // The last one counts: what is said later in a conversation replaces what was said before.
    figures(asked, taken)
        .filter(|(at, _)| starts_with_any(&asked[at + 1..], &LEARNERS))
        .last()
        .or_else(|| {
            figures(asked, taken)
                .filter(|(at, _)| {
                    // "for two" ends there: "for two courses" is about something else.
                    let after = asked.get(at + 1);
                    let alone = after.is_none_or(|word| {
                        matches!(word.as_str(), "thi" | "hoc" | "in" | "the" | "and" | "with")
                    });
                    let grouped = ends_with_any(&asked[..*at], &FOR[..2]);
                    ends_with_any(&asked[..*at], &FOR) && (alone || grouped)
                })
                .last()
        })
        .map(|(_, figure)| figure)
}

fn payment(asked: &[String], taken: &[bool]) -> Payment {
    let wanted = figures(asked, taken)
        .filter(|(at, figure)| (2..=24).contains(figure) && starts_with_any(&asked[at + 1..], &PARTS))
        .last()
        .map(|(_, figure)| figure);
    let asks = IN_PARTS.iter().any(|phrase| {
        let phrase: Vec<String> = phrase.iter().map(|word| (*word).to_owned()).collect();
        find(asked, &phrase).any(|at| !denied(&asked[..at]))
    });
    if wanted.is_some() || asks { Payment::Parts(wanted) } else { Payment::Full }
}

/// Whole numbers from 1 and where they stand, written as figures or as words.
fn figures<'a>(asked: &'a [String], taken: &'a [bool]) -> impl Iterator<Item = (usize, u32)> + 'a {
    let free = move |at: &usize| !taken.get(*at).copied().unwrap_or(false);
    (0..asked.len()).filter(free).filter_map(|at| Some((at, figure(&asked[at])?)))
}

fn figure(word: &str) -> Option<u32> {
    let figure = match word {
        "mot" | "one" => 1,
        "hai" | "doi" | "two" | "both" | "couple" => 2,
        "ba" | "three" => 3,
        "bon" | "tu" | "four" => 4,
        "nam" | "five" => 5,
        "sau" | "six" => 6,
        "bay" | "seven" => 7,
        "tam" | "eight" => 8,
        "chin" | "nine" => 9,
        "muoi" | "ten" => 10,
        _ => word.parse().ok()?,
    };
    (1..=MAX_LEARNERS).contains(&figure).then_some(figure)
}

fn starts_with_any(words: &[String], phrases: &[&[&str]]) -> bool {
    phrases.iter().any(|phrase| words.len() >= phrase.len() && words.iter().zip(*phrase).all(|(a, b)| a == b))
}

fn ends_with_any(words: &[String], phrases: &[&[&str]]) -> bool {
    phrases.iter().any(|phrase| {
        words.len() >= phrase.len()
            && words[words.len() - phrase.len()..].iter().zip(*phrase).all(|(a, b)| a == b)
    })
}

#[cfg(test)]
mod tests {
    use super::super::courses::mentions;
    use super::super::testing::centre;
    use super::*;

    fn read(question: &str) -> (Option<u32>, Vec<String>, Payment) {
        let data = centre();
        let asked = words(question);
        let wishes = wishes(&data, &asked, &mentions(&data, &asked).taken);
        let claimed = wishes.claimed.iter().map(|claimed| data.discounts[*claimed].id.clone()).collect();
        (wishes.learners, claimed, wishes.payment)
    }

    #[test]
    fn learners_are_counted() {
        for (question, learners) in [
            ("Học phí IELTS 6.5 là bao nhiêu?", None),
            ("IELTS 6.5 cho 2 người", Some(2)),
            ("hai be hoc starters tong cong het bao nhieu", Some(2)),
            ("Nhóm 3 người học giao tiếp", Some(3)),
            ("nhom ba hoc giao tiep", Some(3)),
            ("Price of business English for a group of three", Some(3)),
            ("What is the total for two children in Flyers?", Some(2)),
            ("for 4 people", Some(4)),
            ("the three of us", Some(3)),
            ("and for two?", Some(2)),
            ("for two courses", None),
            ("Con tôi 7 tuổi học Movers", None),
            ("IELTS 6.5 và IELTS 7.0", None),
            ("học kèm 1-1 bao nhiêu một gói", None),
            ("100000 people", None),
            ("cả hai vợ chồng em", Some(2)),
        ] {
            assert_eq!(read(question).0, learners, "{question}");
        }
    }

    #[test]
    fn discounts_are_claimed_and_denied() {
        for (question, claimed) in [
            ("tinh giup em hoc phi ielts 7.0 neu dang ky som", &["early-bird"][..]),
            ("How much is IELTS 6.5 with the early-bird discount?", &["early-bird"]),
            ("em la sinh vien hoc toeic 650", &["student"]),
            ("Hai bé cùng học Movers", &["sibling"]),
            ("IELTS 6.5 early bird with a student card", &["early-bird", "student"]),
            ("Học viên cũ đăng ký IELTS 5.5", &["returning"]),
            ("conversation class as a former student", &["returning"]),
            ("IELTS 6.5 without early bird", &[]),
            ("không đăng ký sớm thì IELTS 6.5 bao nhiêu", &[]),
            ("em không phải là sinh viên", &[]),
        ] {
            assert_eq!(read(question).1, claimed, "{question}");
        }
    }

    #[test]
    fn paying_in_parts_is_heard() {
        for (question, payment) in [
            ("IELTS 6.5", Payment::Full),
            ("IELTS 6.5 trả góp được không", Payment::Parts(None)),
            ("IELTS 6.5 đóng 2 đợt", Payment::Parts(Some(2))),
            ("ielts 7.0 chia ba lan", Payment::Parts(Some(3))),
            ("IELTS 7.0 in three instalments", Payment::Parts(Some(3))),
            ("IELTS 7.0 in installments", Payment::Parts(None)),
            ("IELTS 7.0 pay in two parts", Payment::Parts(Some(2))),
            ("IELTS 7.0 không trả góp", Payment::Full),
        ] {
            assert_eq!(read(question).2, payment, "{question}");
        }
    }
}
