//! Dockerfile, compose file, secrets and page: what they name is there, and what has to agree agrees.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rag_tower::redis::{Redis, RedisOptions};
use rag_tower_owner::config::{Config, SETTINGS};
use rag_tower_tests::redis::RedisServer;
use serde_json::Value;

use super::{assert_no_secret, assert_setting, deploy, documents, read, run, workspace};

/// A pinned image: a tag that names a version.
pub(super) fn assert_pinned(image: &str) {
    let tag = image.rsplit_once('/').map_or(image, |(_, name)| name).split_once(':').map(|(_, tag)| tag);
    let tag = tag.unwrap_or_else(|| panic!("{image} has no tag"));
    // The base's tag names its Debian in its name, and a digest when one is given.
    let versioned = tag.chars().any(|c| c.is_ascii_digit()) || image.contains("/cc-debian12:");
    assert!(versioned && !tag.contains("latest"), "{image} may be another one tomorrow");
}

/// The port of an address setting's default.
pub(super) fn default_port(name: &str) -> u64 {
    let key = SETTINGS.iter().find(|key| key.name == name).unwrap();
    key.default.unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// The instructions of the Dockerfile, with their arguments on one line.
fn instructions() -> Vec<(String, String)> {
    let text = read(&deploy("Dockerfile")).replace("\\\n", " ");
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, rest)| (name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect()
}

#[test]
fn the_image_is_small_pinned_and_nobody_s() {
    let all = instructions();
    let of =
        |name: &str| all.iter().filter(|(n, _)| n == name).map(|(_, rest)| rest.as_str()).collect::<Vec<_>>();
    let args: BTreeMap<&str, &str> = of("ARG").iter().map(|arg| arg.split_once('=').unwrap()).collect();
    args.values().for_each(|image| assert_pinned(image));
    assert!(args["RUST_IMAGE"].starts_with(&format!("rust:{}.", rust_version())), "{args:?}");
    assert_eq!(of("FROM"), ["${RUST_IMAGE} AS build", "${BASE_IMAGE}"]);

    let last = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    let (build, image) = all.split_at(last);
    assert!(image.iter().all(|(name, _)| name != "RUN"), "the image has no shell");
    let built = build.iter().find(|(name, rest)| name == "RUN" && rest.contains("cargo build")).unwrap();
    for flag in ["--locked", "--release", "--mount=type=cache"] {
        assert!(built.1.contains(flag), "{flag}: {}", built.1);
    }
    assert_eq!(of("USER"), ["65532:65532"]);
    assert_eq!(of("STOPSIGNAL"), ["SIGTERM"]);

    let environment: BTreeMap<&str, &str> = image
        .iter()
        .filter(|(name, _)| name == "ENV")
        .flat_map(|(_, rest)| rest.split(' '))
        .map(|pair| pair.split_once('=').unwrap())
        .collect();
    for (name, value) in &environment {
        assert_setting(name);
        assert_no_secret(name, value);
    }
    let config =
        Config::read(None, environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))).unwrap();
    assert_eq!(of("EXPOSE"), [format!("{} {}", config.addr.port(), config.metrics_addr.port())]);
    assert_eq!(u64::from(config.addr.port()), default_port("RAG_TOWER_ADDR"));
    assert_eq!(u64::from(config.metrics_addr.port()), default_port("RAG_TOWER_METRICS_ADDR"));
    assert!(config.addr.ip().is_unspecified() && !config.demo(), "it is reached from outside");
    assert_eq!(of("VOLUME"), [config.data.to_str().unwrap()]);

    let binary = "/usr/local/bin/rag-tower-owner";
    assert_eq!(of("ENTRYPOINT"), [format!("[\"{binary}\"]")]);
    assert!(of("HEALTHCHECK")[0].ends_with(&format!("CMD [\"{binary}\", \"ready\"]")));
    let copies = of("COPY");
    assert!(copies.iter().any(|copy| copy.starts_with("--from=build ") && copy.ends_with(binary)));
    for copy in copies.iter().filter(|copy| !copy.starts_with("--from=")) {
        let (sources, _) = copy.rsplit_once(' ').unwrap();
        for source in sources.split(' ') {
            assert!(workspace().join(source).exists(), "{source}");
        }
    }
}

