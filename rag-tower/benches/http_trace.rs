//! What tracing adds to a request of a program with an endpoint of its own: `HttpTraceLayer` over a service that answers at
//! once, from the call to the end of the body. Rows go through the real queue and writer to a store that drops them.
//!
//! `cargo bench -p rag-tower --no-default-features --features trace --bench http_trace`; numbers and machine are in `README.md`
//! beside this file.

#![expect(clippy::unwrap_used, reason = "a benchmark stops where it cannot go on")]

mod nowhere;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use metrics_exporter_prometheus::PrometheusBuilder;
use rag_tower::answer::Usage;
use rag_tower::trace::TraceHandle;
use rag_tower::trace::http::HttpTraceLayer;
use rag_tower::{Grant, Stage, TenantId};
use tower::{Layer, Service};

use self::nowhere::{config, runtime, sink};

fn main() {
    let _runtime = runtime().enter();
    divan::main();
}

/// So many pieces of text, each a frame.
struct Pieces(usize);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"a piece of text")))))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Answers at once, and may say what it knows.
#[derive(Clone)]
struct Endpoint {
    pieces: usize,
    says: bool,
}

impl Service<Request<()>> for Endpoint {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Pieces>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        if self.says {
            let trace = request.extensions().get::<TraceHandle>().unwrap();
            drop(trace.time(Stage::Generate));
            trace.set_question("What does the evening course cost?");
            trace.set_answer("The evening course costs one hundred.");
            trace.set_provider("provider", "model");
            trace.set_usage(Usage { input_tokens: 11, output_tokens: 7, estimated: false });
        }
        let response = Response::builder().header("content-type", "text/event-stream");
        ready(Ok(response.body(Pieces(self.pieces)).unwrap()))
    }
}

/// A request that shares nothing with those before it, of a tenant that is known.
fn request() -> Request<()> {
    let mut request = Request::post("/chat").header("content-type", "application/json").body(()).unwrap();
    let grant = Grant::new(TenantId::named("a")).with_subject("key");
    request.extensions_mut().insert(rag_tower::test_util::granted(grant));
    request
}

/// One request from its call to the end of its body; nothing in it waits.
fn run<S, B>(service: &mut S, request: Request<()>)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let response = service.call(request).now_or_never().unwrap().unwrap();
    let mut body = std::pin::pin!(response.into_body());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        assert!(divan::black_box(frame).is_ok());
    }
}

fn bench<S, B>(bencher: Bencher<'_, '_>, service: S)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes>,
{
    // each connection has a clone of its own
    let mut service = service.clone();
    bencher.with_inputs(request).bench_local_values(|request| run(&mut service, request));
}

fn quiet(pieces: usize) -> Endpoint {
    Endpoint { pieces, says: false }
}

/// One piece of text.
mod whole {
    use super::*;

    #[divan::bench]
    fn a_bare(bencher: Bencher<'_, '_>) {
        bench(bencher, quiet(1));
    }

    #[divan::bench]
    fn b_traced(bencher: Bencher<'_, '_>) {
        bench(bencher, HttpTraceLayer::new(sink(config())).layer(quiet(1)));
    }

    #[divan::bench]
    fn c_traced_and_the_endpoint_says_what_it_knows(bencher: Bencher<'_, '_>) {
        bench(bencher, HttpTraceLayer::new(sink(config())).layer(Endpoint { pieces: 1, says: true }));
    }

    /// With a recorder for the metrics, whose histograms are folded beside it.
    #[divan::bench]
    fn d_traced_and_measured(bencher: Bencher<'_, '_>) {
        let recorder =
            PrometheusBuilder::new().set_buckets(&[0.001, 0.01, 0.1, 1.0]).unwrap().build_recorder();
        let handle = recorder.handle();
        let upkeep = runtime().spawn(async move {
            loop {
                handle.run_upkeep();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        // series are looked up once, by whichever request comes first
        let mut traced = HttpTraceLayer::new(sink(config())).layer(quiet(1));
        metrics::with_local_recorder(&recorder, || run(&mut traced, request()));
        bench(bencher, traced);
        upkeep.abort();
    }
}

/// A stream of a hundred pieces.
mod streamed {
    use super::*;

    #[divan::bench]
    fn a_bare(bencher: Bencher<'_, '_>) {
        bench(bencher, quiet(100));
    }

    #[divan::bench]
    fn b_traced(bencher: Bencher<'_, '_>) {
        bench(bencher, HttpTraceLayer::new(sink(config())).layer(quiet(100)));
    }
}
