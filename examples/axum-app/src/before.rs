//! An ordinary axum chat endpoint, before it knows of tenants or traces. `main.rs` is the same program after.

mod answers;

use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
struct Reply {
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new().route("/chat", post(chat));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    answers::announce(listener.local_addr()?)?;
    axum::serve(listener, app).with_graceful_shutdown(answers::end()).await?;
    Ok(())
}

async fn chat(Json(message): Json<Message>) -> Json<Reply> {
    let text = answers::answer("everyone", &message.text);
    Json(Reply { text })
}
