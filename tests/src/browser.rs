//! A real browser: headless Chromium, driven over its DevTools protocol.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::http::{Client, DEADLINE};

/// One page of a browser of its own; both end when dropped.
pub struct Page {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    sent: u64,
    requests: Vec<String>,
    errors: Vec<String>,
    child: Child,
    _profile: TempDir,
}

// === impl Page ===

impl Page {
    /// Starts a browser of this window size on a page.
    ///
    /// # Panics
    /// When there is no Chromium: a page that nobody has looked at is not tested.
    pub async fn open(url: &str, width: u32, height: u32) -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        let child = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-port=0", "--lang=en"])
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium is needed for this test: apt install chromium");
        let port = port(&profile.path().join("DevToolsActivePort")).await;
        let tab = Client::new(([127, 0, 0, 1], port).into());
        let tab = tab
            .send(tab.request(http::Method::PUT, "/json/new").body(Default::default()).expect("a request"));
        let address = tab.await.json()["webSocketDebuggerUrl"].as_str().expect("an address").to_owned();
        let (socket, _) = connect_async(address).await.expect("DevTools");
        let mut page = Self { socket, sent: 0, requests: vec![], errors: vec![], child, _profile: profile };
        for domain in ["Network", "Runtime", "Log", "Page"] {
            page.command(&format!("{domain}.enable"), json!({})).await;
        }
        page.command("Page.navigate", json!({ "url": url })).await;
        page
    }

    /// What an expression is worth in the page; promises are awaited.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.command("Runtime.evaluate", parameters).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page, and returns what it is.
    pub async fn until(&mut self, expression: &str) -> Value {
        self.until_within(expression, DEADLINE).await
    }

    /// The same for what takes longer than other things.
    pub async fn until_within(&mut self, expression: &str, patience: Duration) -> Value {
        let end = Instant::now() + patience;
        loop {
            // A page that is being left has no value yet.
            let guarded = format!("(() => {{ try {{ return {expression} }} catch {{ return null }} }})()");
            let value = self.eval(&guarded).await;
            if !matches!(value, Value::Null | Value::Bool(false)) && value != json!("") {
                return value;
            }
            assert!(Instant::now() < end, "never true: {expression}\n{}", self.text().await);
            self.eval("new Promise((done) => requestAnimationFrame(done))").await;
        }
    }

    /// Types into a field as a person does.
    pub async fn type_into(&mut self, selector: &str, text: &str) {
        self.until(&format!("document.querySelector({}) !== null", json!(selector))).await;
        self.eval(&format!("document.querySelector({}).focus()", json!(selector))).await;
        self.command("Input.insertText", json!({ "text": text })).await;
    }

    /// Clicks on an element.
    pub async fn click(&mut self, selector: &str) {
        // found and clicked at once: what is drawn anew meanwhile would be gone
        self.until(&format!(
            "(() => {{ const it = document.querySelector({}); it?.click(); return it !== null; }})()",
            json!(selector)
        ))
        .await;
    }

    /// Presses a key, such as `j`, `Enter` or `Shift+ArrowDown`.
    pub async fn press(&mut self, key: &str) {
        let (with, key) = key.rsplit_once('+').unwrap_or(("", key));
        let modifiers = i32::from(with.contains("Control")) * 2 + i32::from(with.contains("Shift")) * 8;
        let (text, code) = match key {
            "Enter" => ("\r", 13),
            "Escape" => ("", 27),
            "ArrowLeft" => ("", 37),
            "ArrowUp" => ("", 38),
            "ArrowRight" => ("", 39),
            "ArrowDown" => ("", 40),
            _ => (if with.is_empty() { key } else { "" }, 0),
        };
        let press = json!({"type": "keyDown", "key": key, "text": text, "modifiers": modifiers, "windowsVirtualKeyCode": code});
        self.command("Input.dispatchKeyEvent", press).await;
        let release =
            json!({"type": "keyUp", "key": key, "modifiers": modifiers, "windowsVirtualKeyCode": code});
        self.command("Input.dispatchKeyEvent", release).await;
    }

    /// Drags the mouse from a place to another, in CSS pixels of the window.
    pub async fn drag(&mut self, from: (f64, f64), to: (f64, f64)) {
        let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
        for (kind, (x, y), buttons) in [
            ("mouseMoved", from, 0),
            ("mousePressed", from, 1),
            ("mouseMoved", middle, 1),
            ("mouseMoved", to, 1),
            ("mouseReleased", to, 0),
        ] {
            let event =
                json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1});
            self.command("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Goes to another address in the same window.
    pub async fn go(&mut self, url: &str) {
        self.command("Page.navigate", json!({ "url": url })).await;
        self.until("document.readyState === 'complete'").await;
    }

    /// Chooses a value of a list to choose from.
    pub async fn choose(&mut self, selector: &str, value: &str) {
        self.until(&format!("document.querySelector({}) !== null", json!(selector))).await;
        self.eval(&format!(
            "(() => {{ const list = document.querySelector({}); list.value = {};
             list.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()",
            json!(selector),
            json!(value)
        ))
        .await;
    }

    /// Makes the window another size, in CSS pixels; a narrow one is a phone's.
    pub async fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.command("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Prefers a colour scheme, `light` or `dark`, as a system does.
    pub async fn prefer(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.command("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// A picture of what the window shows, as a PNG.
    pub async fn picture(&mut self) -> Vec<u8> {
        let answer = self.command("Page.captureScreenshot", json!({"format": "png"})).await;
        let data = answer["data"].as_str().expect("a picture");
        base64::engine::general_purpose::STANDARD.decode(data).expect("base64")
    }

    /// All text that a person sees.
    pub async fn text(&mut self) -> String {
        self.eval("document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// The addresses that the page has asked for.
    #[must_use]
    pub fn requests(&self) -> &[String] {
        &self.requests
    }

    /// What the browser complained about.
    #[must_use]
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Sends a command of the DevTools protocol, and returns its result.
    pub async fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let command = json!({"id": self.sent, "method": method, "params": parameters});
        self.socket.send(Message::text(command.to_string())).await.expect("DevTools");
        loop {
            let message =
                tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("DevTools took too long");
            let message = message.expect("an open connection").expect("a message");
            let Ok(text) = message.to_text() else { continue };
            let mut value: Value = serde_json::from_str(text).expect("JSON");
            if value["id"] == self.sent {
                // A page that is being left has no value.
                if value["error"]["message"] == "Inspected target navigated or closed" {
                    return Value::Null;
                }
                assert!(value.get("error").is_none(), "{method}: {value}");
                return value["result"].take();
            }
            match value["method"].as_str() {
                Some("Network.requestWillBeSent") => {
                    self.requests
                        .push(value["params"]["request"]["url"].as_str().unwrap_or_default().to_owned());
                }
                Some("Runtime.exceptionThrown") => self.errors.push(value["params"].to_string()),
                Some("Log.entryAdded") if value["params"]["entry"]["source"] == "security" => {
                    self.errors.push(value["params"]["entry"].to_string());
                }
                _ => {}
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port that Chromium has chosen, once it has written it down.
async fn port(file: &Path) -> u16 {
    let end = Instant::now() + DEADLINE;
    loop {
        let written = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(port) = written.lines().next().and_then(|line| line.parse().ok()) {
            return port;
        }
        assert!(Instant::now() < end, "Chromium did not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
