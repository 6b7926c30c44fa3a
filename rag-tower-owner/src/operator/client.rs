//! The command line's side: a running server in, its answers out.

use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::{Event, EventStream, Eventsource as _};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::{RequestBuilder, Response, header, redirect, retry};
use serde::Deserialize;
use serde_json::{Value, json};

use super::OperatorKey;
use crate::data_dir::Announced;
use crate::failure::Failure;

/// A server on this machine answers the telephone at once.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest refusal that is read.
const MAX_REFUSAL: usize = 64 * 1024;

/// Speaks to the server that has the data directory, as its operator.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: OperatorKey,
}

/// What the server took in.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Taken {
    pub(crate) documents: usize,
    pub(crate) chunks: usize,
}

/// The events of an answer.
pub(crate) type Events = EventStream<BoxStream<'static, Result<Bytes, reqwest::Error>>>;

// === impl Client ===

impl Client {
    pub(crate) fn new(server: &Announced) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            // what is on this machine is not behind a proxy, and sends nobody elsewhere
            .no_proxy()
            // nor behind TLS: nobody has to be trusted, and no certificate read
            .tls_certs_only([])
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| Failure::because("the running server cannot be spoken to", &error))?;
        let base = format!("http://{}", server.address);
        Ok(Self { http, base, key: OperatorKey::of(server.key.clone()) })
    }

    /// Asks as a member of the tenant, on the channel `cli`.
    pub(crate) async fn ask(&self, question: &str, tenant: &str) -> Result<Events, Failure> {
        #[derive(Deserialize)]
        struct Token {
            token: String,
        }
        let asked = self.operator("/operator/token")?.json(&json!({ "tenant": tenant }));
        let Token { token } = read(self.send(asked).await?).await?;
        let asked = self
            .http
            .post(format!("{}/query", self.base))
            .bearer_auth(token)
            .header(header::ACCEPT, "text/event-stream")
            .json(&json!({ "question": question, "channel": "cli" }));
        Ok(self.send(asked).await?.bytes_stream().boxed().eventsource())
    }

    /// Gives the server one file; its name says what it is.
    pub(crate) async fn take_in(&self, tenant: &str, name: &str, bytes: Vec<u8>) -> Result<Taken, Failure> {
        let asked = self
            .operator("/operator/documents")?
            .query(&[("tenant", tenant), ("name", name)])
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(bytes);
        read(self.send(asked).await?).await
    }

    fn operator(&self, path: &str) -> Result<RequestBuilder, Failure> {
        let token = self.key.token().map_err(|error| Failure::because("no token can be made", &error))?;
        Ok(self.http.post(format!("{}{path}", self.base)).bearer_auth(token))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| {
            Failure::because(format!("the running server at {} does not answer", self.base), &error)
                .mend("It may be starting or stopping: try again.")
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let mut text = Vec::new();
        let mut body = response.bytes_stream();
        while let Ok(Some(piece)) = body.try_next().await {
            if text.len() + piece.len() > MAX_REFUSAL {
                break;
            }
            text.extend_from_slice(&piece);
        }
        let problem: Value = serde_json::from_slice(&text).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("it does not say why").to_owned();
        // what was given is wrong: exit as for a wrong argument
        Err(match status.as_u16() {
            400 | 404 | 413 => Failure::usage(detail),
            _ => Failure::new(format!("the running server refused with {status}: {detail}")),
        })
    }
}

async fn read<T: serde::de::DeserializeOwned>(response: Response) -> Result<T, Failure> {
    response
        .json()
        .await
        .map_err(|error| Failure::because("the running server's answer cannot be read", &error))
}

/// The data of an event.
pub(crate) fn data(event: &Event) -> Value {
    serde_json::from_str(&event.data).unwrap_or_default()
}
