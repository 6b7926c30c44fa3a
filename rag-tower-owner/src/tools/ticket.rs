//! A wish to be called in, a hand-off ticket out.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rag_tower::memory::Pending;
use rag_tower::postgres::NewHandoff;
use rag_tower::tenant::Branches;
use rag_tower::trace::Outcome;
use rag_tower::{Answer, Ask, Error, ErrorKind, Finish, Scoped, Stage, Traceable};
use serde_json::json;
use tokio::time::timeout;
use tower_service::Service;

use super::handoff::HandoffStore;
use super::matter::{is_waiting, turns, waits};
use super::text::{Language, find, words};
use crate::masking::Phone;
use crate::tenant_data::{TenantBook, TenantData};

/// The name of the tool.
const TOOL: &str = "create_ticket";
/// Why somebody wants to be called: a closed set, which is a metric label.
pub(crate) const REASONS: [&str; 2] = ["complaint", "call_back"];
/// The longest message of a ticket, in characters.
const MAX_MESSAGE: usize = 4_000;

/// A wish to be called in, a ticket for a person out, ended by [`Finish::Handoff`] with the ticket's id.
///
/// Phone and message come from the question. A missing phone is asked for, and the session's next turn completes the
/// ticket with the message of the first; who then gives none, or does not want a call any longer, is not held any longer.
/// One session has one ticket per reason. `tool_metadata` holds `ticket_id`, `reason`, `new` and the masked `phone`; the
/// number itself goes into the ticket and nowhere else.
///
/// When the store fails or takes too long the person is told whom to call instead, and the failure is the outcome and the
/// error of the trace row.
///
/// - **Order:** a tool of a [`RouteLayer`](rag_tower::route::RouteLayer), inside memory, which lets it ask back.
/// - **Readiness:** always.
/// - **Cancellation:** dropping the future drops the store's: whether the ticket was made is then the store's to say.
/// - **Panics:** never.
pub struct CreateTicket<B, H> {
    book: Arc<B>,
    store: Arc<H>,
    timeout: Duration,
}

// === impl CreateTicket ===

impl<B: TenantBook, H: HandoffStore> CreateTicket<B, H> {
    /// Tickets in this store; the book names the branches to call when it is away.
    pub fn new(book: Arc<B>, store: Arc<H>) -> Self {
        Self { book, store, timeout: Duration::from_secs(5) }
    }

    /// How long the store may take. Default: 5 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn answer(self, ask: Ask) -> Result<Answer, Error> {
        let language = Language::of(ask.question().as_str(), ask.history().map(|history| &**history));
        let questions = questions(&ask);
        let message = message(&questions);
        let reason = reason(&message);
        // The newest number: whoever gives another one wants to be called there.
        let Some(phone) = questions.iter().rev().find_map(|question| Phone::find(question)) else {
            return Ok(ask_for_phone(&ask, language));
        };
        let mut handoff = NewHandoff::new(reason);
        handoff.trace = Some(Traceable::id(&ask));
        handoff.session = ask.session();
        handoff.branch = match ask.scope().branches() {
            Branches::Only(branches) if branches.len() == 1 => branches.first().copied(),
            _ => None,
        };
        handoff.user = ask.scope().subject().cloned();
        handoff.phone = Some(phone.as_str().into());
        handoff.message = message.into();
        ask.trace().set_tool_metadata("reason", reason);
        ask.trace().set_tool_metadata("phone", phone.masked());
        let made = match timeout(self.timeout, self.store.create(ask.scope(), handoff)).await {
            Ok(made) => made,
            Err(_) => Err(Error::new(ErrorKind::Timeout, Stage::Tool)),
        };
        match made {
            Ok(ticket) => {
                let id: Arc<str> = ticket.id.to_string().into();
                ask.trace().set_tool_metadata("ticket_id", &*id);
                ask.trace().set_tool_metadata("new", ticket.new);
                Ok(Answer::text(ask.id(), noted(&phone, &id, language), Finish::Handoff(id)))
            }
            // Something foreign came back: nothing but failing is safe.
            Err(error) if error.kind() == ErrorKind::Isolation => Err(error),
            Err(error) => {
                let data = self.book.data(ask.scope()).await.unwrap_or_default();
                Ok(failed(&ask, &error, &data, language))
            }
        }
    }
}

