//! What a canary heard, found or read in, whether it may out.

use rag_tower::passage::DocumentId;
use rag_tower::port::Hit;
use rag_tower::{AbstainReason, ErrorKind, TenantScope};

use super::document::Told;
use super::heard::{End, Heard};

/// What is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it must be.
    Passed,
    /// Something of another tenant was seen, or of what is not there any more.
    Leak(String),
    /// What is its own was not there: what else was not there shows nothing.
    Wrong(String),
    /// It could not be looked at.
    Unknown(String),
}

/// What is looked for as another tenant, in the order of its counts.
pub(super) const ROWS: [&str; 4] = ["request_traces", "documents", "chunks", "chat_sessions"];
/// Rows of each.
pub(super) type Seen = [i64; 4];

// === impl Verdict ===

impl Verdict {
    /// How bad it is.
    pub(super) const fn weight(&self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Unknown(_) => 1,
            Self::Wrong(_) => 2,
            Self::Leak(_) => 3,
        }
    }
}

/// Each gets its own secret.
pub(super) fn own(heard: &Heard, told: &Told) -> Verdict {
    match shown(heard) {
        Some(verdict) => verdict,
        None if heard.holds(told) => Verdict::Passed,
        None if heard.end == End::Degraded => unknown("something was down that answers are made with"),
        None => Verdict::Wrong("its own secret was not in the answer".to_owned()),
    }
}

/// Nobody gets another's, nor is told where it is.
pub(super) fn foreign(heard: &Heard, told: &Told, document: DocumentId) -> Verdict {
    // before anything else: an answer that holds it is no outage
    if heard.holds(told) {
        return leak("another tenant's secret was in the answer");
    }
    if heard.cites(document) {
        return leak("another tenant's document was a source of the answer");
    }
    shown(heard).unwrap_or(Verdict::Passed)
}

/// Another's conversation is none that there is.
pub(super) fn session(heard: &Heard) -> Verdict {
    match heard.end {
        End::Failed(ErrorKind::NotFound) => Verdict::Passed,
        End::Degraded => unknown("conversations could not be read"),
        End::Answered => leak("another tenant's conversation was gone on with"),
        _ => shown(heard).unwrap_or(Verdict::Passed),
    }
}

/// What has been replaced is nowhere.
pub(super) fn rotated(heard: &Heard, old: &Told) -> Verdict {
    if heard.holds(old) {
        return leak("a secret that was replaced is still found");
    }
    shown(heard).unwrap_or(Verdict::Passed)
}

/// Hits of a search for a document's text: its own tenant's, and another's.
pub(super) fn vector(own: &[Hit], other: &[Hit], scope: &TenantScope, document: DocumentId) -> Verdict {
    if other.iter().any(|hit| hit.document == document || !scope.admits(hit.origin)) {
        return leak("a search found another tenant's text");
    }
    if own.iter().all(|hit| hit.document != document) {
        return Verdict::Wrong("the text was not found by its own tenant either".to_owned());
    }
    Verdict::Passed
}

/// Rows that a tenant has, as itself and as another see them.
pub(super) fn rows(own: Seen, other: Seen) -> Verdict {
    let names = |seen: Seen, is: fn(i64) -> bool| -> String {
        let names: Vec<_> =
            ROWS.into_iter().zip(seen).filter(|(_, n)| is(*n)).map(|(name, _)| name).collect();
        names.join(", ")
    };
    if other != [0; 4] {
        let tables = names(other, |n| n > 0);
        return Verdict::Leak(format!("another tenant's rows can be read in {tables}"));
    }
    if own.contains(&0) {
        return Verdict::Unknown(format!("its own rows are not in {}", names(own, |n| n == 0)));
    }
    Verdict::Passed
}

/// What is to be said of an ask that showed nothing; none of one that did.
fn shown(heard: &Heard) -> Option<Verdict> {
    match heard.end {
        End::Answered | End::Degraded => None,
        End::Withheld(AbstainReason::Isolation) | End::Failed(ErrorKind::Isolation) => {
            Some(leak("a store gave out what is another tenant's; it was stopped on its way"))
        }
        End::Withheld(reason) => {
            Some(Verdict::Unknown(format!("the answer was withheld: {}", reason.as_str())))
        }
        End::Failed(kind) => Some(Verdict::Unknown(format!("the ask failed: {}", kind.as_str()))),
    }
}

fn leak(what: &str) -> Verdict {
    Verdict::Leak(what.to_owned())
}

fn unknown(why: &str) -> Verdict {
    Verdict::Unknown(why.to_owned())
}

