//! An OpenAI client of the field's, which knows nothing of us.

use std::sync::Once;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessageArgs, CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
};
use async_openai::types::embeddings::CreateEmbeddingRequestArgs;
use futures_util::StreamExt;
use rag_tower_tests::model_stub::{ModelStub, Reply};

use crate::harness::{ACME, Gateway};

fn client(gateway: &Gateway, key: &str) -> Client<OpenAIConfig> {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let base = format!("http://{}/v1", gateway.addr);
    Client::with_config(OpenAIConfig::new().with_api_base(base).with_api_key(key))
}

fn question(streamed: bool) -> CreateChatCompletionRequest {
    let message = ChatCompletionRequestUserMessageArgs::default().content("hello").build().unwrap();
    let mut request = CreateChatCompletionRequestArgs::default();
    request.model("stub").messages([message.into()]).stream(streamed).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_openai_knows_the_gateway() {
    let stub = ModelStub::start().await;
    let gateway = Gateway::before(&stub).await;
    let openai = client(&gateway, ACME);
    let whole = openai.chat().create(question(false)).await.unwrap();
    assert_eq!(whole.choices[0].message.content.as_deref(), Some("Hello from here."));
    assert_eq!(whole.usage.unwrap().total_tokens, 12);

    let mut stream = openai.chat().create_stream(question(true)).await.unwrap();
    let mut text = String::new();
    while let Some(chunk) = stream.next().await {
        for choice in chunk.unwrap().choices {
            text.push_str(choice.delta.content.as_deref().unwrap_or_default());
        }
    }
    assert_eq!(text, "Hello from here.");

    let input = CreateEmbeddingRequestArgs::default().model("stub").input(["a", "b"]).build().unwrap();
    assert_eq!(openai.embeddings().create(input).await.unwrap().data.len(), 2);

    stub.script([Reply::refused(400, "context_length_exceeded", "This is too long.")]);
    let refused = openai.chat().create(question(false)).await.unwrap_err();
    assert!(refused.to_string().contains("This is too long."), "{refused}");
    let nobody = client(&gateway, "a-key-that-nobody-has-0123456789abcdef");
    let refused = nobody.chat().create(question(false)).await.unwrap_err();
    let OpenAIError::ApiError(error) = &refused else { panic!("{refused:?}") };
    assert!(format!("{error:?}").contains("unauthenticated"), "{error:?}");

    let left = gateway.stop().await;
    assert_eq!(left.column("route"), ["chat", "chat", "embeddings", "chat"]);
    assert_eq!(left.column("status"), ["SUCCESS", "SUCCESS", "SUCCESS", "ERROR"]);
}
