use super::*;

fn read(environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let home = [("HOME", "/home/someone")];
    let environment = home.iter().chain(environment).map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    Config::read(None, environment)
}

fn read_file(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("settings.toml");
    std::fs::write(&path, text).unwrap();
    let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    Config::read(Some(&path), environment.chain([("HOME".to_owned(), "/home/someone".to_owned())]))
}

fn refusal(result: Result<Config, ConfigError>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn nothing_set_is_a_demo_on_this_machine() {
    let config = read(&[]).unwrap();
    assert_eq!(config.addr.to_string(), "127.0.0.1:8080");
    assert_eq!(config.metrics_addr.to_string(), "127.0.0.1:9464");
    assert_eq!(
        (config.chunk_token_size, config.chunk_overlap, config.max_context_tokens, config.top_k),
        (400, 40, 8000, 6)
    );
    assert_eq!(config.jwt_expire, Duration::from_secs(86_400));
    assert!(config.demo() && config.providers.is_empty() && config.embedding_model.is_none());
}

#[test]
fn demo_needs_a_private_database_and_a_loopback_listener() {
    assert!(!read(&[("DATABASE_URL", "postgres://rag_app:x@db/rag")]).unwrap().demo());
    assert!(!read(&[("RAG_TOWER_ADDR", "0.0.0.0:8080")]).unwrap().demo());
    assert!(read(&[("RAG_TOWER_ADDR", "[::1]:8080")]).unwrap().demo());
}

#[test]
fn the_environment_wins_over_the_file_and_empty_is_not_set() {
    let file = "top_k = 9\nRATE_LIMIT_PER_MINUTE = 30\nowner_username = \"mai\"\n";
    let config = read_file(file, &[("TOP_K", "3"), ("OWNER_USERNAME", "")]).unwrap();
    assert_eq!((config.top_k, config.rate_limit_per_minute, config.owner_username.as_str()), (3, 30, "mai"));
}

#[test]
fn an_unknown_name_is_refused_with_the_likely_one() {
    assert!(refusal(read(&[("RAG_TOWER_ADR", "x")])).contains("did you mean RAG_TOWER_ADDR?"));
    let text = refusal(read_file("owner_pasword = \"long enough for anybody\"", &[]));
    assert!(text.contains("`owner_pasword` is not known: did you mean OWNER_PASSWORD?"), "{text}");
    assert!(!text.contains("long enough"), "{text}");
    // other programs' variables are none of ours
    assert!(read(&[("PGHOST", "db"), ("TOWER", "1")]).is_ok());
}

#[test]
fn t43_weak_and_example_secrets_are_refused_and_never_repeated() {
    for (name, value) in [
        ("OWNER_PASSWORD", "elevenchars"),
        ("OWNER_PASSWORD", "change-me-please"),
        ("JWT_SECRET", "only-thirty-one-characters-long"),
        ("JWT_SECRET", "replace-with-at-least-32-random-characters"),
        ("RAG_TOWER_DEMO_KEY", "short"),
        ("OWNER_PASSWORD_HASH", "plain text that is no hash"),
        ("DATABASE_URL", "mysql://root:hunter2@db/rag"),
    ] {
        let text = refusal(read(&[(name, value)]));
        assert!(text.contains(name) && !text.contains(value), "{text}");
    }
    assert!(read(&[("OWNER_PASSWORD", "twelve chars")]).is_ok());
    assert!(
        refusal(read(&[("OWNER_PASSWORD", "twelve chars"), ("OWNER_PASSWORD_HASH", "$argon2id$x")]))
            .contains("keep one")
    );
}

#[test]
fn how_rows_are_kept_is_chosen_by_name() {
    let config = read(&[]).unwrap();
    assert_eq!(
        (config.fsync, config.when_full),
        (Fsync::Interval(Duration::from_secs(1)), WhenFull::RunUnrecorded)
    );
    let config = read(&[("RAG_TOWER_FSYNC", "each"), ("RAG_TOWER_WHEN_FULL", "shed")]).unwrap();
    assert_eq!((config.fsync, config.when_full), (Fsync::Each, WhenFull::Shed));
    let text = refusal(read(&[("RAG_TOWER_FSYNC", "sometimes"), ("RAG_TOWER_WHEN_FULL", "drop")]));
    assert!(text.contains("never, interval, each") && text.contains("run, shed"), "{text}");
}

#[test]
fn rows_are_kept_for_ever_unless_it_is_said_for_how_many_days() {
    let kept = |days: &str| {
        read(&[("RAG_TOWER_TRACE_RETENTION_DAYS", days)]).map(|config| config.trace_retention.map(u32::from))
    };
    assert_eq!((kept("").unwrap(), kept("0").unwrap(), kept("90").unwrap()), (None, None, Some(90)));
    assert!(refusal(read(&[("RAG_TOWER_TRACE_RETENTION_DAYS", "-1")])).contains("from 0 to 36500"));
}

#[test]
fn tenants_have_no_metrics_of_their_own_unless_it_is_said_how_many() {
    let told = |most: &str| read(&[("RAG_TOWER_METRICS_TENANTS", most)]).map(|config| config.metrics_tenants);
    assert_eq!((told("").unwrap(), told("100").unwrap()), (0, 100));
    assert!(refusal(read(&[("RAG_TOWER_METRICS_TENANTS", "all")])).contains("from 0 to 1000"));
}

#[test]
fn the_canaries_ask_every_five_minutes_unless_it_is_said_how_often() {
    let every = |seconds: &str| {
        read(&[("RAG_TOWER_CANARY_INTERVAL", seconds)])
            .map(|config| config.canary_interval.map(|d| d.as_secs()))
    };
    assert_eq!((every("").unwrap(), every("0").unwrap(), every("1").unwrap()), (Some(300), None, Some(1)));
    for odd in ["-1", "1801", "often"] {
        assert!(refusal(read(&[("RAG_TOWER_CANARY_INTERVAL", odd)])).contains("from 0 to 1800"), "{odd}");
    }
}

#[test]
fn a_server_stops_at_once_unless_it_is_said_how_long_it_still_answers() {
    let delay =
        |seconds: &str| read(&[("RAG_TOWER_STOP_DELAY", seconds)]).map(|config| config.stop_delay.as_secs());
    assert_eq!((delay("").unwrap(), delay("15").unwrap()), (0, 15));
    assert!(refusal(read(&[("RAG_TOWER_STOP_DELAY", "301")])).contains("from 0 to 300"));
}

#[test]
fn every_finding_is_reported_at_once() {
    let text = refusal(read(&[("TOP_K", "0"), ("RAG_TOWER_ADDR", "8080"), ("CHUNK_OVERLAP", "a few")]));
    for part in ["TOP_K", "from 1 to 100", "RAG_TOWER_ADDR", "127.0.0.1:8080", "CHUNK_OVERLAP"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn broken_toml_is_reported_by_line_without_its_text() {
    let text = refusal(read_file("top_k = 3\njwt_secret = \"abc", &[]));
    assert!(text.contains("line 2") && !text.contains("abc"), "{text}");
}

#[test]
fn providers_come_from_the_environment_first() {
    let file = "[[provider]]\nname = \"groq\"\nbase_url = \"https://api.groq.example/openai/v1/\"\nmodel = \"m\"\napi_key_env = \"GROQ_API_KEY\"\n";
    let environment =
        [("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1"), ("OPENAI_MODEL", "qwen"), ("GROQ_API_KEY", "k")];
    let config = read_file(file, &environment).unwrap();
    let seen: Vec<_> = config
        .providers
        .iter()
        .map(|p| (p.base_url.as_str(), p.model.as_str(), p.api_key.is_some()))
        .collect();
    assert_eq!(
        seen,
        [("http://127.0.0.1:11434/v1", "qwen", false), ("https://api.groq.example/openai/v1", "m", true)]
    );
    assert!(refusal(read_file(file, &[])).contains("GROQ_API_KEY, which is not set"));
    assert!(refusal(read_file("[[provider]]\nmodle = \"m\"", &[])).contains("[[provider]] number 1"));
    assert!(refusal(read(&[("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")])).contains("OPENAI_MODEL is not"));
    assert_eq!(read(&[("OPENAI_API_KEY", "sk-x")]).unwrap().providers.len(), 1);
}

#[test]
fn a_model_that_routes_needs_a_model_server() {
    assert_eq!(read(&[("ROUTER_MODEL", "")]).unwrap().router_model, None);
    let with = read(&[("ROUTER_MODEL", "small"), ("OPENAI_API_KEY", "sk-x")]).unwrap();
    assert_eq!(with.router_model.as_deref(), Some("small"));
    let text = refusal(read(&[("ROUTER_MODEL", "small")]));
    assert!(text.contains("ROUTER_MODEL is set") && text.contains("OPENAI_BASE_URL"), "{text}");
}

#[test]
fn printing_hides_what_is_secret_and_can_be_read_again() {
    let secrets = [
        ("JWT_SECRET", "a-secret-of-at-least-32-characters"),
        ("OWNER_PASSWORD", "swordfish-swordfish"),
        ("OPENAI_API_KEY", "sk-abcdef"),
        ("DATABASE_URL", "postgres://rag_app:hunter2@db/rag?password=hunter3"),
    ];
    let config = read(&secrets).unwrap();
    let printed = config.print();
    for (_, secret) in &secrets[..3] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(!printed.contains("hunter"), "{printed}");
    assert!(printed.contains("postgres://rag_app:***@db/rag"), "{printed}");
    assert!(printed.contains("top_k = 6  # default"), "{printed}");
    assert!(!format!("{config:?}").contains("swordfish"));
    read_file(&printed, &[]).unwrap();
}

#[test]
fn a_reranker_gets_a_key_of_its_own_or_of_its_own_server() {
    let provider = [
        ("OPENAI_BASE_URL", "https://models.example/v1"),
        ("OPENAI_MODEL", "m"),
        ("OPENAI_API_KEY", "sk-one"),
    ];
    let with = |more: &[(&str, &str)]| read(&[&provider, more].concat()).unwrap().reranker.unwrap();
    let same = with(&[("RERANK_URL", "https://models.example:443/v2/rerank/"), ("RERANK_MODEL", "r")]);
    assert_eq!((same.base_url.as_str(), same.model.as_str()), ("https://models.example:443/v2", "r"));
    assert_eq!(same.api_key.unwrap().expose(), "sk-one");
    for elsewhere in
        ["https://other.example/rerank", "http://models.example/rerank", "https://models.example:8443"]
    {
        let other = with(&[("RERANK_URL", elsewhere), ("RERANK_MODEL", "r")]);
        assert!(other.api_key.is_none(), "{elsewhere}");
    }
    let own =
        with(&[("RERANK_URL", "https://other.example"), ("RERANK_MODEL", "r"), ("RERANK_API_KEY", "own")]);
    assert_eq!(own.api_key.unwrap().expose(), "own");
    assert!(read(&[]).unwrap().reranker.is_none());
    assert!(refusal(read(&[("RERANK_URL", "https://other.example")])).contains("RERANK_MODEL is not"));
    assert!(refusal(read(&[("RERANK_MODEL", "r")])).contains("RERANK_URL is not"));
    assert!(
        refusal(read(&[("RERANK_URL", "other"), ("RERANK_MODEL", "r")]))
            .contains("RERANK_URL is not an address")
    );
}
