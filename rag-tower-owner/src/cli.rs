//! The command line: arguments in, one subcommand run out.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{Config, SETTINGS};
use crate::data_dir::{DataDir, Holder};
use crate::failure::Failure;
use crate::ingest::{self, Target};
use crate::secrets::Secrets;
use crate::{ask, demo_data, doctor, eval, mend, operator, platform, ready, serve, telemetry};

/// How long what is left over may take at the end.
const LEFTOVERS: Duration = Duration::from_secs(5);

/// Retrieval-augmented generation for many tenants: the reference server of rag-tower.
#[derive(Debug, Parser)]
#[command(name = "rag-tower-owner", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// The TOML file with settings [default: rag-tower.toml, when there is one here]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print the settings in force with where each is from, and stop; secrets are hidden
    #[arg(long, global = true)]
    print_config: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Make or update the schema in Postgres
    Migrate,
    /// Add documents to a tenant: Markdown, text, HTML or JSON lines; through the running server when there is one
    Ingest {
        /// A file, a directory, or - for stdin
        source: PathBuf,
        /// The tenant's slug or id
        #[arg(long)]
        tenant: String,
    },
    /// Embed every document again: after a change of the embedding model
    Reindex,
    /// Ask one question and stream the answer; the running server is asked when there is one
    Ask {
        /// The question
        question: String,
        /// The tenant's slug or id
        #[arg(long)]
        tenant: String,
    },
    /// Measure on your own data; needs no server, no database and no data directory
    Eval {
        #[command(subcommand)]
        what: eval::Measure,
    },
    /// Check every setting and dependency, and say how to mend what is wrong
    Doctor,
    /// Succeed if the server that runs with these settings is ready, and fail if not
    Ready,
    /// Thirty days of made-up traffic of the demo tenants, to see the console with; a server may run meanwhile
    DemoData {
        #[command(subcommand)]
        what: demo_data::Command,
    },
    /// Mend figures that `doctor` finds wrong
    Rollups {
        #[command(subcommand)]
        what: mend::Mend,
    },
}

const EXAMPLES: &str = "\
Examples:
  rag-tower-owner                                       start everything, with two demo tenants
  rag-tower-owner ask \"Which IELTS courses are there?\" --tenant language-centre
  rag-tower-owner ingest ./handbook --tenant docs       add a folder of documents
  rag-tower-owner reindex                               embed everything again, after another EMBEDDING_MODEL
  rag-tower-owner eval retrieval ./collection           measure search on a folder in BEIR layout
  rag-tower-owner eval answers ./collection             measure how often an answer holds a known one
  rag-tower-owner eval routing ./questions              measure routing on labelled questions
  rag-tower-owner doctor                                check settings and dependencies
  rag-tower-owner demo-data fill                        thirty days of traffic to look at; `remove` takes it away
  rag-tower-owner rollups rebuild --since 2026-01-31    add up the asks of that day and later again
  rag-tower-owner --print-config                        show the settings in force
  RAG_TOWER_ADDR=127.0.0.1:8081 rag-tower-owner         listen somewhere else
";

/// Runs the program with the process's own arguments and environment: what `main` is made of.
#[must_use]
pub fn run() -> ExitCode {
    let matches = Cli::command().after_help(EXAMPLES).after_long_help(long_help()).try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.run() {
        Ok(code) => code,
        Err(failure) => {
            // nowhere is left to say that this could not be said
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            failure.exit_code()
        }
    }
}

// === impl Cli ===

