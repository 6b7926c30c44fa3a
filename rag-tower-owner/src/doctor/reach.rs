//! An address in, whether somebody answers there out.

use std::time::Duration;

use http::Uri;
use rag_tower::postgres::{Database, DatabaseOptions};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long somebody may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a connection to the host and port of a URL and closes it again.
pub(super) async fn tcp(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|error| format!("not a URL: {error}"))?;
    let host = uri.host().ok_or("the URL names no host")?.trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    match timeout(PATIENCE, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// Connects as the server does, with all its checks of the login, the schema and the policies.
pub(super) async fn postgres(url: &str) -> Result<Database, String> {
    let options = DatabaseOptions::new(url).max_connections(1).acquire_timeout(PATIENCE);
    match timeout(2 * PATIENCE, Database::connect(&options)).await {
        Ok(connected) => connected.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", 2 * PATIENCE.as_secs())),
    }
}
