//! An address and what it has to be told in, whether it took it out.

use std::time::Duration;

use metrics::counter;
use reqwest::{Client, Url, redirect, retry};
use serde_json::json;

use crate::failure::Failure;
use crate::owner_store::{Delivery, Notice};
use crate::tls;

/// The longest that telling may take, connecting included.
const TIME: Duration = Duration::from_secs(5);

/// Tells webhooks. An answer's body is not read, and nobody is followed elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Webhooks(Client);

// === impl Webhooks ===

impl Webhooks {
    pub(crate) fn new() -> Result<Self, Failure> {
        let tls = tls::config().map_err(|error| Failure::because("webhooks cannot be called", &error))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .timeout(TIME)
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| Failure::because("webhooks cannot be called", &error))?;
        Ok(Self(client))
    }

    /// Tells one, once.
    pub(crate) async fn tell(&self, notice: &Notice) -> Delivery {
        let done = self.send(notice).await;
        counter!("rag_alert_deliveries_total", "ok" => if done.ok { "true" } else { "false" }).increment(1);
        done
    }

    async fn send(&self, notice: &Notice) -> Delivery {
        let failed = |error: &str| Delivery { ok: false, status: None, error: Some(error.to_owned()) };
        let Some(address) = notice.webhook() else { return failed("the alert has no webhook") };
        let Ok(address) = address.expose().parse::<Url>() else {
            return failed("the webhook's address is none");
        };
        let body = json!({ "source": "rag-tower", "test": notice.is_test(), "text": notice.text(), "alert": notice });
        match self.0.post(address).json(&body).send().await {
            Ok(answer) if answer.status().is_success() => {
                Delivery { ok: true, status: Some(answer.status().as_u16()), error: None }
            }
            Ok(answer) => {
                let status = answer.status().as_u16();
                let error = Some(format!("it answered with {status}"));
                Delivery { ok: false, status: Some(status), error }
            }
            // the client's own message names the address
            Err(error) if error.is_timeout() => failed("it did not answer within 5 s"),
            Err(error) if error.is_connect() => failed("it cannot be connected to"),
            Err(_) => failed("the connection broke"),
        }
    }
}

/// True when this is an address that can be told something.
pub(crate) fn is_webhook(address: &str) -> bool {
    address.parse::<Url>().is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty())
    })
}
