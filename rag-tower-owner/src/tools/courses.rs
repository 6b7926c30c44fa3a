//! Which courses a question is about.

use std::collections::{BTreeMap, BTreeSet};

use super::text::{find, words};
use crate::tenant_data::{Course, TenantData};

/// Courses by their place in the tenant's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mentions {
    /// Those that are meant for certain, in the order in which they are named, each once.
    pub(super) found: Vec<usize>,
    /// Those between which the question does not tell: "IELTS" where there are four.
    pub(super) unclear: BTreeSet<usize>,
    /// Which words name a course, and so mean nothing else.
    pub(super) taken: Vec<bool>,
}

/// Stands between two questions of one matter; no question has it as a word.
pub(super) const NEXT: &str = "/";
/// Words between which a bare figure goes on with the course before: "IELTS 6.5 or 7".
const AND: [&str; 10] = ["va", "voi", "hay", "hoac", "and", "or", "vs", "versus", "to", "len"];
/// Words that may stand between a family and its figure: "IELTS band 6.5".
const BEFORE_FIGURE: [&str; 11] =
    [NEXT, "band", "target", "level", "khoa", "lop", "muc", "tieu", "trinh", "do", "score"];
/// Words after a figure that make it a count or an age.
const COUNTED: [&str; 16] = [
    "nguoi", "ban", "be", "con", "em", "chau", "tuoi", "dot", "lan", "buoi", "people", "learners",
    "students", "children", "kids", "years",
];
/// Levels of the Common European Framework.
const LEVELS: [&str; 6] = ["a1", "a2", "b1", "b2", "c1", "c2"];

/// The courses that a question's words name: by id, name or alias, the longest first; by a figure after a family that
/// several courses share ("IELTS 6.5 and 7.0"); by the family alone, which is unclear unless it is somebody's alias; and,
/// when nothing else tells, by a level ("B1").
pub(super) fn mentions(data: &TenantData, asked: &[String]) -> Mentions {
    let mut search = Search {
        data,
        asked,
        taken: vec![false; asked.len()],
        found: BTreeMap::new(),
        unclear: BTreeSet::new(),
    };
    let families = families(&data.courses);
    search.phrases(&families);
    search.figures(&families);
    search.families(&families);
    if search.found.is_empty() && search.unclear.is_empty() {
        search.levels();
    }
    let mut found = Vec::new();
    for course in search.found.into_values() {
        if !found.contains(&course) {
            found.push(course);
        }
    }
    Mentions { found, unclear: search.unclear, taken: search.taken }
}

struct Search<'a> {
    data: &'a TenantData,
    asked: &'a [String],
    taken: Vec<bool>,
    /// Place of the word to course.
    found: BTreeMap<usize, usize>,
    unclear: BTreeSet<usize>,
}

/// First words of English names that several courses share, with those courses.
type Families = BTreeMap<String, BTreeSet<usize>>;

fn families(courses: &[Course]) -> Families {
    let mut families = Families::new();
    for (course, name) in courses.iter().map(|course| words(&course.name_en)).enumerate() {
        if let [first, _, ..] = name.as_slice() {
            families.entry(first.clone()).or_default().insert(course);
        }
    }
    families.retain(|_, courses| courses.len() > 1);
    families
}

/// What a course is called.
fn phrases(course: &Course) -> impl Iterator<Item = Vec<String>> {
    let plain = |name: &str| words(name.split('(').next().unwrap_or(name));
    [
        words(&course.id),
        words(&course.name_en),
        words(&course.name_vi),
        plain(&course.name_en),
        plain(&course.name_vi),
    ]
    .into_iter()
    .chain(course.aliases.iter().map(|alias| words(alias)))
    .filter(|phrase| !phrase.is_empty())
}

/// A figure without the zeros that do not count: `7.0` is `7`.
fn value(figure: &str) -> &str {
    match figure.split_once('.') {
        Some((whole, part)) if part.chars().all(|c| c == '0') => whole,
        _ => figure,
    }
}

