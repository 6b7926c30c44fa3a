//! Two servers that share a Redis.

use std::process::Command;

use rag_tower_tests::http::{Answer, DEADLINE};
use rag_tower_tests::redis::{PASSWORD, RedisServer};
use rag_tower_tests::server::{DEMO_KEY, Server, Setup};
use serde_json::json;
use tokio::time::Instant;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const BINARY: &str = env!("CARGO_BIN_EXE_rag-tower-server");

/// One ask a minute: what one server lets through is what the other refuses, for long enough to see it on any machine.
fn setup(redis: &RedisServer) -> Setup {
    Setup::new(BINARY).env("REDIS_URL", redis.url()).env("RATE_LIMIT_PER_MINUTE", "1")
}

async fn ask(server: &Server) -> Answer {
    server.tenant().post("/query", &json!({"question": "Trung tâm có chính sách bảo lưu không?"})).await
}

async fn ticket(server: &Server) -> Answer {
    server.tenant().post("/ws/ticket", &json!({})).await
}

fn text(ticket: &Answer) -> String {
    assert_eq!(ticket.status, 200, "{}", ticket.text());
    ticket.json()["ticket"].as_str().unwrap().to_owned()
}

/// The status of an upgrade with this ticket.
async fn upgrade(server: &Server, ticket: &str) -> u16 {
    let url = format!("ws://{}/ws/query?ticket={ticket}", server.addr);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("origin", format!("http://{}", server.addr).parse().unwrap());
    match connect_async(request).await {
        Ok((mut socket, answer)) => {
            socket.close(None).await.unwrap();
            answer.status().as_u16()
        }
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

/// Waits until the server's own look at Redis says so.
async fn seen(server: &Server, up: bool) {
    let figure = format!("rag_dependency_up{{dependency=\"redis\"}} {}", u8::from(up));
    let end = Instant::now() + DEADLINE;
    loop {
        let figures = server.scrape().await;
        if figures.contains(&figure) {
            break;
        }
        assert!(Instant::now() < end, "not in time: {figure}\n{figures}");
        tokio::task::yield_now().await;
    }
    let system = server.owner().await.get("/owner/api/system").await.json();
    let found =
        system["dependencies"].as_array().unwrap().iter().find(|found| found["name"] == "redis").cloned();
    assert_eq!(found.unwrap()["ok"], up, "{system}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t62_two_servers_share_limits_and_tickets_and_go_on_without_redis() {
    let mut redis = RedisServer::start();
    let (one, other) = (setup(&redis).start(), setup(&redis).start());
    for server in [&one, &other] {
        assert!(server.banner.contains("Limits    and tickets are shared in unix://"), "{}", server.banner);
        seen(server, true).await;
    }

    // what one lets through, the other refuses
    assert_eq!(ask(&one).await.status, 200);
    let refused = ask(&other).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    let after: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");

    // a ticket of one opens at the other, once
    let given = text(&ticket(&one).await);
    assert_eq!(upgrade(&other, &given).await, 101);
    assert_eq!(upgrade(&one, &given).await, 401, "used");
    assert_eq!(upgrade(&other, &given).await, 401, "used");
    let seen_there = redis.everything().await;
    assert!(!seen_there.windows(DEMO_KEY.len()).any(|bytes| bytes == DEMO_KEY.as_bytes()));

    // away: asks run, nobody is let in by a ticket, and the server says so
    let given = text(&ticket(&one).await);
    redis.go_away();
    for server in [&one, &other] {
        seen(server, false).await;
        assert_eq!(ask(server).await.status, 200);
        assert_eq!(ask(server).await.status, 200, "limits do not hold, and asks run");
        let refused = ticket(server).await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(refused.json()["kind"], "store_unavailable");
        assert_eq!(upgrade(server, &given).await, 503);
        assert_eq!(server.client().get("/healthz").await.status, 200, "it answers");
    }

    // back, without a restart
    redis.come_back();
    for server in [&one, &other] {
        seen(server, true).await;
    }
    assert_eq!(ask(&one).await.status, 200);
    assert_eq!(ask(&other).await.status, 429, "limits hold again");
    assert_eq!(upgrade(&one, &text(&ticket(&other).await)).await, 101);

    for server in [one, other] {
        let (status, output, _keep) = server.stop();
        assert!(status.success(), "{output}");
        assert!(!output.contains(PASSWORD), "{output}");
        let warned = output.matches("rate limits cannot be checked").count();
        assert_eq!(warned, 1, "once, not for each ask: {output}");
    }
}

#[test]
fn without_redis_each_server_has_its_own() {
    let server = Setup::new(BINARY).start();
    assert!(server.banner.contains("Limits    and tickets are this server's own"), "{}", server.banner);
}

#[test]
fn a_redis_that_cannot_be_used_stops_the_start_and_says_what_to_do() {
    let redis = RedisServer::start();
    for (url, why) in [
        ("redis://:canary@127.0.0.1:1".to_owned(), "unavailable"),
        (redis.url_of("default", "canary"), "refused the login"),
    ] {
        let setup = Setup::new(BINARY).env("REDIS_URL", &url);
        let doctor = setup.command(&["doctor"]).output().unwrap();
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(!doctor.status.success() && said.contains("BAD   redis"), "{said}");
        assert!(said.contains(why) && said.contains("unset REDIS_URL") && !said.contains("canary"), "{said}");

        let failed = setup.try_start().map(drop).unwrap_err();
        assert_eq!(failed.status.code(), Some(1), "{}", failed.output);
        for word in [why, "REDIS_URL", "Start it"] {
            assert!(failed.output.contains(word), "{word}: {}", failed.output);
        }
        assert!(!failed.output.contains("canary"), "{}", failed.output);
    }
    let setup = Setup::new(BINARY).env("REDIS_URL", redis.url());
    let doctor = setup.command(&["doctor"]).output().unwrap();
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("ok    redis") && !said.contains(PASSWORD), "{said}");

    let failed =
        Setup::new(BINARY).env("REDIS_URL", "http://:canary@host").try_start().map(drop).unwrap_err();
    assert_eq!(failed.status.code(), Some(2), "{}", failed.output);
    assert!(failed.output.contains("redis://") && !failed.output.contains("canary"), "{}", failed.output);
}

/// Over TLS, as far as it is trusted.
#[test]
fn redis_is_reached_over_tls_when_its_certificate_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, ca_key, certificate, key) = (file("ca.pem"), file("ca.key"), file("own.pem"), file("own.key"));
    std::fs::write(file("settings"), "[req]\ndistinguished_name = dn\n[dn]\n").unwrap();
    let make = |subject: &str, extension: &str, out: &str, key: &str, by: &[&str]| {
        let made = Command::new("openssl")
            .args(["req", "-config", &file("settings"), "-x509", "-nodes", "-days", "1", "-subj", subject])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-addext", extension, "-keyout", key, "-out", out])
            .args(by)
            .output()
            .expect("NOT TESTED: openssl is needed: apt install openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    make("/CN=ca", "basicConstraints=critical,CA:TRUE", &ca, &ca_key, &[]);
    make(
        "/CN=localhost",
        "subjectAltName=DNS:localhost",
        &certificate,
        &key,
        &["-CA", &ca, "-CAkey", &ca_key],
    );
    let (redis, port) = RedisServer::start_with_tls(&key, &certificate);
    let url = format!("rediss://:{PASSWORD}@localhost:{port}");
    let doctor = |trusted: &str| {
        let setup = Setup::new(BINARY).env("REDIS_URL", &url).env("SSL_CERT_FILE", trusted);
        String::from_utf8_lossy(&setup.command(&["doctor"]).output().unwrap().stdout).into_owned()
    };
    let said = doctor(&ca);
    assert!(said.contains("ok    redis"), "{said}");
    let said = doctor("/etc/ssl/certs/ca-certificates.crt");
    assert!(said.contains("BAD   redis") && !said.contains(PASSWORD), "{said}");
    let plain = Setup::new(BINARY).env("REDIS_URL", url.replace("rediss", "redis"));
    let said = String::from_utf8_lossy(&plain.command(&["doctor"]).output().unwrap().stdout).into_owned();
    assert!(said.contains("BAD   redis"), "no TLS where TLS is spoken: {said}");
    drop(redis);
}
