//! A seed in, numbers out; and tasks polled in the order that they say.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Something that a client does.
pub type Task<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;

/// The same numbers for the same seed (SplitMix64).
pub struct Chance(u64);

thread_local! {
    /// True when the task that was polled last gave way by itself.
    static GAVE_WAY: Cell<bool> = const { Cell::new(false) };
}

// === impl Chance ===

impl Chance {
    /// The numbers of a seed, and of one of its parts.
    pub fn new(seed: u64, part: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part.rotate_left(32));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// One of them.
    pub fn one<'i, T>(&mut self, items: &'i [T]) -> Option<&'i T> {
        if items.is_empty() { None } else { Some(&items[self.below(items.len())]) }
    }
}

/// A place where another task may go on.
pub async fn give_way() {
    let mut given = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        GAVE_WAY.set(true);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Polls one task at a time, each up to its next [`give_way`], as chance says, until all are done. A task that waits for
/// anything else is waited for before another goes on, so that time decides nothing.
pub async fn by_chance(mut tasks: Vec<Task<'_>>, mut chance: Chance) {
    let mut turn = None;
    poll_fn(move |cx| {
        while !tasks.is_empty() {
            let at = *turn.get_or_insert_with(|| chance.below(tasks.len()));
            GAVE_WAY.set(false);
            match tasks[at].as_mut().poll(cx) {
                Poll::Ready(()) => {
                    drop(tasks.swap_remove(at));
                    turn = None;
                }
                Poll::Pending if GAVE_WAY.get() => turn = None,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn a_seed_is_one_order() {
    async fn order(seed: u64) -> Vec<usize> {
        let seen = std::cell::RefCell::new(Vec::new());
        let task = |n| {
            let seen = &seen;
            Box::pin(async move {
                for _ in 0..5 {
                    seen.borrow_mut().push(n);
                    tokio::task::spawn_blocking(|| ()).await.unwrap();
                    give_way().await;
                }
            }) as Task<'_>
        };
        by_chance((0..4).map(task).collect(), Chance::new(seed, 0)).await;
        seen.into_inner()
    }
    assert_eq!(order(1).await, order(1).await);
    assert_ne!(order(1).await, order(2).await);
}