#[cfg(test)]
mod tests {
    use rag_tower::Source;
    use rag_tower::passage::{ChunkId, Origin};
    use uuid::Uuid;

    use super::super::Tenant;
    use super::*;

    fn id(n: u128) -> DocumentId {
        DocumentId::new(Uuid::from_u128(n))
    }

    fn source(document: DocumentId, text: &str) -> Source {
        Source {
            n: 1,
            doc_id: document,
            file_name: "f".into(),
            title: "t".into(),
            chunk: ChunkId::new(Uuid::nil()),
            snippet: text.into(),
            score: 1.0,
        }
    }

    fn is_leak(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Leak(_))
    }

    /// Every way in which something of another's can be in an answer, and none that is not one.
    #[test]
    fn an_answer_is_judged_by_all_that_is_in_it() {
        let told = Told::new("skerryvore").unwrap();
        let secret = told.text();
        let heard = |end, text: &str, sources| Heard::of(end, text, sources);
        for leaky in [
            heard(End::Answered, &secret, vec![]),
            heard(End::Answered, "", vec![source(id(2), &secret)]),
            heard(End::Answered, "", vec![source(id(1), "")]),
            heard(End::Degraded, &secret, vec![]),
            heard(End::Withheld(AbstainReason::Isolation), "", vec![]),
            heard(End::Failed(ErrorKind::Isolation), "", vec![]),
        ] {
            assert!(is_leak(&foreign(&leaky, &told, id(1))), "{leaky:?}");
        }
        assert_eq!(
            foreign(&heard(End::Answered, "no", vec![source(id(2), "")]), &told, id(1)),
            Verdict::Passed
        );
        for unknown in [End::Withheld(AbstainReason::StoreUnavailable), End::Failed(ErrorKind::Timeout)] {
            let heard = heard(unknown, "", vec![]);
            for verdict in
                [foreign(&heard, &told, id(1)), own(&heard, &told), rotated(&heard, &told), session(&heard)]
            {
                assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
            }
        }
        assert_eq!(own(&heard(End::Answered, &secret, vec![]), &told), Verdict::Passed);
        assert!(matches!(own(&heard(End::Answered, "no", vec![]), &told), Verdict::Wrong(_)));
        assert!(is_leak(&rotated(&heard(End::Answered, &secret, vec![]), &told)));
        assert_eq!(rotated(&heard(End::Answered, "no", vec![]), &told), Verdict::Passed);
    }

    #[test]
    fn a_conversation_of_another_is_not_found_and_nothing_else() {
        let heard = |end| Heard::of(end, "", vec![]);
        assert_eq!(session(&heard(End::Failed(ErrorKind::NotFound))), Verdict::Passed);
        assert!(is_leak(&session(&heard(End::Answered))));
        assert!(is_leak(&session(&heard(End::Withheld(AbstainReason::Isolation)))));
        assert!(matches!(session(&heard(End::Degraded)), Verdict::Unknown(_)));
    }

    #[test]
    fn a_search_is_judged_by_whose_its_hits_are() {
        let (a, b) = (Tenant::A.scope(), Tenant::B.scope());
        let hit = |scope: &TenantScope, document| Hit {
            chunk: ChunkId::new(Uuid::nil()),
            document,
            origin: Origin::Tenant { tenant: scope.tenant(), branch: None },
            score: 1.0,
        };
        let own = [hit(&b, id(1))];
        assert_eq!(vector(&own, &[hit(&a, id(2))], &a, id(1)), Verdict::Passed);
        assert!(is_leak(&vector(&own, &[hit(&a, id(2)), hit(&b, id(3))], &a, id(1))));
        assert!(is_leak(&vector(&own, &[hit(&a, id(1))], &a, id(1))), "its origin is wrong in the index");
        assert!(is_leak(&vector(&[], &own, &a, id(1))), "a leak is one whatever else is wrong");
        assert!(matches!(vector(&[], &[], &a, id(1)), Verdict::Wrong(_)));
    }

    #[test]
    fn rows_are_judged_by_who_sees_them() {
        assert_eq!(rows([1, 1, 1, 1], [0; 4]), Verdict::Passed);
        let Verdict::Leak(said) = rows([1, 0, 1, 1], [1, 0, 0, 1]) else { panic!("no leak") };
        assert!(said.ends_with("request_traces, chat_sessions"), "{said}");
        let Verdict::Unknown(said) = rows([0, 1, 1, 1], [0; 4]) else { panic!("it shows something") };
        assert!(said.ends_with("not in request_traces"), "{said}");
    }
}
