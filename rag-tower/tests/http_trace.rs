//! The HTTP twin over real TCP: a server sees bodies end in other ways than a test that polls to `None`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rag_tower::test_util::{Leaf, MemoryTraces, Step};
use rag_tower::trace::http::HttpTraceLayer;
use rag_tower::trace::{
    Outcome, Phase, TraceLayer, TraceRow, TraceSink, TraceWriter, WriterConfig, spawn_writer,
};
use rag_tower::{Answer, Ask, Channel, ErrorKind, Event, Finish, Question, Stage, TenantScope, TraceHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tower::{Layer, ServiceExt, service_fn};

type BoxBody = UnsyncBoxBody<Bytes, Infallible>;

fn scope() -> TenantScope {
    rag_tower::test_util::scope("a")
}

fn boxed(body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static) -> BoxBody {
    UnsyncBoxBody::new(body)
}

fn chunks(chunks: &'static [&'static str]) -> impl Body<Data = Bytes, Error = Infallible> + Send {
    StreamBody::new(stream::iter(chunks).map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))))
}

/// An ordinary program's endpoints. The traced ask under `/ask` is given `sink` too.
async fn endpoints(request: Request<Incoming>, sink: TraceSink) -> Result<Response<BoxBody>, Infallible> {
    let handle = request.extensions().get::<TraceHandle>().unwrap().clone();
    let path = request.uri().path().to_owned();
    if path != "/anonymous" {
        handle.set_tenant(&scope());
    }
    let response = |body| Response::new(body);
    Ok(match path.as_str() {
        "/json" | "/anonymous" => {
            handle.set_question("what?");
            handle.set_answer("that");
            response(boxed(Full::from("{\"answer\":\"that\"}")))
        }
        "/chunked" => response(boxed(chunks(&["one", "two"]))),
        "/events" => Response::builder()
            .header("content-type", "text/event-stream")
            .body(boxed(chunks(&["data: a\n\n"]).with_trailers(std::future::pending())))
            .unwrap(),
        "/never" => std::future::pending().await,
        "/empty" => Response::builder().status(StatusCode::NO_CONTENT).body(boxed(Empty::new())).unwrap(),
        "/refused" => Response::builder().status(429).body(boxed(Full::from("slow down"))).unwrap(),
        "/handoff" => {
            handle.set_outcome(Outcome::Completed(Finish::Handoff("t-1".into())));
            response(boxed(Full::from("a person will call")))
        }
        "/ask" => {
            let ask = Ask::new(scope(), Question::parse("asked?").unwrap())
                .with_channel(Channel::Web)
                .with_trace(handle);
            let id = ask.id();
            let leaf =
                Leaf::streaming([Step::delta("answered"), Step::Event(Event::Finished(Finish::Length))]);
            let answer: Answer = TraceLayer::new(sink).layer(leaf).oneshot(ask).await.unwrap();
            answer.collect().await.unwrap();
            response(boxed(Full::from(format!("{id};"))))
        }
        other => panic!("no endpoint {other}"),
    })
}

struct Fixture {
    address: std::net::SocketAddr,
    store: MemoryTraces,
    sink: TraceSink,
    writer: TraceWriter,
    server: tokio::task::JoinSet<()>,
}

