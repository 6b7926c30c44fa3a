//! One connection that all share and that comes back by itself.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisResult, Script,
    ScriptInvocation,
};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use rustls::crypto::CryptoProvider;
use tokio::time::{Instant, timeout};

use super::RedisError;

/// How long a connection may take to be made, and all of [`Redis::connect`].
const CONNECT: Duration = Duration::from_secs(5);
/// Between one attempt to reach a Redis that is away and the next.
const QUIET: Duration = Duration::from_secs(1);

static PROBE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/probe.lua")));

/// How to reach Redis.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    url: String,
    prefix: String,
    patience: Duration,
}

/// A connection to Redis, which is made again when it is lost. Clones share it.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    prefix: String,
    patience: Duration,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    /// How many there were before this one.
    number: u64,
    /// While Redis is away, when the next call may find out whether it still is.
    away_until: Option<Instant>,
}

/// Made by the call that needs it first, for all that come meanwhile.
type Connection = Shared<BoxFuture<'static, Result<MultiplexedConnection, RedisError>>>;

// === impl RedisOptions ===

impl RedisOptions {
    /// An address: `redis://user:password@host:6379/0`, `rediss://` for TLS, or `unix:///path`. The number at the end is the
    /// database, 0 when it is left out.
    ///
    /// With TLS the certificate is checked against the system's, and the process must have installed a provider of rustls.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), prefix: "rag-tower".to_owned(), patience: Duration::from_secs(1) }
    }

    /// What each key begins with, before a colon: programs that share a database of Redis and no tenants take different ones.
    /// Default: `rag-tower`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long one call may take, a lost connection made again included. Default: 1 s.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl fmt::Debug for RedisOptions {
    /// Shows no address: it holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("prefix", &self.prefix)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

// === impl Redis ===

impl Redis {
    /// Connects, and shows that everything which is needed may be done there: a key is written by a script, and taken back.
    ///
    /// # Errors
    /// [`RedisError`], within five seconds.
    pub async fn connect(options: &RedisOptions) -> Result<Self, RedisError> {
        let info = options.url.as_str().into_connection_info()?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) && CryptoProvider::get_default().is_none() {
            return Err(RedisError::NoTlsProvider);
        }
        let client = Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))?;
        let redis = Self(Arc::new(Inner {
            state: Mutex::new(State { connection: connection(&client), number: 0, away_until: None }),
            client,
            prefix: options.prefix.clone(),
            patience: options.patience,
        }));
        let mut probe = PROBE.key(redis.key("probe", &[]));
        probe.arg(CONNECT.as_millis() as u64);
        redis.within(CONNECT, |mut redis| async move { probe.invoke_async::<()>(&mut redis).await }).await?;
        Ok(redis)
    }

    /// True when it answers.
    pub async fn is_up(&self) -> bool {
        let ping = ::redis::cmd("PING");
        self.within(self.0.patience, |mut redis| async move { ping.exec_async(&mut redis).await })
            .await
            .is_ok()
    }

    /// The key of something that is kept.
    pub(super) fn key(&self, kind: &str, names: &[&str]) -> String {
        let mut key = format!("{}:{kind}", self.0.prefix);
        for name in names {
            key.push(':');
            key.push_str(name);
        }
        key
    }

    /// Runs a script, which is sent in full when Redis does not know it.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, RedisError> {
        self.within(self.0.patience, |mut redis| async move { script.invoke_async(&mut redis).await }).await
    }

    async fn within<T, F>(
        &self,
        patience: Duration,
        call: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, RedisError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let (connection, number) = self.connection()?;
        let mut away = true;
        let answering = async {
            let connection = connection.await?;
            away = false;
            call(connection).await.map_err(RedisError::from)
        };
        match timeout(patience, answering).await {
            Ok(Ok(answer)) => {
                self.is_there(number);
                Ok(answer)
            }
            Ok(Err(error)) => {
                if away || error.is_of_the_connection() {
                    self.replace(number, away);
                }
                Err(error)
            }
            Err(_) => {
                self.replace(number, true);
                Err(RedisError::Unavailable(format!("no answer within {patience:?}")))
            }
        }
    }

    /// The connection. While Redis is away, one call a second finds out whether it still is, and the others do not wait for that.
    fn connection(&self) -> Result<(Connection, u64), RedisError> {
        let now = Instant::now();
        let mut state = self.state();
        if state.away_until.is_some_and(|until| now < until) {
            return Err(RedisError::Unavailable("it did not answer a moment ago".to_owned()));
        }
        if state.away_until.is_some() {
            state.away_until = Some(now + QUIET);
        }
        Ok((state.connection.clone(), state.number))
    }

    fn is_there(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.away_until = None;
        }
    }

    /// Another connection in the place of this one, which the next call makes. Of many that lost the same one, the first counts.
    fn replace(&self, number: u64, away: bool) {
        let mut state = self.state();
        if state.number == number {
            let away_until = away.then(|| Instant::now() + QUIET);
            *state = State { connection: connection(&self.0.client), number: number + 1, away_until };
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}

fn connection(client: &Client) -> Connection {
    let client = client.clone();
    // how long an answer may take is the caller's to say
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
    let connect = async move { Ok(client.get_multiplexed_async_connection_with_config(&config).await?) };
    connect.boxed().shared()
}
