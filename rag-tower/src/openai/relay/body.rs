//! The body of a reply, and what watches it pass.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use crate::admission::Hold;
use crate::error::Error;

/// What a call is answered with.
pub type Reply = Response<ReplyBody>;

/// A body whose frames pass one by one, as they come. Dropping it drops the provider's stream, which stops the generation.
#[must_use = "a body does nothing unless polled"]
pub struct ReplyBody {
    frames: Frames,
    /// The innermost first.
    taps: Vec<Box<dyn Tap>>,
}

enum Frames {
    Kept(std::vec::IntoIter<Bytes>),
    Live(Pin<Box<dyn Body<Data = Bytes, Error = Error> + Send>>),
    Ended,
}

/// Sees what passes; it changes nothing. One that is dropped before its end saw a call that was cancelled.
pub(super) trait Tap: Send {
    /// These bytes are about to go out.
    fn data(&mut self, bytes: &Bytes);

    /// Nothing more comes: everything did, or this error is about to go out.
    fn end(&mut self, failure: Option<&Error>);
}

/// Sees nothing and is there until the end.
struct Held<G>(Option<G>);

// === impl ReplyBody ===

impl ReplyBody {
    /// These frames, all there already.
    pub(super) fn kept(frames: Vec<Bytes>) -> Self {
        let frames = if frames.is_empty() { Frames::Ended } else { Frames::Kept(frames.into_iter()) };
        Self { frames, taps: Vec::new() }
    }

    /// The frames of a body that is still coming.
    pub(super) fn live(body: impl Body<Data = Bytes, Error = Error> + Send + 'static) -> Self {
        let frames = if body.is_end_stream() { Frames::Ended } else { Frames::Live(Box::pin(body)) };
        Self { frames, taps: Vec::new() }
    }

    /// Lets `tap` see what passes from now on. Of a body that has ended it sees the end at once.
    pub(super) fn tap(mut self, mut tap: impl Tap + 'static) -> Self {
        match self.frames {
            Frames::Ended => tap.end(None),
            Frames::Kept(_) | Frames::Live(_) => self.taps.push(Box::new(tap)),
        }
        self
    }

    /// Each tap is told once, and then dropped.
    fn end(&mut self, failure: Option<&Error>) {
        self.frames = Frames::Ended;
        for mut tap in self.taps.drain(..) {
            tap.end(failure);
        }
    }
}

impl From<Bytes> for ReplyBody {
    fn from(bytes: Bytes) -> Self {
        Self::kept(if bytes.is_empty() { Vec::new() } else { vec![bytes] })
    }
}

impl Hold for Reply {
    fn hold<G: Send + Unpin + 'static>(self, guard: G) -> Self {
        self.map(|body| body.tap(Held(Some(guard))))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let item = match &mut this.frames {
            Frames::Ended => return Poll::Ready(None),
            Frames::Kept(frames) => frames.next().map(|bytes| Ok(Frame::data(bytes))),
            Frames::Live(body) => std::task::ready!(body.as_mut().poll_frame(cx)),
        };
        match &item {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    this.taps.iter_mut().for_each(|tap| tap.data(bytes));
                }
                // A server does not poll once more when it knows that this was the last.
                if this.is_end_stream() {
                    this.end(None);
                }
            }
            Some(Err(error)) => this.end(Some(error)),
            None => this.end(None),
        }
        Poll::Ready(item)
    }

    fn is_end_stream(&self) -> bool {
        match &self.frames {
            Frames::Kept(frames) => frames.as_slice().is_empty(),
            Frames::Live(body) => body.is_end_stream(),
            Frames::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.frames {
            // A server joins the frames of a body whose length is known: several are a stream, and stay one.
            Frames::Kept(frames) => match frames.as_slice() {
                [only] => SizeHint::with_exact(only.len() as u64),
                _ => SizeHint::default(),
            },
            Frames::Live(body) => body.size_hint(),
            Frames::Ended => SizeHint::with_exact(0),
        }
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.frames {
            Frames::Kept(_) => "ReplyBody(kept)",
            Frames::Live(_) => "ReplyBody(live)",
            Frames::Ended => "ReplyBody(ended)",
        })
    }
}

// === impl Held ===

impl<G: Send> Tap for Held<G> {
    fn data(&mut self, _: &Bytes) {}

    fn end(&mut self, _: Option<&Error>) {
        self.0 = None;
    }
}
