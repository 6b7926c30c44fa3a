//! [`Call`] in, [`Call`] out; or the reply that the same call had a while ago.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::body::{Reply, ReplyBody, Tap};
use super::call::Call;
use super::reading::{Ending, Reading};
use crate::answer::{Finish, Usage};
use crate::cache::{Bounded, CacheOptions, Counts, note, partition_of};
use crate::error::{Error, Stage};
use crate::scoped::Scoped;
use crate::stage::{ResponseFuture, take_ready};
use crate::tenant::TenantScope;
use crate::trace::{CachePartition, CacheResult};

/// Answers a call again as it was answered before, frame for frame.
///
/// Two calls share a reply when tenant, branches, role, path, body and `OpenAI-*` headers are the same, byte by byte. Only a
/// [repeatable](Call::is_repeatable) call is looked for and kept: one at temperature 0, or for vectors; who asks at another
/// temperature asks for another answer each time. `Cache-Control: no-cache` or `no-store` passes the cache by. Kept is a reply
/// with status 200 that the model ended itself; never a failed, cut, filtered, refused or dropped one. A reply from the cache
/// carries `X-Cache: hit` and costs no tokens.
///
/// Each call counts in `rag_cache_requests_total{cache="reply", result="hit"|"miss"|"bypass"}`, and its receipt
/// ([`IsolationReceipt`](crate::trace::IsolationReceipt)) says the same, and from which part of the cache it may be answered.
///
/// - **Order:** inside the limits, which a hit uses up too, and inside [`RecordLayer`](super::RecordLayer).
/// - **Readiness:** that of the service inside; on a hit what was reserved there is given back.
/// - **Cancellation:** a dropped reply is not kept.
/// - **Panics:** none of its own.
#[derive(Clone)]
pub struct ReplyCacheLayer {
    cache: ReplyCache,
    counts: Counts,
}

/// The service of [`ReplyCacheLayer`].
#[derive(Clone, Debug)]
pub struct ReplyCached<S> {
    inner: S,
    layer: ReplyCacheLayer,
}

/// Whole replies of all tenants, in this process. Clones share what is kept.
#[derive(Clone, Debug)]
pub struct ReplyCache(Arc<Bounded<Key, Kept>>);

/// Everything that a reply depends on. Keys are compared whole, never by a digest alone: no collision can hand one tenant
/// another's reply.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    partition: CachePartition,
    rest: Box<str>,
    headers: Box<[(HeaderName, HeaderValue)]>,
    body: Bytes,
}

/// A reply, whole.
#[derive(Clone, Debug)]
struct Kept {
    content_type: HeaderValue,
    frames: Vec<Bytes>,
}

/// Keeps a copy of what passes, until it is too much.
struct Keeper {
    cache: ReplyCache,
    key: Option<Key>,
    generation: u64,
    content_type: HeaderValue,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Says that a reply came from the cache.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
/// The most bytes of one reply unless told otherwise: a stream takes some two hundred for each token.
const MOST_OF_ONE: usize = 1024 * 1024;

// === impl ReplyCacheLayer ===

impl ReplyCacheLayer {
    /// A layer over a cache.
    #[must_use]
    pub fn new(cache: ReplyCache) -> Self {
        Self { cache, counts: Counts::of("reply") }
    }
}

impl<S> Layer<S> for ReplyCacheLayer {
    type Service = ReplyCached<S>;

    fn layer(&self, inner: S) -> ReplyCached<S> {
        ReplyCached { inner, layer: self.clone() }
    }
}

impl fmt::Debug for ReplyCacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyCacheLayer").field("entries", &self.cache.len()).finish_non_exhaustive()
    }
}

// === impl ReplyCached ===