impl<B, H> Clone for CreateTicket<B, H> {
    fn clone(&self) -> Self {
        Self { book: Arc::clone(&self.book), store: Arc::clone(&self.store), timeout: self.timeout }
    }
}

impl<B, H> fmt::Debug for CreateTicket<B, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateTicket").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl<B: TenantBook, H: HandoffStore> Service<Ask> for CreateTicket<B, H> {
    type Response = Answer;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Answer, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        Box::pin(self.clone().answer(ask))
    }
}

/// The questions of this wish, the earliest first: this one, those that were answered with a question back, and, when the
/// turn before was ours too, that one.
fn questions(ask: &Ask) -> Vec<Arc<str>> {
    let route = ask.trace().snapshot().route;
    let mut questions = vec![ask.question().shared()];
    for (back, turn) in turns(ask).iter().rev().enumerate() {
        let ours = back == 0 && route.is_some() && turn.route == route;
        if !(ours || is_waiting(turn, TOOL)) {
            break;
        }
        questions.insert(0, Arc::clone(&turn.question));
    }
    questions
}

/// What the ticket says: the questions, without those that are hardly more than a number.
fn message(questions: &[Arc<str>]) -> String {
    let telling =
        |question: &&Arc<str>| words(question).iter().any(|word| word.chars().all(char::is_alphabetic));
    let mut lines: Vec<&str> = questions.iter().filter(telling).map(|question| &**question).collect();
    if lines.is_empty() {
        lines.extend(questions.last().map(|question| &**question));
    }
    lines.join("\n").chars().take(MAX_MESSAGE).collect()
}

/// Why somebody wants to be called: a closed set, one open ticket each in a session.
fn reason(message: &str) -> &'static str {
    const COMPLAINTS: [&[&str]; 5] =
        [&["khieu", "nai"], &["phan", "nan"], &["complaint"], &["complaints"], &["complain"]];
    let [complaint, call_back] = REASONS;
    if says(message, &COMPLAINTS) { complaint } else { call_back }
}

fn says(text: &str, phrases: &[&[&str]]) -> bool {
    let said = words(text);
    phrases.iter().any(|phrase| {
        let phrase: Vec<String> = phrase.iter().map(|word| (*word).to_owned()).collect();
        find(&said, &phrase).next().is_some()
    })
}

/// Asks for the number that is missing; the second time without holding the next turn.
fn ask_for_phone(ask: &Ask, language: Language) -> Answer {
    const NO: [&[&str]; 9] = [
        &["thoi"],
        &["khong", "can"],
        &["khong", "muon"],
        &["huy"],
        &["never", "mind"],
        &["cancel"],
        &["no"],
        &["not", "now"],
        &["nevermind"],
    ];
    let text = if !waits(ask, TOOL) {
        ask.trace().set_tool_metadata("waiting_for", "phone");
        ask.trace().set_pending(Pending {
            tool: TOOL.into(),
            state: json!({ "waiting_for": "phone" }),
            yields: false,
        });
        language.pick(
            "Happy to pass this on. Which telephone number may a member of staff call? For example 0912 345 678.",
            "Mình sẽ chuyển cho nhân viên. Bạn cho mình xin số điện thoại để gọi lại nhé, ví dụ 0912 345 678.",
        )
    } else if says(ask.question().as_str(), &NO) {
        language.pick(
            "All right, nobody will call. What else would you like to know?",
            "Vâng, sẽ không ai gọi cho bạn. Bạn cần mình giúp gì khác không?",
        )
    } else {
        ask.trace().set_tool_metadata("waiting_for", "phone");
        language.pick(
            "I see no telephone number there, so nothing was passed on yet. Please send one of 10 digits such as \
             0912 345 678, or +84 and 9 digits. Or ask me something else.",
            "Mình chưa thấy số điện thoại hợp lệ nên chưa chuyển yêu cầu. Bạn gửi số có 10 chữ số như 0912 345 678, hoặc \
             +84 và 9 chữ số. Hoặc bạn cứ hỏi việc khác nhé.",
        )
    };
    Answer::text(ask.id(), text, Finish::Stop)
}

fn noted(phone: &Phone, id: &str, language: Language) -> String {
    let phone = phone.masked();
    match language {
        Language::English => {
            format!("Noted: a member of staff will call you on {phone}. Your reference: {id}.")
        }
        Language::Vietnamese => {
            format!("Đã ghi nhận: nhân viên sẽ gọi lại cho bạn theo số {phone}. Mã yêu cầu: {id}.")
        }
    }
}

