//! Many asks with random scripts and random consumers: as many rows as asks, each with the outcome that a model of
//! script and consumer predicts.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use rag_tower::admission::AdmissionLayer;
use rag_tower::test_util::{Leaf, MemoryTraces, Step};
use rag_tower::trace::{Outcome, Phase, TraceLayer, WriterConfig, spawn_writer};
use rag_tower::{Ask, AskId, ErrorKind, Event, Finish, Question, Stage, TenantId};
use tower::{Service, ServiceBuilder, ServiceExt};

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// One ask: what happens inside, and how far the consumer goes.
struct Plan {
    head: Vec<Step>,
    body: Vec<Step>,
    /// Polls of the future before it is dropped; none waits for it.
    future_polls: Option<u64>,
    /// Items taken before the stream is dropped.
    items: usize,
    expected: Outcome,
}

fn plan(random: &mut Random) -> Plan {
    let mut head = vec![Step::Yield; random.below(3) as usize];
    let yields = head.len() as u64;
    let mut body = Vec::new();
    let deltas = random.below(5) as usize;
    for _ in 0..deltas {
        if random.below(3) == 0 {
            body.push(Step::Yield);
        }
        body.push(Step::delta("x"));
    }
    let plan = |head, body, future_polls, items, expected| Plan { head, body, future_polls, items, expected };
    let reached = if deltas == 0 { Phase::BeforeFirstEvent } else { Phase::Streaming };
    match random.below(8) {
        0 => {
            head.push(Step::Fail(ErrorKind::Timeout));
            plan(head, body, None, 0, Outcome::Failed(ErrorKind::Timeout, Stage::Generate))
        }
        1 => {
            head.push(Step::Panic);
            plan(head, body, None, 0, Outcome::Panicked(Phase::BeforeFirstEvent))
        }
        2 => {
            head.push(Step::Hang);
            let polls = random.below(yields + 2);
            plan(head, body, Some(polls), 0, Outcome::Cancelled(Phase::BeforeFirstEvent))
        }
        3 => {
            body.push(Step::Fail(ErrorKind::ProviderInvalid));
            plan(head, body, None, usize::MAX, Outcome::Failed(ErrorKind::ProviderInvalid, Stage::Generate))
        }
        4 => plan(head, body, None, usize::MAX, Outcome::Truncated),
        5 => {
            body.push(Step::Panic);
            plan(head, body, None, usize::MAX, Outcome::Panicked(reached))
        }
        6 => {
            body.push(Step::stop());
            let items = random.below(deltas as u64 + 1) as usize;
            let phase = if items == 0 { Phase::BeforeFirstEvent } else { Phase::Streaming };
            plan(head, body, None, items, Outcome::Cancelled(phase))
        }
        _ => {
            body.push(Step::stop());
            plan(head, body, None, usize::MAX, Outcome::Completed(Finish::Stop))
        }
    }
}

fn ask(n: usize) -> Ask {
    let tenant = TenantId::named(["a", "b", "c"][n % 3]);
    Ask::new(rag_tower::test_util::granted(tenant), Question::parse("what?").unwrap())
}

/// Runs one plan through the stack, as its consumer would.
async fn run<S>(mut stack: S, ask: Ask, plan: &Plan)
where
    S: Service<Ask, Response = rag_tower::Answer, Error = rag_tower::Error>,
{
    let mut running = Box::pin(stack.call(ask));
    if let Some(polls) = plan.future_polls {
        for _ in 0..polls {
            assert!(running.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        return;
    }
    let Ok(Ok(mut answer)) = AssertUnwindSafe(running).catch_unwind().await else { return };
    for _ in 0..plan.items {
        match AssertUnwindSafe(answer.next()).catch_unwind().await {
            // Half of the consumers do not ask for what comes after the end.
            Ok(Some(Ok(Event::Finished(_)))) if answer.id().as_uuid().as_bytes()[15] % 2 == 0 => return,
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(_)) | None) | Err(_) => return,
        }
    }
}

async fn random_schedules(seed: u64) {
    const ASKS: usize = 30_000;
    const AT_ONCE: usize = 200;
    let store = MemoryTraces::new();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().queue(ASKS));
    let admission = AdmissionLayer::new(AT_ONCE);
    let expected = Arc::new(Mutex::new(HashMap::<AskId, Outcome>::new()));
    let mut random = Random(seed);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..ASKS {
        if tasks.len() == AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
        let plan = plan(&mut random);
        let stack = ServiceBuilder::new()
            .layer(TraceLayer::new(sink.clone()))
            .layer(admission.clone())
            .service(Leaf::new(plan.head.clone(), plan.body.clone()));
        let expected = Arc::clone(&expected);
        tasks.spawn(async move {
            let ask = ask(n);
            expected.lock().unwrap().insert(ask.id(), plan.expected.clone());
            run(stack, ask, &plan).await;
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(admission.in_use(), (0, 0));
    let stats = writer.shutdown(Duration::from_secs(60)).await;
    assert_eq!((stats.opened, stats.written, stats.lost, stats.unrecorded), (ASKS as u64, ASKS as u64, 0, 0));
    let rows = store.rows();
    let expected = expected.lock().unwrap();
    assert_eq!(rows.len(), ASKS, "ids are unique");
    let mut seen = BTreeMap::<String, usize>::new();
    for row in rows {
        let Some(outcome) = expected.get(&row.trace_id) else { panic!("a row that nobody asked for") };
        assert_eq!(&row.outcome, outcome, "seed {seed}");
        let kind = format!("{outcome:?}");
        *seen.entry(kind).or_default() += 1;
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
    assert!(seen.values().all(|times| *times > ASKS / 100), "{seen:?}");
}

#[tokio::test]
async fn random_schedules_on_one_thread() {
    random_schedules(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_schedules_on_several_threads() {
    random_schedules(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn asks_aborted_at_random_have_their_rows() {
    const ASKS: usize = 12_000;
    let store = MemoryTraces::new();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().queue(ASKS));
    let admission = AdmissionLayer::new(ASKS);
    let leaf = Leaf::new([Step::Yield], [Step::Yield, Step::delta("a"), Step::Yield, Step::stop()]);
    let stack = ServiceBuilder::new().layer(TraceLayer::new(sink)).layer(admission.clone()).service(leaf);
    let mut random = Random(3);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..ASKS {
        let stack = stack.clone();
        let task = tasks.spawn(async move { stack.oneshot(ask(n)).await.unwrap().collect().await.unwrap() });
        if random.below(3) == 0 {
            if random.below(2) == 0 {
                tokio::task::yield_now().await;
            }
            task.abort();
        }
    }
    let mut whole = 0;
    while let Some(done) = tasks.join_next().await {
        whole += u64::from(done.is_ok());
    }
    let stats = writer.shutdown(Duration::from_secs(60)).await;
    // A task that is aborted before its first poll never called the service.
    assert_eq!((stats.opened, stats.lost, stats.unrecorded), (stats.written, 0, 0));
    assert!(whole <= stats.opened && stats.opened < ASKS as u64, "{whole} {stats:?}");
    assert_eq!((store.rows().len() as u64, admission.in_use()), (stats.opened, (0, 0)));
}
