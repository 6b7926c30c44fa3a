//! Equal reads at the same time in, one read for all of them out.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Reads that come while one with the same key is under way wait for it, and then share the next.
///
/// None is answered by a read that began before it came, so what was committed by then is seen: a revoked key is refused
/// at once, though a hundred asks share its look-up. A read alone is made at once; one of several lets whoever is ready to
/// run come along. Nothing is kept afterwards.
///
/// There is no task: the first of those who wait makes the read for all of them. When it is dropped on the way, the next
/// one takes over.
pub(super) struct SharedReads<K: Key, I, R>(Arc<Groups<K, I, R>>);

/// What tells reads apart.
pub(super) trait Key: Clone + Eq + Hash {}

impl<K: Clone + Eq + Hash> Key for K {}

/// What waits, by key. A key that is here has a read under way.
struct Groups<K: Key, I, R>(Mutex<HashMap<K, Waiting<K, I, R>>>);

/// Those who came since the read began.
struct Waiting<K: Key, I, R> {
    items: Vec<I>,
    readers: VecDeque<oneshot::Sender<Told<K, I, R>>>,
}

/// What one who waited is told.
enum Told<K: Key, I, R> {
    /// The result.
    Read(R),
    /// That the read is theirs to make.
    Lead(Lead<K, I, R>),
}

/// Where one who waits hears of it.
type Place<K, I, R> = oneshot::Receiver<Told<K, I, R>>;

/// The right and the duty to read, for all who share it. Dropping it passes both on.
struct Lead<K: Key, I, R> {
    groups: Arc<Groups<K, I, R>>,
    key: K,
    read: Waiting<K, I, R>,
}

/// How often others have their turn before a read of several begins. It costs a moment where there is nothing else to do, and
/// takes a tenth from what Postgres has to do where there is.
const TURNS: usize = 3;

// === impl SharedReads ===

impl<K: Key, I: Clone, R: Clone> SharedReads<K, I, R> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Groups(Mutex::new(HashMap::new()))))
    }

    /// Reads what `item` asks for, with `read` or with that of another: it gets the items of all who share it.
    pub(super) async fn read<Fut>(&self, key: K, item: I, read: impl FnOnce(Vec<I>) -> Fut) -> R
    where
        Fut: Future<Output = R>,
    {
        let mut lead = loop {
            match self.join(key.clone(), item.clone()) {
                Ok(lead) => break lead,
                Err(told) => match told.await {
                    Ok(Told::Read(result)) => return result,
                    Ok(Told::Lead(mut lead)) => {
                        // where several read, more are on their way: whoever is ready to run comes along
                        for _ in 0..TURNS {
                            tokio::task::yield_now().await;
                        }
                        lead.gather();
                        break lead;
                    }
                    Err(_) => {}
                },
            }
        };
        let result = read(lead.read.items.clone()).await;
        lead.read.items.clear();
        for reader in lead.read.readers.drain(..) {
            // one who no longer waits needs no result
            let _ = reader.send(Told::Read(result.clone()));
        }
        result
    }

    /// The lead, or the place of one who waits.
    fn join(&self, key: K, item: I) -> Result<Lead<K, I, R>, Place<K, I, R>> {
        match self.0.lock().entry(key) {
            Entry::Occupied(mut group) => {
                let (tell, told) = oneshot::channel();
                group.get_mut().items.push(item);
                group.get_mut().readers.push_back(tell);
                Err(told)
            }
            Entry::Vacant(place) => {
                let key = place.key().clone();
                place.insert(Waiting::default());
                let read = Waiting { items: vec![item], readers: VecDeque::new() };
                Ok(Lead { groups: Arc::clone(&self.0), key, read })
            }
        }
    }
}

// === impl Groups ===

impl<K: Key, I, R> Groups<K, I, R> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Waiting<K, I, R>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiting ===

impl<K: Key, I, R> Default for Waiting<K, I, R> {
    fn default() -> Self {
        Self { items: Vec::new(), readers: VecDeque::new() }
    }
}

// === impl Lead ===

impl<K: Key, I, R> Lead<K, I, R> {
    /// Takes those in who came until now.
    fn gather(&mut self) {
        let mut groups = self.groups.lock();
        if let Some(group) = groups.get_mut(&self.key) {
            self.read.items.append(&mut group.items);
            self.read.readers.append(&mut group.readers);
        }
    }

    /// Those who wait for the next read, and those of this one when it was not made. When nobody does, that was the last.
    fn next(&mut self) -> Option<Waiting<K, I, R>> {
        let mut groups = self.groups.lock();
        let group = groups.get_mut(&self.key)?;
        // those of this one came first
        self.read.items.append(&mut group.items);
        self.read.readers.append(&mut group.readers);
        *group = std::mem::take(&mut self.read);
        group.readers.retain(|reader| !reader.is_closed());
        if group.readers.is_empty() {
            groups.remove(&self.key);
            return None;
        }
        Some(std::mem::take(group))
    }
}

impl<K: Key, I, R> Drop for Lead<K, I, R> {
    fn drop(&mut self) {
        if let Some(mut read) = self.next()
            && let Some(first) = read.readers.pop_front()
        {
            // when that one has just stopped waiting the lead comes back, and its drop passes it on in turn
            let lead = Lead { groups: Arc::clone(&self.groups), key: self.key.clone(), read };
            let _ = first.send(Told::Lead(lead));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};

    use tokio::sync::watch;

    use super::*;

    /// Polls once.
    fn step<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Polls until it has nothing to do but wait.
    fn poll<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        let mut steps = (0..=TURNS).map(|_| step(future.as_mut()));
        steps.find(Poll::is_ready).unwrap_or(Poll::Pending)
    }