/// Says whom to call when the ticket could not be kept, and puts the failure on the row.
fn failed(ask: &Ask, error: &Error, data: &TenantData, language: Language) -> Answer {
    tracing::warn!(kind = %error.kind(), "a hand-off ticket could not be kept; the person was told whom to call");
    ask.trace().set_outcome(Outcome::Failed(error.kind(), Stage::Tool));
    ask.trace().set_error(error.to_string());
    ask.trace().set_tool_metadata("failed", error.kind().as_str());
    let mut text = String::from(language.pick(
        "I could not pass your request on just now. Please send it again in a few minutes",
        "Hiện mình chưa ghi được yêu cầu của bạn. Bạn gửi lại sau ít phút nhé",
    ));
    if data.branches.is_empty() {
        text.push('.');
    } else {
        text += language.pick(", or call us:\n", ", hoặc gọi trực tiếp:\n");
    }
    for branch in &data.branches {
        text += &format!("\n- {}: {}", language.pick(&branch.name_en, &branch.name_vi), branch.phone);
    }
    Answer::text(ask.id(), text, Finish::Stop)
}

#[cfg(test)]
mod tests {
    use rag_tower::postgres::Opened;
    use rag_tower::{BoxAskService, TenantScope};

    use super::super::handoff::InMemoryHandoffs;
    use super::super::testing::{Told, book, conversation, scope, tell};
    use super::*;

    /// A store that is down, or never answers.
    #[derive(Clone, Copy)]
    enum Broken {
        Down,
        Hangs,
        Foreign,
    }

    impl HandoffStore for Broken {
        async fn create(&self, _: &TenantScope, _: NewHandoff) -> Result<Opened, Error> {
            match self {
                Self::Down => Err(Error::store(Stage::Tool, "password=hunter2")),
                Self::Hangs => std::future::pending().await,
                Self::Foreign => Err(Error::new(ErrorKind::Isolation, Stage::Tool)),
            }
        }
    }

    struct Chat {
        store: Arc<InMemoryHandoffs>,
        service: BoxAskService,
    }

    impl Chat {
        fn new() -> Self {
            let store = Arc::new(InMemoryHandoffs::new(10));
            let tool = BoxAskService::new(CreateTicket::new(Arc::new(book()), Arc::clone(&store)));
            Self { store, service: conversation(vec![(TOOL, tool)]) }
        }

        async fn say(&self, tenant: &str, session: Option<rag_tower::SessionId>, question: &str) -> Told {
            tell(self.service.clone(), tenant, session, question).await
        }
    }

    /// True when nothing that leaves the ticket holds these digits.
    fn hides(told: &Told, digits: &str) -> bool {
        let facts = format!("{:?} {:?}", told.facts.tool_metadata, told.facts.pending);
        let plain = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        !plain(&told.text.replace(ticket_id(told), "")).contains(digits)
            && !plain(&facts.replace(ticket_id(told), "")).contains(digits)
    }

    fn ticket_id(told: &Told) -> &str {
        told.metadata.get("ticket_id").and_then(|id| id.as_str()).unwrap_or("no ticket")
    }

    #[tokio::test]
    async fn a_phone_and_a_message_make_a_ticket() {
        for (question, phone, masked, says) in [
            (
                "Gọi cho tôi số 0912 000 111 nhé",
                "0912000111",
                "09****111",
                "gọi lại cho bạn theo số 09****111",
            ),
            ("goi lai cho minh so 0987000222", "0987000222", "09****222", "gọi lại"),
            (
                "Please call me back on +84 912.000.111",
                "0912000111",
                "09****111",
                "will call you on 09****111",
            ),
        ] {
            let chat = Chat::new();
            let told = chat.say("a", None, question).await;
            let tickets = chat.store.of(&scope("a"));
            assert_eq!((tickets.len(), tickets[0].1.phone.as_deref()), (1, Some(phone)), "{question}");
            assert_eq!(&*tickets[0].1.message, question);
            assert_eq!(&*tickets[0].1.reason, "call_back");
            assert_eq!((tickets[0].1.session, tickets[0].1.trace.is_some()), (told.facts.session, true));
            assert_eq!(told.finish, Finish::Handoff(tickets[0].0.to_string().into()));
            assert_eq!(told.metadata["ticket_id"], tickets[0].0.to_string());
            assert_eq!(told.metadata["phone"], masked);
            assert!(told.text.contains(says) && hides(&told, phone), "{}", told.text);
        }
    }

