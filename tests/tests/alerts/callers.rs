//! Callers: some that may not, some that guess, some that ask too often; and an owner who does not look.

use std::net::SocketAddr;

use rag_tower_tests::console::hand_off;
use rag_tower_tests::http::DEADLINE;
use rag_tower_tests::server::{OWNER, Server, Setup};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use super::{BINARY, Watched, ask, wait};

pub(super) const ALERTS: &[&[&str]] = &[GUESSING, STRANGERS, TOO_OFTEN, UNSEEN];

const GUESSING: &[&str] = &["PasswordsGuessed"];
const STRANGERS: &[&str] = &["CredentialsRefused"];
const TOO_OFTEN: &[&str] = &["CallersLimited"];
const UNSEEN: &[&str] = &["HandoffsWait", "OwnerAlertsNotDelivered", "SpansLost"];

/// One wrong password from an address of this machine: each address has a few tries before it has to wait.
async fn guess(addr: SocketAddr, from: u8) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
    let mut connection = socket.connect(addr).await.unwrap();
    let body = json!({"username": OWNER, "password": "not-the-password-0123456789"}).to_string();
    let request = format!(
        "POST /owner/auth/login HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, connection.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_guess_and_an_owner_who_does_not_look() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = Setup::new(BINARY)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{gone}"))
        .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    let watched = Watched::start(setup).await;
    let server = &watched.server;
    for n in 0..21 {
        hand_off(server, &format!("Tôi muốn gặp tư vấn viên, số của tôi là 09123456{n:02}")).await;
    }

    watched
        .until(GUESSING, async |n| {
            let mut guesses = JoinSet::new();
            for address in 0..4 {
                // an address that has not failed before, five times
                let (addr, from) = (server.addr, u8::try_from(2 + (4 * n + address) % 250).unwrap());
                guesses.spawn(async move {
                    for _ in 0..5 {
                        guess(addr, from).await;
                    }
                });
            }
            guesses.join_all().await;
        })
        .await;

    let anonymous = server.client();
    watched
        .until(STRANGERS, async |_| {
            for _ in 0..10 {
                assert_eq!(ask(&anonymous, "Trung tâm có chính sách hoàn học phí không?").await.status, 401);
            }
            wait().await;
        })
        .await;

    unheard(server, gone).await;
    let tenant = server.tenant();
    watched
        .until(UNSEEN, async |n| {
            // each ask is a trace for a collector that is not there
            assert_eq!(
                ask(&tenant, &format!("Học phí khóa IELTS 6.5 là bao nhiêu? ({n})")).await.status,
                200
            );
            wait().await;
        })
        .await;
}

/// An alert of the owner's that nobody hears, tried five times.
async fn unheard(server: &Server, gone: SocketAddr) {
    let owner = server.owner().await;
    let alert = json!({
        "name": "errors", "metric": "error_rate", "window_min": 15, "comparison": "above", "threshold": 0.05,
        "min_requests": 20, "webhook": format!("http://{gone}/")
    });
    let made = owner.post("/owner/api/alerts", &alert).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let path = format!("/owner/api/alerts/{}/test", made.json()["id"].as_str().unwrap());
    for _ in 0..5 {
        let told = owner.post(&path, &json!({})).await.json();
        assert_eq!(told["ok"], false, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_ask_more_often_than_they_may() {
    let watched = Watched::watch(Setup::new(BINARY).env("RATE_LIMIT_PER_MINUTE", "60").start()).await;
    let tenant = watched.server.tenant();
    watched
        .until(TOO_OFTEN, async |n| {
            for _ in 0..20 {
                let status =
                    ask(&tenant, &format!("Học phí khóa IELTS 6.5 là bao nhiêu? ({n})")).await.status;
                assert!(status == 200 || status == 429, "{status}");
            }
            wait().await;
        })
        .await;
}
