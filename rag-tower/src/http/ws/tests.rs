use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::*;
use crate::tenant::AuthFailure;
use crate::test_util::{Leaf, Step};
use crate::{Answer, ErrorKind, Event, Finish};

struct Out(mpsc::UnboundedSender<ServerFrame>);

impl FrameSink for Out {
    async fn send(&mut self, frame: ServerFrame) -> Result<(), Error> {
        self.0.send(frame).map_err(|error| Error::internal(Stage::Http, error.to_string()))
    }
}

/// A conversation under way: its client's end.
struct Talk {
    to: Option<mpsc::UnboundedSender<Result<ClientFrame, Error>>>,
    from: mpsc::UnboundedReceiver<ServerFrame>,
    revoked: Arc<AtomicBool>,
    leaving: Arc<Notify>,
    running: tokio::task::JoinSet<Result<(), Error>>,
}

impl Talk {
    fn begin(stack: impl Answers<Ask>) -> Self {
        let (to, mut inbound) = mpsc::unbounded_channel();
        let (out, from) = mpsc::unbounded_channel();
        let revoked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&revoked);
        let renew = move || {
            let refused = flag.load(Ordering::SeqCst);
            async move {
                match refused {
                    true => Err(AuthFailure::Revoked.refuse()),
                    false => Ok(crate::test_util::scope("acme")),
                }
            }
        };
        let leaving = Arc::<Notify>::default();
        let told = Arc::clone(&leaving);
        let mut running = tokio::task::JoinSet::new();
        running.spawn(async move {
            let inbound = futures_util::stream::poll_fn(move |cx| inbound.poll_recv(cx));
            converse_until(told.notified(), renew, stack, inbound, &mut Out(out)).await
        });
        Self { to: Some(to), from, revoked, leaving, running }
    }

    fn say(&self, text: &str) {
        self.to.as_ref().unwrap().send(ClientFrame::parse(text)).unwrap();
    }

    /// Frames up to the next last one, by name, deltas as their text.
    async fn hear(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let frame = self.from.recv().await.expect("a frame");
            heard.push(match &frame {
                ServerFrame::Delta(text) => text.to_string(),
                ServerFrame::Error(problem) => problem.kind().to_owned(),
                other => other.name().to_owned(),
            });
            if frame.is_last() {
                return heard;
            }
        }
    }

    async fn end(mut self) -> Result<(), Error> {
        self.to = None;
        self.running.join_next().await.unwrap().unwrap()
    }
}

