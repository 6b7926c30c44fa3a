//! What the terminal shows once the server is up.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::Secret;
use crate::config::{Config, without_password};
use crate::demo::Demo;
use crate::failure::Failure;
use crate::secrets::{OwnerSecret, Secrets};

/// Where to go, in text.
pub(crate) struct Banner(String);

// === impl Banner ===

impl Banner {
    pub(crate) fn new(
        config: &Config,
        (secrets, owner): (&Secrets, &OwnerSecret),
        (server, metrics): (SocketAddr, SocketAddr),
        demo: Option<&Demo>,
        took: Duration,
    ) -> Self {
        let mut out = String::new();
        let _ = text(&mut out, config, (secrets, owner), (server, metrics), demo, took);
        Self(out)
    }

    /// Writes it to stdout; a reader that went away is no failure.
    pub(crate) fn print(&self) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match out.write_all(self.0.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::because("stdout cannot be written", &error))
            }
            _ => Ok(()),
        }
    }
}

fn text(
    out: &mut String,
    config: &Config,
    (secrets, owner): (&Secrets, &OwnerSecret),
    (server, metrics): (SocketAddr, SocketAddr),
    demo: Option<&Demo>,
    took: Duration,
) -> fmt::Result {
    writeln!(out, "\nrag-tower {} is up, after {:.1} s.\n", env!("CARGO_PKG_VERSION"), took.as_secs_f64())?;
    writeln!(out, "  Chat      http://{server}/")?;
    writeln!(out, "  Console   http://{server}/owner   user {}", config.owner_username)?;
    if let Some(password) = owner.new_password.as_ref().map(Secret::expose) {
        writeln!(out, "            password {password}   shown this once: keep it")?;
    }
    writeln!(out, "  Metrics   http://{metrics}/metrics")?;
    let answers = match config.providers.first() {
        Some(provider) => format!("{} at {}", provider.model, provider.base_url),
        None => "the best sentences of the documents (set OPENAI_API_KEY to have a model answer)".to_owned(),
    };
    writeln!(out, "  Answers   {answers}")?;
    let limits = match &config.redis_url {
        Some(url) => format!("and tickets are shared in {}", without_password(url.expose())),
        None => "and tickets are this server's own (set REDIS_URL to share them)".to_owned(),
    };
    writeln!(out, "  Limits    {limits}")?;
    writeln!(out, "  Data      {}", config.data.display())?;
    if demo.is_some() {
        writeln!(out, "\n  Ask from another terminal:\n")?;
        writeln!(out, "    curl -s http://{server}/query \\")?;
        writeln!(out, "      -H 'Authorization: Bearer {}' \\", secrets.demo_key.expose())?;
        writeln!(out, "      -H 'Content-Type: application/json' \\")?;
        writeln!(
            out,
            "      -d '{{\"question\": \"How much is IELTS 6.5 with the early-bird discount?\"}}'"
        )?;
    }
    writeln!(out, "\n  Ctrl-C stops everything.\n")
}