/// The least Rust that the workspace takes.
fn rust_version() -> String {
    let text = read(&workspace().join("Cargo.toml"));
    let line = text.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    line.trim_matches('"').to_owned()
}

fn compose() -> Value {
    documents(&read(&deploy("compose.yaml"))).remove(0)
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[test]
fn compose_names_what_is_there_and_gives_no_secret_away() {
    let compose = compose();
    let secrets: Vec<&String> = compose["secrets"].as_object().unwrap().keys().collect();
    let volumes: Vec<&String> = compose["volumes"].as_object().unwrap().keys().collect();
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        let image = service["image"].as_str().unwrap();
        assert_pinned(image);
        if image.starts_with("rag-tower:") {
            assert_eq!(image, format!("rag-tower:{}", env!("CARGO_PKG_VERSION")));
        }
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_else(|| panic!("{name}: quote {variable}"));
            assert_no_secret(variable, value);
            if image.starts_with("rag-tower:") {
                assert_setting(variable);
            }
        }
        for secret in service["secrets"].as_array().into_iter().flatten() {
            let source = secret.as_str().or_else(|| secret["source"].as_str()).unwrap();
            assert!(secrets.iter().any(|known| *known == source), "{name}: {source}");
        }
        for volume in strings(&service["volumes"]) {
            let (source, target) = volume.split_once(':').unwrap();
            if source.starts_with('.') {
                assert!(deploy(source).exists(), "{name}: {source}");
                assert!(target.ends_with(":ro"), "{name}: {volume} can be written");
            } else {
                assert!(volumes.iter().any(|known| *known == source), "{name}: {source}");
            }
        }
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is open to everybody");
        }
        for dependency in service["depends_on"].as_object().into_iter().flatten() {
            assert!(services.contains_key(dependency.0), "{name}: {}", dependency.0);
        }
    }
    let server = &services["server"];
    let context = deploy(server["build"]["context"].as_str().unwrap());
    assert_eq!(context.canonicalize().unwrap(), workspace());
    assert!(context.join(server["build"]["dockerfile"].as_str().unwrap()).exists());
    assert_eq!(strings(&server["ports"]), [format!("127.0.0.1:{0}:{0}", default_port("RAG_TOWER_ADDR"))]);
    assert_eq!(server["environment"]["RAG_TOWER_CONFIG"], "/run/secrets/rag-tower.toml");
    let delay: u64 = server["environment"]["RAG_TOWER_STOP_DELAY"].as_str().unwrap().parse().unwrap();
    let grace: u64 = server["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
    assert!(grace >= delay + super::rolling::DOWN.as_secs(), "{grace} s are too short");
    for service in ["server", "migrate"] {
        assert_eq!(services[service]["read_only"], true);
        assert_eq!(strings(&services[service]["cap_drop"]), ["ALL"]);
    }
    // the stores are where the secrets say they are, and nowhere else
    for store in ["postgres", "qdrant", "redis"] {
        assert_eq!(strings(&services[store]["networks"]), ["back"]);
        assert!(services[store]["ports"].is_null());
    }
    for network in ["back", "watch"] {
        assert_eq!(compose["networks"][network]["internal"], true);
    }
    let targets = documents(&read(&deploy("targets.yml"))).remove(0);
    assert_eq!(targets[0]["targets"][0], format!("server:{}", default_port("RAG_TOWER_METRICS_ADDR")));
}

