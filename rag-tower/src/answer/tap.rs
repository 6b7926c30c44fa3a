//! Runs something with a finished answer before its end is seen.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::{AnswerStream, Event, Finish};
use crate::error::Error;

pin_project! {
    /// Collects events, and holds `Finished` back until `then` is done with them.
    pub(super) struct OnFinished<F, Fut> {
        events: AnswerStream,
        kept: Vec<Event>,
        // Text that has come since the last event of another kind.
        text: String,
        room: Option<usize>,
        then: Option<F>,
        #[pin]
        running: Option<Fut>,
        finish: Option<Finish>,
    }
}

// === impl OnFinished ===

impl<F, Fut> OnFinished<F, Fut> {
    pub(super) fn new(events: AnswerStream, max_bytes: usize, then: F) -> Self {
        Self {
            events,
            kept: Vec::new(),
            text: String::new(),
            room: Some(max_bytes),
            then: Some(then),
            running: None,
            finish: None,
        }
    }
}

impl<F, Fut> Stream for OnFinished<F, Fut>
where
    F: FnOnce(Vec<Event>) -> Fut,
    Fut: Future<Output = ()>,
{
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            if let Some(running) = this.running.as_mut().as_pin_mut() {
                ready!(running.poll(cx));
                this.running.set(None);
                return Poll::Ready(this.finish.take().map(|finish| Ok(Event::Finished(finish))));
            }
            let polled = Pin::new(&mut *this.events).poll_next(cx);
            let Poll::Ready(Some(Ok(event))) = &polled else { return polled };
            if let Event::Delta(delta) = event {
                *this.room = this.room.and_then(|room| room.checked_sub(delta.len()));
                match this.room {
                    Some(_) => this.text.push_str(delta),
                    None => {
                        this.kept.clear();
                        this.text.clear();
                    }
                }
                return polled;
            }
            if this.room.is_some() {
                if !this.text.is_empty() {
                    this.kept.push(Event::Delta(std::mem::take(this.text).into()));
                }
                this.kept.push(event.clone());
            }
            let Event::Finished(finish) = event else { return polled };
            match (this.then.take(), *this.room) {
                (Some(then), Some(_)) => {
                    *this.finish = Some(finish.clone());
                    this.running.set(Some(then(std::mem::take(this.kept))));
                }
                _ => return polled,
            }
        }
    }
}