#[test]
fn frames_are_read_strictly() {
    assert_eq!(ClientFrame::parse(r#"{"type": "cancel"}"#).unwrap(), ClientFrame::Cancel);
    assert!(matches!(
        ClientFrame::parse(r#"{"message": "a"}"#),
        Ok(ClientFrame::Message { session_id: None, .. })
    ));
    assert!(ClientFrame::parse(r#"{"type": "message", "message": "a"}"#).is_ok());
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"type": "cancel", "message": "a"}"#,
        r#"{"type": "shout", "message": "a"}"#,
        r#"{"message": " "}"#,
        r#"{"message": "a", "session_id": "x"}"#,
        r#"{"message": "a", "tenant_id": "x"}"#,
    ] {
        assert_eq!(ClientFrame::parse(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
    }
}

#[tokio::test]
async fn messages_are_answered_in_turn_and_a_bad_one_does_no_harm() {
    let mut talk = Talk::begin(Leaf::text("yes"));
    talk.say(r#"{"message": "one"}"#);
    talk.say("nonsense");
    talk.say(r#"{"message": "two"}"#);
    // The bad frame is answered at once, whatever is under way.
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.extend(talk.hear().await);
    }
    assert_eq!(heard.iter().filter(|frame| *frame == "end").count(), 2, "{heard:?}");
    assert_eq!(heard.iter().filter(|frame| *frame == "invalid_input").count(), 1, "{heard:?}");
    talk.end().await.unwrap();
}

#[tokio::test]
async fn cancel_drops_the_answer_and_the_conversation_goes_on() {
    let leaf = Leaf::streaming([Step::delta("a"), Step::Hang]);
    let mut talk = Talk::begin(leaf.clone());
    for calls in 1..=2 {
        talk.say(r#"{"message": "one"}"#);
        assert_eq!(talk.from.recv().await.unwrap().name(), "start");
        assert_eq!(talk.from.recv().await.unwrap().name(), "delta");
        talk.say(r#"{"type": "cancel"}"#);
        assert_eq!(talk.hear().await, ["cancelled"]);
        assert_eq!(leaf.calls(), calls);
    }
    talk.say(r#"{"type": "cancel"}"#);
    talk.end().await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_ends_everything() {
    for leaf in [Leaf::new([Step::Hang], []), Leaf::streaming([Step::Hang])] {
        let talk = Talk::begin(leaf);
        talk.say(r#"{"message": "one"}"#);
        talk.end().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded() {
    let leaf = Leaf::new([Step::Sleep(Duration::from_secs(1))], [Step::delta("a"), Step::stop()]);
    let mut talk = Talk::begin(leaf.clone());
    for _ in 0..=MAX_WAITING_MESSAGES + 1 {
        talk.say(r#"{"message": "one"}"#);
    }
    assert_eq!(talk.hear().await, ["too_many_waiting"]);
    for _ in 0..=MAX_WAITING_MESSAGES {
        assert_eq!(talk.hear().await, ["start", "a", "end"]);
    }
    talk.end().await.unwrap();
}

#[tokio::test]
async fn a_credential_that_was_revoked_ends_the_conversation() {
    let leaf = Leaf::text("yes");
    let mut talk = Talk::begin(leaf.clone());
    talk.say(r#"{"message": "one"}"#);
    assert_eq!(talk.hear().await, ["start", "yes", "end"]);
    talk.revoked.store(true, Ordering::SeqCst);
    talk.say(r#"{"message": "two"}"#);
    assert_eq!(talk.hear().await, ["unauthenticated"]);
    let ended = talk.running.join_next().await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Unauthenticated);
    assert_eq!(leaf.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_leaves_ends_its_answer_first_and_begins_no_other() {
    let leaf = Leaf::streaming([Step::delta("a"), Step::Sleep(Duration::from_secs(1)), Step::stop()]);
    let mut talk = Talk::begin(leaf.clone());
    talk.say(r#"{"message": "one"}"#);
    talk.say(r#"{"message": "waits"}"#);
    assert_eq!(talk.from.recv().await.unwrap().name(), "start");
    assert_eq!(talk.from.recv().await.unwrap().name(), "delta");
    talk.leaving.notify_one();
    assert_eq!(talk.hear().await, ["going_away"]);
    talk.say(r#"{"message": "comes"}"#);
    assert_eq!(talk.hear().await, ["going_away"]);
    assert_eq!(talk.hear().await, ["end"]);
    talk.running.join_next().await.unwrap().unwrap().unwrap();
    assert!(talk.from.recv().await.is_none() && leaf.calls() == 1, "nothing follows");
}

#[tokio::test]
async fn a_server_that_leaves_does_not_wait_for_a_client_that_says_nothing() {
    for asked in [false, true] {
        let mut talk = Talk::begin(Leaf::text("yes"));
        if asked {
            talk.say(r#"{"message": "one"}"#);
            assert_eq!(talk.hear().await, ["start", "yes", "end"]);
        }
        talk.leaving.notify_one();
        talk.running.join_next().await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_connection_keeps_its_session() {
    let session = SessionId::generate();
    let stack = tower::service_fn(move |ask: Ask| async move {
        let text = format!("{:?}", ask.session().map(|id| id == session));
        ask.trace().set_session(session);
        Ok(Answer::ready(ask.id(), vec![Event::Delta(text.into()), Event::Finished(Finish::Stop)]))
    });
    let mut talk = Talk::begin(stack);
    talk.say(r#"{"message": "one"}"#);
    assert_eq!(talk.hear().await, ["start", "None", "end"]);
    talk.say(r#"{"message": "two"}"#);
    assert_eq!(talk.hear().await, ["start", "Some(true)", "end"]);
    talk.end().await.unwrap();
}

#[tokio::test]
async fn an_ask_that_fails_is_one_error_frame() {
    let mut talk = Talk::begin(Leaf::new([Step::Fail(ErrorKind::Overloaded)], []));
    talk.say(r#"{"message": "one"}"#);
    assert_eq!(talk.hear().await, ["overloaded"]);
    talk.end().await.unwrap();
}