impl<S> Service<Call> for ReplyCached<S>
where
    S: Service<Call, Response = Reply, Error = Error, Future: Send + 'static> + Clone,
{
    type Response = Reply;
    type Error = Error;
    type Future = ResponseFuture<Reply>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let mut inner = take_ready(&mut self.inner);
        if !call.is_repeatable() || asks_anew(call.headers()) {
            self.layer.counts.bypass.increment(1);
            note(call.trace(), CacheResult::Bypass, None);
            return ResponseFuture::new(inner.call(call));
        }
        let timer = call.trace().time(Stage::Cache);
        let cache = self.layer.cache.clone();
        let key = Key::of(&call);
        let found = cache.0.get(&key);
        drop(timer);
        match found {
            Ok(kept) => {
                drop(inner);
                self.layer.counts.hit.increment(1);
                note(call.trace(), CacheResult::Hit, Some(key.partition));
                // Known to be nothing, which is not the same as unknown.
                call.trace().set_usage(Usage::default());
                call.trace().set_tool_metadata("cache", "hit");
                ResponseFuture::new(std::future::ready(Ok(kept.into_reply())))
            }
            Err(generation) => {
                self.layer.counts.miss.increment(1);
                note(call.trace(), CacheResult::Miss, Some(key.partition.clone()));
                let answering = inner.call(call);
                ResponseFuture::new(async move {
                    let reply = answering.await?;
                    let content_type = reply.headers().get(CONTENT_TYPE).cloned();
                    Ok(match content_type.filter(|_| reply.status() == StatusCode::OK) {
                        Some(content_type) => {
                            let keeper = Keeper::new(cache, key, generation, content_type);
                            reply.map(|body| body.tap(keeper))
                        }
                        None => reply,
                    })
                })
            }
        }
    }
}

/// True when the client wants no kept reply.
fn asks_anew(headers: &HeaderMap) -> bool {
    let directives = headers.get_all(CACHE_CONTROL).iter();
    directives
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .any(|directive| ["no-cache", "no-store"].iter().any(|no| directive.trim().eq_ignore_ascii_case(no)))
}

// === impl ReplyCache ===

impl ReplyCache {
    /// An empty cache.
    #[must_use]
    pub fn new(options: CacheOptions) -> Self {
        Self(Arc::new(Bounded::new(options)))
    }

    /// Forgets every reply of the tenant, and those being made right now.
    pub fn purge(&self, scope: &TenantScope) {
        self.0.remove(|key, _| key.partition.tenant_id == scope.tenant());
    }

    /// How many replies are kept, old ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for ReplyCache {
    /// [`CacheOptions::default`], with at most 1 MiB for one reply.
    fn default() -> Self {
        Self::new(CacheOptions { max_entry_bytes: MOST_OF_ONE, ..CacheOptions::default() })
    }
}

// === impl Key ===

impl Key {
    fn of(call: &Call) -> Self {
        let headers = call.headers().iter();
        let headers = headers.filter(|(name, _)| name.as_str().starts_with("openai-"));
        Self {
            partition: partition_of(call.scope(), Arc::from("")),
            rest: call.rest().into(),
            headers: headers.map(|(name, value)| (name.clone(), value.clone())).collect(),
            body: call.body().clone(),
        }
    }

    fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|header| size_of_val(header) + header.1.len()).sum();
        size_of::<Self>() + self.partition.heap_bytes() + self.rest.len() + headers + self.body.len()
    }
}

// === impl Kept ===

impl Kept {
    fn into_reply(self) -> Reply {
        let mut reply = Response::new(ReplyBody::kept(self.frames));
        reply.headers_mut().insert(CONTENT_TYPE, self.content_type);
        reply.headers_mut().insert(X_CACHE, HeaderValue::from_static("hit"));
        reply
    }
}

// === impl Keeper ===

impl Keeper {
    fn new(cache: ReplyCache, key: Key, generation: u64, content_type: HeaderValue) -> Self {
        Self { cache, key: Some(key), generation, content_type, bytes: Vec::new(), ends: Vec::new() }
    }

    /// True when the model came to its own end.
    fn is_whole(&self, bytes: &Bytes) -> bool {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, self.content_type.clone())]);
        let mut reading = Reading::of(&headers);
        reading.data(bytes);
        reading.end();
        matches!(reading.ending(), Some(Ending::Finished(Finish::Stop))) && reading.is_understood()
    }
}

impl Tap for Keeper {
    fn data(&mut self, bytes: &Bytes) {
        let Some(key) = &self.key else { return };
        if key.bytes() + self.bytes.len() + bytes.len() > self.cache.0.options().max_entry_bytes {
            self.key = None;
            self.bytes = Vec::new();
            return;
        }
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    fn end(&mut self, failure: Option<&Error>) {
        let Some(mut key) = self.key.take().filter(|_| failure.is_none()) else { return };
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        if !self.is_whole(&bytes) {
            return;
        }
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let frames: Vec<_> = starts.zip(&self.ends).map(|(start, end)| bytes.slice(start..*end)).collect();
        let size = key.bytes() + bytes.len() + frames.len() * size_of::<Bytes>() + size_of::<Kept>();
        // A copy of its own: what came in may be a part of something larger.
        key.body = Bytes::copy_from_slice(&key.body);
        let kept = Kept { content_type: self.content_type.clone(), frames };
        self.cache.0.put(key, kept, size, self.generation);
    }
}