impl Cli {
    fn run(self) -> Result<ExitCode, Failure> {
        // one provider for every TLS client of the process; a second call finds it there
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Config::load(self.config.as_deref());
        if let Some(Command::Doctor) = &self.command {
            let report = runtime()?.block_on(doctor::examine(&config));
            return print(&report.to_string()).map(|()| report.exit_code());
        }
        let config = config.map_err(|error| {
            Failure::usage(format!("these settings cannot be used:\n{}", bullets(error.findings())))
                .mend("`rag-tower-owner --help` lists every setting; `rag-tower-owner doctor` checks them.")
        })?;
        if self.print_config {
            return print(&config.print()).map(|()| ExitCode::SUCCESS);
        }
        telemetry::logging(&config.log, config.log_json)?;
        let runtime = runtime()?;
        let done = runtime.block_on(async {
            match self.command.unwrap_or(Command::Serve) {
                Command::Serve => serve::serve(config).await,
                Command::Migrate => print(&platform::migrate(&config).await?),
                Command::Ingest { source, tenant } => ingest(&config, &source, &tenant).await,
                Command::Reindex => reindex(&config).await,
                Command::Eval { what } => print(&eval::measure(&config, what).await?),
                Command::Ask { question, tenant } => ask(&config, &question, &tenant).await,
                Command::DemoData { what } => print(&demo_data::command(&config, what).await?),
                Command::Rollups { what } => print(&mend::rollups(&config, &what).await?),
                Command::Ready => print(&ready::ready(&config).await?),
                Command::Doctor => Ok(()),
            }
        });
        // what still blocks a thread must not hold up the end
        runtime.shutdown_timeout(LEFTOVERS);
        done.map(|()| ExitCode::SUCCESS)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::because("the runtime cannot be started", &error))
}

/// Documents in: through the server that has the data directory, or here when nobody has it.
async fn ingest(config: &Config, source: &Path, tenant: &str) -> Result<(), Failure> {
    let data = DataDir::open(&config.data)?;
    let _lock = match data.take("ingest")? {
        Holder::This(lock) => lock,
        Holder::Server(server, _) => {
            let server = operator::Client::new(&server)?;
            return print(&ingest::ingest(Target::Server(&server), source, tenant).await?);
        }
        Holder::Other(who) => return Err(data.held(&who)),
    };
    let platform = platform::Platform::start(config, &data).await?;
    let done = async {
        platform.fill(config, &Secrets::load(config, &data)?).await?;
        ingest::ingest(Target::Here(&platform), source, tenant).await
    };
    let done = done.await;
    platform.stop(LEFTOVERS).await;
    print(&done?)
}

/// Every document into an empty index, while no server runs on this data directory. An interrupted one is taken up by
/// the next start.
async fn reindex(config: &Config) -> Result<(), Failure> {
    let data = DataDir::open(&config.data)?;
    let _lock = data.lock("reindex")?;
    let platform = platform::Platform::start_anew(config, &data).await?;
    let done = async {
        platform.fill(config, &Secrets::load(config, &data)?).await?;
        platform.indexed().await
    };
    let done = done.await;
    platform.stop(LEFTOVERS).await;
    let (chunks, tenants) = done?;
    print(&format!("{chunks} chunks of {tenants} tenants are in the new vector index.\n"))
}

/// One answer: of the server that has the data directory, or made here when nobody has it.
async fn ask(config: &Config, question: &str, tenant: &str) -> Result<(), Failure> {
    let data = DataDir::open(&config.data)?;
    let _lock = match data.take("ask")? {
        Holder::This(lock) => lock,
        Holder::Server(server, _) => {
            return ask::ask_server(&operator::Client::new(&server)?, question, tenant).await;
        }
        Holder::Other(who) => return Err(data.held(&who)),
    };
    let platform = platform::Platform::start(config, &data).await?;
    let done = async {
        platform.fill(config, &Secrets::load(config, &data)?).await?;
        ask::ask(&platform, question, tenant).await
    };
    let done = done.await;
    platform.stop(LEFTOVERS).await;
    done
}

/// Writes a result to stdout; a reader that went away is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::because("stdout cannot be written", &error))
        }
        _ => Ok(()),
    }
}

fn bullets(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  - {line}\n")).collect::<String>().trim_end().to_owned()
}

fn long_help() -> String {
    let mut text = format!("{EXAMPLES}\nSettings, as environment variables or as keys of the TOML file:\n");
    for key in &SETTINGS {
        let default = key.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
        let _ = writeln!(text, "  {:<22} {}{default}", key.name, key.help);
    }
    text.push_str(
        "\nSeveral model servers, tried in this order after the one of the environment (TOML file only):\n  \
         [[provider]]\n  name = \"groq\"\n  base_url = \"https://api.groq.com/openai/v1\"\n  \
         model = \"llama-3.3-70b-versatile\"\n  api_key_env = \"GROQ_API_KEY\"\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_every_setting() {
        let help = long_help();
        for key in &SETTINGS {
            assert!(help.contains(key.name), "{}", key.name);
        }
    }
}
