//! `ready`: settings in, whether the server that runs with them is ready out. For images without a shell or `curl`.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{redirect, retry};

use crate::config::Config;
use crate::failure::Failure;

/// A server on this machine answers at once, or is in trouble.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/readyz` of the server that has these settings, on this machine.
pub(crate) async fn ready(config: &Config) -> Result<String, Failure> {
    let addr = crate::serve::reachable(config.metrics_addr);
    if addr.port() == 0 {
        return Err(Failure::usage("RAG_TOWER_METRICS_ADDR has port 0, so nothing says where the server is")
            .mend("Give it a port of its own: RAG_TOWER_METRICS_ADDR=127.0.0.1:9464"));
    }
    let silent = |error: &reqwest::Error| {
        Failure::because(format!("the server at {addr} does not answer"), error)
            .mend("RAG_TOWER_METRICS_ADDR says where it is looked for. It may be starting: look at its log.")
    };
    let status = status(addr).await.map_err(|error| silent(&error))?;
    if status.is_success() {
        return Ok("ready\n".into());
    }
    Err(Failure::new(format!("the server at {addr} is not ready ({status}): it is starting or stopping")))
}

async fn status(addr: SocketAddr) -> Result<reqwest::StatusCode, reqwest::Error> {
    let http = reqwest::Client::builder()
        // what is on this machine is not behind a proxy, and sends nobody elsewhere
        .no_proxy()
        // nor behind TLS: nobody has to be trusted, and no certificate read
        .tls_certs_only([])
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .timeout(PATIENCE)
        .build()?;
    Ok(http.get(format!("http://{addr}/readyz")).send().await?.status())
}