async fn serve() -> Fixture {
    let store = MemoryTraces::new();
    let (sink, writer) = spawn_writer(store.clone(), WriterConfig::default().linger(Duration::ZERO));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = tokio::task::JoinSet::new();
    let shared = sink.clone();
    server.spawn(async move {
        let inner = shared.clone();
        let service =
            HttpTraceLayer::new(shared).layer(service_fn(move |request| endpoints(request, inner.clone())));
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            connections.spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                let _closed = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Fixture { address, store, sink, writer, server }
}

impl Fixture {
    async fn send(&self, method: &str, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nx-request-id: r-1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Waits for a whole response of a kept connection: what it must contain at its end.
    async fn whole(&self, method: &str, path: &str, end: &str) -> (TcpStream, String) {
        let mut stream = self.send(method, path).await;
        let text = read_until(&mut stream, end).await;
        (stream, text)
    }

    /// The only row, which is there while the connection still lives.
    async fn row(&self) -> TraceRow {
        let rows = timeout(Duration::from_secs(30), self.store.reached(1)).await.unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.into_iter().next().unwrap()
    }

    async fn end(mut self) -> rag_tower::trace::TraceStats {
        self.server.shutdown().await;
        self.writer.shutdown(Duration::from_secs(5)).await
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 1024]);
    while !text.contains(end) {
        let read = timeout(Duration::from_secs(30), stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text
}

#[tokio::test]
async fn complete_answers_are_complete_however_their_end_is_known() {
    let completed = Outcome::Completed(Finish::Stop);
    for (method, path, end) in [
        ("GET", "/json", "that\"}"),
        ("GET", "/chunked", "0\r\n\r\n"),
        ("HEAD", "/json", "\r\n\r\n"),
        ("HEAD", "/chunked", "\r\n\r\n"),
        ("GET", "/empty", "\r\n\r\n"),
    ] {
        let server = serve().await;
        let (stream, _) = server.whole(method, path, end).await;
        // The connection is still open: the row does not wait for its end.
        let row = server.row().await;
        assert_eq!(row.outcome, completed, "{method} {path}");
        assert_eq!((row.tenant_id, row.request_id.as_deref()), (scope().tenant(), Some("r-1")));
        drop(stream);
        let stats = server.end().await;
        assert_eq!((stats.opened, stats.written), (1, 1), "{method} {path}");
    }
}

#[tokio::test]
async fn what_the_handler_says_is_on_the_row() {
    let server = serve().await;
    let (_stream, _) = server.whole("GET", "/json", "that\"}").await;
    let row = server.row().await;
    assert_eq!((row.question.as_deref(), row.answer.as_deref()), (Some("what?"), Some("that")));
    let server = serve().await;
    let (_stream, _) = server.whole("GET", "/handoff", "call").await;
    assert_eq!(server.row().await.outcome, Outcome::Completed(Finish::Handoff("t-1".into())));
    let server = serve().await;
    let (_stream, _) = server.whole("GET", "/refused", "slow down").await;
    assert_eq!(server.row().await.outcome, Outcome::Failed(ErrorKind::RateLimited, Stage::Http));
}

#[tokio::test]
async fn a_client_that_goes_away_mid_stream_or_before_is_cancelled() {
    let server = serve().await;
    let (stream, _) = server.whole("GET", "/events", "data: a").await;
    drop(stream);
    let row = server.row().await;
    assert_eq!(row.outcome, Outcome::Cancelled(Phase::Streaming));
    assert!(row.ttft.is_some());
    let server = serve().await;
    let stream = server.send("GET", "/never").await;
    while server.sink.stats().opened == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    assert_eq!(server.row().await.outcome, Outcome::Cancelled(Phase::BeforeFirstEvent));
}

#[tokio::test]
async fn without_a_tenant_there_is_no_row() {
    let server = serve().await;
    let (stream, _) = server.whole("GET", "/anonymous", "that\"}").await;
    drop(stream);
    let store = server.store.clone();
    let stats = server.end().await;
    assert_eq!((stats.opened, stats.void, stats.sent), (1, 1, 0));
    assert_eq!(store.rows(), []);
}

#[tokio::test]
async fn an_ask_inside_annotates_the_row_and_names_it() {
    let server = serve().await;
    let (_stream, text) = server.whole("GET", "/ask", ";").await;
    let row = server.row().await;
    assert!(text.ends_with(&format!("{};", row.trace_id)), "{text} {row:?}");
    assert_eq!(row.outcome, Outcome::Completed(Finish::Length));
    assert_eq!((row.question.as_deref(), row.answer.as_deref()), (Some("asked?"), Some("answered")));
    assert_eq!((row.channel, row.request_id.as_deref()), (Channel::Web, Some("r-1")));
    assert!(row.ttft.is_some());
    let stats = server.end().await;
    assert_eq!((stats.opened, stats.sent), (1, 1));
}
