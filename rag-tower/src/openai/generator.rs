//! [`GenerateRequest`] in, a model's answer out.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage,
    ChatCompletionRequestUserMessage, ChatCompletionStreamOptions, CreateChatCompletionRequest,
};
use futures_core::future::BoxFuture;
use tower_service::Service;

use super::endpoint::Endpoint;
use super::events::{self, Origin};
use super::meter::Meters;
use crate::answer::{AnswerStream, estimate_tokens};
use crate::error::{Error, Stage};
use crate::port::{GenerateRequest, Message, Speaker};

/// Answers with a chat model, streaming.
///
/// It resolves when the provider has accepted the request; dropping the answer closes the connection, which stops the
/// generation. Provider and model are named on the trace, usage is asked for (`stream_options.include_usage`) and
/// estimated when none comes.
///
/// **Readiness:** always ready. **Cancellation:** dropping the future or the answer closes the connection. **Panics:**
/// none of its own.
#[derive(Clone)]
pub struct OpenAiGenerator {
    endpoint: Endpoint,
    model: Arc<str>,
    max_output_tokens: Option<u32>,
    temperature: Option<f32>,
    streaming: bool,
    meters: Meters,
}

// === impl OpenAiGenerator ===

impl OpenAiGenerator {
    /// A model of an endpoint. The model's name becomes a metric label.
    #[must_use]
    pub fn new(endpoint: Endpoint, model: impl Into<Arc<str>>) -> Self {
        let model = model.into();
        let meters = Meters::new("chat", endpoint.name(), &model);
        Self { endpoint, model, max_output_tokens: None, temperature: None, streaming: true, meters }
    }

    /// The most tokens to answer with, where the request does not say. Default: the provider's own limit.
    #[must_use]
    pub fn with_max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }

    /// The sampling temperature, 0 to 2. Default: the provider's own.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Whether to ask for a stream. Default: true; false for servers that cannot.
    #[must_use]
    pub fn with_streaming(mut self, streaming: bool) -> Self {
        self.streaming = streaming;
        self
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    #[expect(
        deprecated,
        reason = "only OpenAI itself knows `max_completion_tokens`; compatible servers know this name"
    )]
    fn body(&self, request: &GenerateRequest) -> CreateChatCompletionRequest {
        let limit = request.max_output_tokens.or(self.max_output_tokens);
        let usage = ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None };
        CreateChatCompletionRequest {
            model: self.model.to_string(),
            messages: request.messages.iter().map(message).collect(),
            temperature: self.temperature,
            stream: Some(self.streaming),
            stream_options: self.streaming.then_some(usage),
            max_completion_tokens: limit.filter(|_| self.endpoint.is_openai()),
            max_tokens: limit.filter(|_| !self.endpoint.is_openai()),
            ..CreateChatCompletionRequest::default()
        }
    }
}

impl Service<GenerateRequest> for OpenAiGenerator {
    type Response = AnswerStream;
    type Error = Error;
    type Future = BoxFuture<'static, Result<AnswerStream, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: GenerateRequest) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let mut meter = this.meters.start();
            let body = this.body(&request);
            let input_tokens = request.messages.iter().map(|message| estimate_tokens(&message.text)).sum();
            let first_by = this.endpoint.first_by();
            match this.endpoint.post("/chat/completions", &body, first_by, Stage::Generate).await {
                Ok(response) => {
                    request.trace.set_provider(Arc::clone(this.endpoint.name()), this.model);
                    let origin = Origin { endpoint: this.endpoint, meter, first_by, input_tokens };
                    Ok(events::events(response, origin))
                }
                Err(error) => {
                    meter.failed(error.kind());
                    Err(error)
                }
            }
        })
    }
}

impl fmt::Debug for OpenAiGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiGenerator")
            .field("endpoint", &self.endpoint)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

fn message(message: &Message) -> ChatCompletionRequestMessage {
    let text = &*message.text;
    match message.speaker {
        Speaker::System => {
            ChatCompletionRequestMessage::System(ChatCompletionRequestSystemMessage::from(text))
        }
        Speaker::User => ChatCompletionRequestMessage::User(ChatCompletionRequestUserMessage::from(text)),
        Speaker::Assistant => {
            ChatCompletionRequestMessage::Assistant(ChatCompletionRequestAssistantMessage::from(text))
        }
    }
}