/// Redis takes the configuration that is made for it, keeps nothing on a disk and forgets nothing that it was given to keep, and the
/// address that is made for the server opens it.
#[tokio::test]
async fn redis_takes_its_configuration_and_the_address_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = run(Command::new("bash").arg(deploy("make-secrets.sh")).arg(folder.path()));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = folder.path().join("redis.conf");
    let redis = RedisServer::start_as(&file);
    let data = ("RAG_TOWER_DATA".to_owned(), folder.path().to_str().unwrap().to_owned());
    let config = Config::read(Some(&folder.path().join("rag-tower.toml")), [data]).unwrap();
    let url = config.redis_url.unwrap().expose().to_owned();
    let password = url.strip_prefix("redis://:").unwrap().strip_suffix("@redis:6379").unwrap().to_owned();
    Redis::connect(&RedisOptions::new(redis.url_of("default", &password))).await.unwrap();
    let service = &compose()["services"]["redis"];
    assert_eq!(strings(&service["command"]), ["redis-server", "/run/secrets/redis.conf"]);
    let text = read(&file);
    for line in ["save \"\"", "appendonly no", "maxmemory-policy noeviction"] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    let (limit, most) = (service["mem_limit"].as_str().unwrap(), text.split("maxmemory ").nth(1).unwrap());
    let megabytes = |text: &str| -> u32 {
        text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert!(megabytes(limit) >= 2 * megabytes(most), "{limit} for {most}");
}

/// The script's files are what the server, its schema and the two stores take.
#[test]
fn secrets_are_made_once_and_fit_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let make = |folder: &Path| run(Command::new("bash").arg(deploy("make-secrets.sh")).arg(folder));
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    for folder in [&first, &second] {
        let made = make(folder);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
    let before = read(&first.join("rag-tower.toml"));
    assert!(!make(&first).status.success(), "made again");
    assert_eq!(read(&first.join("rag-tower.toml")), before);

    let data = ("RAG_TOWER_DATA".to_owned(), folder.path().to_str().unwrap().to_owned());
    let config = |path: &Path| Config::read(Some(path), [data.clone()]).unwrap();
    let server = config(&first.join("rag-tower.toml"));
    assert!(server.database_admin_url.is_none(), "the server never sees the administrator's login");
    assert!(server.owner_password.is_some() && server.jwt_secret.is_some());
    let migrate = config(&first.join("migrate.toml"));
    let url = |url: &Option<rag_tower_owner::Secret>| url.as_ref().unwrap().expose().to_owned();
    assert_eq!(url(&server.database_url), url(&migrate.database_url));
    let admin = url(&migrate.database_admin_url);
    assert!(admin.contains(&format!(":{}@postgres:", read(&first.join("postgres-password")))), "{admin}");
    let qdrant = documents(&read(&first.join("qdrant.yaml"))).remove(0);
    assert_eq!(qdrant["service"]["api_key"], server.qdrant_api_key.unwrap().expose());
    let redis = read(&first.join("redis.conf"));
    let password = redis.lines().find_map(|line| line.strip_prefix("requirepass ")).unwrap();
    assert_eq!(server.redis_url.as_ref().unwrap().expose(), format!("redis://:{password}@redis:6379"));
    let other = config(&second.join("rag-tower.toml"));
    assert_ne!(url(&server.database_url), url(&other.database_url));
    assert_ne!(server.jwt_secret.unwrap().expose(), other.jwt_secret.unwrap().expose());

    // compose wants these files and no others
    let named = compose()["secrets"].as_object().unwrap().clone();
    let mut named: Vec<String> =
        named.values().map(|secret| secret["file"].as_str().unwrap().replace("secrets/", "")).collect();
    let mut made: Vec<String> = std::fs::read_dir(&first)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    named.sort();
    made.sort();
    assert_eq!(named, made);
    let ignored = read(&workspace().join(".gitignore"));
    assert!(ignored.lines().any(|line| line == "/rag-tower-owner/deploy/secrets"));
}

#[test]
fn the_page_names_every_file() {
    let page = read(&deploy("README.md"));
    let mut folders = vec![deploy("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                assert!(
                    name == "secrets" || page.contains(&format!("{name}/")),
                    "{name}/ is not in the page"
                );
                if name != "secrets" {
                    folders.push(path);
                }
            } else if !["README.md", "kustomization.yaml"].contains(&name.as_str()) {
                assert!(page.contains(&name), "{name} is not in the page");
            }
        }
    }
}