    /// A source that answers with what it was asked, once the gate is at or beyond its call's number.
    struct Source {
        reads: SharedReads<u8, u32, (usize, Vec<u32>)>,
        calls: AtomicUsize,
        gate: watch::Sender<usize>,
    }

    impl Source {
        fn new() -> Self {
            Self { reads: SharedReads::new(), calls: AtomicUsize::new(0), gate: watch::channel(0).0 }
        }

        async fn get(&self, key: u8, item: u32) -> (usize, Vec<u32>) {
            let read = async |items| {
                let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
                self.gate.subscribe().wait_for(|open| *open >= call).await.unwrap();
                (call, items)
            };
            self.reads.read(key, item, read).await
        }

        fn open(&self, calls: usize) {
            self.gate.send_replace(calls);
        }
    }

    #[test]
    fn who_comes_during_a_read_shares_the_next_and_never_this_one() {
        let source = Source::new();
        let (mut one, mut two, mut three, mut other) =
            (pin!(source.get(1, 1)), pin!(source.get(1, 2)), pin!(source.get(1, 3)), pin!(source.get(2, 4)));
        for future in [one.as_mut(), two.as_mut(), three.as_mut()] {
            assert!(poll(future).is_pending());
        }
        assert!(poll(other.as_mut()).is_pending());
        assert_eq!(source.calls.load(Ordering::Relaxed), 2, "one read for each key");
        source.open(2);
        assert_eq!(poll(one), Poll::Ready((1, vec![1])));
        assert_eq!(poll(other), Poll::Ready((2, vec![4])), "keys share nothing");
        assert!(poll(two.as_mut()).is_pending(), "it makes the next read");
        source.open(3);
        assert_eq!(poll(two), Poll::Ready((3, vec![2, 3])));
        assert_eq!(poll(three), Poll::Ready((3, vec![2, 3])));
        assert!(source.reads.0.lock().is_empty(), "nothing is kept");
    }

    #[test]
    fn who_comes_before_a_read_of_several_begins_comes_along() {
        let source = Source::new();
        let (mut one, mut two, mut three) =
            (pin!(source.get(1, 1)), pin!(source.get(1, 2)), pin!(source.get(1, 3)));
        assert!(poll(one.as_mut()).is_pending());
        assert!(poll(two.as_mut()).is_pending());
        source.open(2);
        assert_eq!(poll(one), Poll::Ready((1, vec![1])));
        assert!(step(two.as_mut()).is_pending(), "it lets others have their turn");
        assert!(poll(three.as_mut()).is_pending());
        assert_eq!(poll(two), Poll::Ready((2, vec![2, 3])));
        assert_eq!(poll(three), Poll::Ready((2, vec![2, 3])));
    }

    #[test]
    fn when_one_who_reads_is_dropped_the_next_takes_over_for_all() {
        let source = Source::new();
        let (mut two, mut three, mut four) =
            (pin!(source.get(1, 2)), pin!(source.get(1, 3)), pin!(source.get(1, 4)));
        {
            let mut one = pin!(source.get(1, 1));
            assert!(poll(one.as_mut()).is_pending());
            assert!(poll(two.as_mut()).is_pending());
            {
                let mut gone = pin!(source.get(1, 9));
                assert!(poll(gone.as_mut()).is_pending());
            }
            assert!(poll(three.as_mut()).is_pending());
        }
        // the first is gone: the second reads, and one who comes now waits for the read after it
        assert!(poll(two.as_mut()).is_pending());
        assert!(poll(four.as_mut()).is_pending());
        source.open(2);
        assert_eq!(poll(two), Poll::Ready((2, vec![1, 2, 9, 3])));
        assert_eq!(poll(three), Poll::Ready((2, vec![1, 2, 9, 3])));
        assert!(poll(four.as_mut()).is_pending());
        source.open(3);
        assert_eq!(poll(four), Poll::Ready((3, vec![4])));
        assert!(source.reads.0.lock().is_empty());
    }

    #[test]
    fn a_lead_that_nobody_took_up_is_passed_on() {
        let source = Source::new();
        let mut last = pin!(source.get(1, 3));
        {
            let mut one = pin!(source.get(1, 1));
            let mut two = Box::pin(source.get(1, 2));
            assert!(poll(one.as_mut()).is_pending());
            assert!(poll(two.as_mut()).is_pending());
            assert!(poll(last.as_mut()).is_pending());
            source.open(1);
            assert!(poll(one).is_ready(), "the second has the lead now");
            drop(two);
        }
        source.open(2);
        assert_eq!(poll(last).map(|(_, items)| items), Poll::Ready(vec![2, 3]));
        assert!(source.reads.0.lock().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn every_reader_gets_its_item_whoever_is_dropped() {
        let reads = Arc::new(SharedReads::<u8, u32, Arc<Vec<u32>>>::new());
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..2_000_u32 {
            let reads = Arc::clone(&reads);
            tasks.spawn(async move {
                let read = async |items| {
                    for _ in 0..n % 4 {
                        tokio::task::yield_now().await;
                    }
                    Arc::new(items)
                };
                let get = reads.read((n % 3) as u8, n, read);
                if n % 5 == 0 {
                    // cut off wherever it is after a few turns
                    let turns = async {
                        for _ in 0..n % 7 {
                            tokio::task::yield_now().await;
                        }
                    };
                    tokio::select! { items = get => assert!(items.contains(&n)), () = turns => {} }
                } else {
                    assert!(get.await.contains(&n));
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert!(reads.0.lock().is_empty());
    }
}