fn is_figure(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(|c| c.is_ascii_digit() || c == '.')
}

impl Search<'_> {
    /// Names and aliases, the longest first; a family alone is left for later.
    fn phrases(&mut self, families: &Families) {
        // Longest first, then from the left; those that several courses share are unclear.
        let mut matches: BTreeMap<(std::cmp::Reverse<usize>, usize), BTreeSet<usize>> = BTreeMap::new();
        for (course, entry) in self.data.courses.iter().enumerate() {
            for phrase in phrases(entry) {
                if matches!(phrase.as_slice(), [word] if families.contains_key(word)) {
                    continue;
                }
                for at in find(self.asked, &phrase) {
                    matches.entry((std::cmp::Reverse(phrase.len()), at)).or_default().insert(course);
                }
            }
        }
        for ((length, at), courses) in matches {
            let place = at..at + length.0;
            if self.taken[place.clone()].contains(&true) {
                continue;
            }
            self.taken[place].fill(true);
            self.take(at, courses);
        }
    }

    /// Figures that, with the family before them, name a course.
    fn figures(&mut self, families: &Families) {
        for at in 0..self.asked.len() {
            if self.taken[at] || !is_figure(&self.asked[at]) {
                continue;
            }
            let family = self.asked[..at].iter().rev().find_map(|word| families.get(word));
            let before = self.asked[..at].iter().rposition(|word| !BEFORE_FIGURE.contains(&word.as_str()));
            let adjacent = before.is_some_and(|before| families.contains_key(&self.asked[before]));
            let goes_on = at > 1 && AND.contains(&self.asked[at - 1].as_str()) && self.taken[at - 2];
            let counted = self.asked.get(at + 1).is_some_and(|next| COUNTED.contains(&next.as_str()));
            let telling = self.asked[at].contains('.') || self.asked[at].len() >= 3;
            if counted || !(telling || adjacent || goes_on) {
                continue;
            }
            let asked = value(&self.asked[at]);
            let named = |course: &Course| {
                words(&course.name_en).iter().any(|word| is_figure(word) && value(word) == asked)
            };
            let of_family = |course: &usize| family.is_none_or(|family| family.contains(course));
            let courses: BTreeSet<usize> = (0..self.data.courses.len())
                .filter(|course| of_family(course) && named(&self.data.courses[*course]))
                .collect();
            match (courses.is_empty(), family) {
                (false, _) => {
                    self.taken[at] = true;
                    if let Some(before) = before.filter(|_| adjacent) {
                        self.taken[before] = true;
                    }
                    self.take(at, courses);
                }
                // "TOEIC 700": the family has no such course.
                (true, Some(family)) if adjacent => self.unclear.extend(family),
                (true, _) => {}
            }
        }
    }

    /// Families that no figure or longer name has made clear.
    fn families(&mut self, families: &Families) {
        for at in 0..self.asked.len() {
            let Some(family) = families.get(&self.asked[at]).filter(|_| !self.taken[at]) else { continue };
            let clear = self.found.values().any(|course| family.contains(course));
            if clear || !self.unclear.is_disjoint(family) {
                self.unclear.retain(|course| !clear || !family.contains(course));
                continue;
            }
            let alone = std::slice::from_ref(&self.asked[at]);
            let called =
                |course: &&usize| phrases(&self.data.courses[**course]).any(|phrase| phrase == alone);
            let courses: BTreeSet<usize> = family.iter().filter(called).copied().collect();
            self.take(at, if courses.is_empty() { family.clone() } else { courses });
        }
    }

    fn levels(&mut self) {
        for at in 0..self.asked.len() {
            if !LEVELS.contains(&self.asked[at].as_str()) {
                continue;
            }
            let fits = |course: &usize| words(&self.data.courses[*course].level).contains(&self.asked[at]);
            let courses: BTreeSet<usize> = (0..self.data.courses.len()).filter(fits).collect();
            self.take(at, courses);
        }
    }

    fn take(&mut self, at: usize, courses: BTreeSet<usize>) {
        match courses.first() {
            Some(&course) if courses.len() == 1 => {
                self.found.insert(at, course);
            }
            _ => self.unclear.extend(courses),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::centre;
    use super::*;

    fn named(question: &str) -> (Vec<String>, Vec<String>) {
        let data = centre();
        let mentions = mentions(&data, &words(question));
        let ids =
            |courses: Vec<usize>| courses.into_iter().map(|course| data.courses[course].id.clone()).collect();
        (ids(mentions.found), ids(mentions.unclear.into_iter().collect()))
    }

    #[test]
    fn courses_are_known_by_id_name_alias_and_figure() {
        for (question, found) in [
            ("ielts-6-5", &["ielts-6-5"][..]),
            ("Học phí IELTS 6.5 là bao nhiêu?", &["ielts-6-5"]),
            ("hoc phi ielts 6,5", &["ielts-6-5"]),
            ("IELTS6.5", &["ielts-6-5"]),
            ("IELTS band 6.5", &["ielts-6-5"]),
            ("khoá IELTS mục tiêu 7.0", &["ielts-7-0"]),
            ("ielts 7", &["ielts-7-0"]),
            ("lớp 6.5 giá bao nhiêu", &["ielts-6-5"]),
            ("so sanh ielts 6.5 va 7.0", &["ielts-6-5", "ielts-7-0"]),
            ("IELTS 6.5 or 7?", &["ielts-6-5", "ielts-7-0"]),
            ("IELTS 6.5 and 7 people", &["ielts-6-5"]),
            ("TOEIC 650 và 800", &["toeic-650", "toeic-800"]),
            ("How much is TOEIC?", &["toeic-650"]),
            ("Compare Movers and Flyers", &["kids-movers", "kids-flyers"]),
            ("Cambridge Movers (8-10 tuổi)", &["kids-movers"]),
            ("tiếng Anh thương mại cho 3 người", &["business-english"]),
            ("hoc kem 1-1 va lop nhom IELTS 7.0", &["one-to-one", "ielts-7-0"]),
            ("IELTS 6.5, em thi IELTS lần 2", &["ielts-6-5"]),
            ("IELTS 6.5 cho 2 người, gọi 0912 000 650", &["ielts-6-5"]),
        ] {
            let (named, unclear) = named(question);
            assert_eq!(
                (named.as_slice(), unclear.len()),
                (&found.iter().map(|id| id.to_string()).collect::<Vec<_>>()[..], 0),
                "{question}"
            );
        }
    }

    #[test]
    fn what_several_courses_share_is_unclear() {
        for (question, unclear) in [
            ("Học phí IELTS?", &["ielts-foundation", "ielts-5-5", "ielts-6-5", "ielts-7-0"][..]),
            ("IELTS 8.0", &["ielts-foundation", "ielts-5-5", "ielts-6-5", "ielts-7-0"]),
            ("TOEIC 700", &["toeic-650", "toeic-800"]),
            ("Cambridge", &["kids-starters", "kids-movers", "kids-flyers"]),
            ("a B1 class", &["conversation", "business-english"]),
        ] {
            let (found, named) = named(question);
            assert_eq!(
                (found.len(), named),
                (0, unclear.iter().map(|id| id.to_string()).collect()),
                "{question}"
            );
        }
        assert_eq!(named("Trung tâm ở đâu?"), (vec![], vec![]));
    }

    proptest::proptest! {
        #[test]
        fn any_question_is_read(question in "(ielts|toeic|6[.,]5|7|650|va|movers|cambridge|b1|[a-z ]{0,5}| ){0,12}") {
            let data = centre();
            let mentions = mentions(&data, &words(&question));
            proptest::prop_assert!(mentions.found.iter().all(|course| *course < data.courses.len()));
        }
    }
}