    #[tokio::test]
    async fn a_missing_phone_is_asked_for_and_completes_on_the_next_turn() {
        let chat = Chat::new();
        let first = chat.say("a", None, "Nhờ trung tâm gọi lại tư vấn IELTS cho em").await;
        assert!(first.text.contains("số điện thoại") && chat.store.of(&scope("a")).is_empty());
        assert_eq!(first.finish, Finish::Stop);
        let second = chat.say("a", first.facts.session, "0912.000.111").await;
        let tickets = chat.store.of(&scope("a"));
        assert_eq!(tickets[0].1.phone.as_deref(), Some("0912000111"));
        assert_eq!(&*tickets[0].1.message, "Nhờ trung tâm gọi lại tư vấn IELTS cho em");
        assert_eq!(second.finish, Finish::Handoff(tickets[0].0.to_string().into()));
        assert!(second.text.contains("gọi lại cho bạn") && hides(&second, "0912000111"), "{}", second.text);
    }

    #[tokio::test]
    async fn t113_one_session_has_one_ticket_per_reason() {
        let chat = Chat::new();
        let first = chat.say("a", None, "Gọi lại cho em số 0912 000 111").await;
        let again = chat.say("a", first.facts.session, "Gọi lại cho em số 0987 000 222 nhé").await;
        assert_eq!(ticket_id(&first), ticket_id(&again));
        assert_eq!((&first.metadata["new"], &again.metadata["new"]), (&json!(true), &json!(false)));
        let tickets = chat.store.of(&scope("a"));
        assert_eq!((tickets.len(), tickets[0].1.phone.as_deref()), (1, Some("0987000222")));
        chat.say("a", None, "Gọi lại cho em số 0912 000 111").await;
        assert_eq!(chat.store.of(&scope("a")).len(), 2);
    }

    #[tokio::test]
    async fn who_gives_no_number_is_not_held() {
        let chat = Chat::new();
        for (answer, says) in [("0912 000", "10 digits"), ("no thanks, never mind", "nobody will call")] {
            let first = chat.say("a", None, "I want to speak to a person").await;
            assert!(first.facts.pending.is_some());
            let second = chat.say("a", first.facts.session, answer).await;
            assert!(second.text.contains(says) && second.facts.pending.is_none(), "{}", second.text);
            let third = chat.say("a", first.facts.session, "What are your opening hours?").await;
            assert_eq!(third.text, "searched");
        }
        assert!(chat.store.of(&scope("a")).is_empty());
    }

    #[tokio::test]
    async fn a_complaint_is_a_reason_of_its_own() {
        let chat = Chat::new();
        chat.say("a", None, "Tôi muốn khiếu nại về lớp học của con tôi, số 0356 000 111").await;
        assert_eq!(&*chat.store.of(&scope("a"))[0].1.reason, "complaint");
    }

    #[tokio::test]
    async fn t14_tickets_belong_to_the_tenant_that_asked() {
        let chat = Chat::new();
        chat.say("docs", None, "Call me back on 0912 000 111").await;
        assert_eq!((chat.store.of(&scope("a")).len(), chat.store.of(&scope("docs")).len()), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_says_whom_to_call_and_is_on_the_trace() {
        for (broken, kind) in
            [(Broken::Down, ErrorKind::StoreUnavailable), (Broken::Hangs, ErrorKind::Timeout)]
        {
            let tool = CreateTicket::new(Arc::new(book()), Arc::new(broken));
            let told = tell(tool, "a", None, "Please call me back on 0912 000 111").await;
            assert!(told.text.contains("Hoan Kiem branch: 024 5550 0118"), "{}", told.text);
            assert_eq!(told.facts.outcome, Some(Outcome::Failed(kind, Stage::Tool)));
            assert!(!told.facts.error.as_deref().unwrap().contains("hunter2"));
            assert!(hides(&told, "0912000111") && told.finish == Finish::Stop);
        }
    }

    #[tokio::test]
    async fn t14_a_store_that_mixes_up_tenants_fails_closed() {
        let mut tool = CreateTicket::new(Arc::new(book()), Arc::new(Broken::Foreign));
        let question = rag_tower::Question::parse("Call me back on 0912 000 111").unwrap();
        let error = tool.call(Ask::new(scope("a"), question)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Isolation);
    }
}
