//! The secrets that a first start makes: the data directory in, what was kept or generated out.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use argon2::Argon2;
use argon2::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use serde::{Deserialize, Serialize};

use crate::Secret;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::failure::Failure;

/// What the server signs and checks with.
#[derive(Debug)]
pub(crate) struct Secrets {
    /// Signs tokens.
    pub(crate) jwt: Secret,
    /// The demo tenant's API key.
    pub(crate) demo_key: Secret,
}

/// What the owner logs in with.
#[derive(Debug)]
pub(crate) struct OwnerSecret {
    /// The password, hashed.
    pub(crate) hash: Secret,
    /// The password itself, when it was made just now: to be shown once.
    pub(crate) new_password: Option<Secret>,
}

/// `secrets.toml`.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    jwt_secret: Option<String>,
    owner_password_hash: Option<String>,
    demo_key: Option<String>,
}

// === impl Secrets ===

impl Secrets {
    /// What the settings give, else what the file has, else something new, which is then kept in the file.
    pub(crate) fn load(config: &Config, data: &DataDir) -> Result<Self, Failure> {
        let file = SecretsFile(data.path().join("secrets.toml"));
        let mut kept = file.read()?;
        let mut changed = false;
        let mut keep = |slot: &mut Option<String>, prefix: &str| -> Result<Secret, Failure> {
            if slot.as_deref().is_none_or(|text| text.len() < 32) {
                *slot = Some(format!("{prefix}{}", random_hex(32)?));
                changed = true;
            }
            Ok(Secret::new(slot.as_deref().unwrap_or_default()))
        };
        let jwt = match &config.jwt_secret {
            Some(set) => set.clone(),
            None => keep(&mut kept.jwt_secret, "")?,
        };
        let demo_key = match &config.demo_key {
            Some(set) => set.clone(),
            None => keep(&mut kept.demo_key, "rt_demo_")?,
        };
        if changed {
            file.write(&kept)?;
        }
        Ok(Self { jwt, demo_key })
    }
}

// === impl OwnerSecret ===

impl OwnerSecret {
    /// As [`Secrets::load`]. A password that is made here is gone when the caller does not show it.
    pub(crate) fn load(config: &Config, data: &DataDir) -> Result<Self, Failure> {
        match (&config.owner_password_hash, &config.owner_password) {
            (Some(hash), _) => return Ok(Self { hash: hash.clone(), new_password: None }),
            (None, Some(password)) => {
                return Ok(Self { hash: Secret::new(hash(password.expose())?), new_password: None });
            }
            (None, None) => {}
        }
        let file = SecretsFile(data.path().join("secrets.toml"));
        let mut kept = file.read()?;
        if let Some(hash) = kept.owner_password_hash {
            return Ok(Self { hash: Secret::new(hash), new_password: None });
        }
        let password = random_hex(12)?;
        let hash = hash(&password)?;
        kept.owner_password_hash = Some(hash.clone());
        file.write(&kept)?;
        Ok(Self { hash: Secret::new(hash), new_password: Some(Secret::new(password)) })
    }
}

/// The file, readable by its owner alone.
struct SecretsFile(PathBuf);

// === impl SecretsFile ===

impl SecretsFile {
    fn read(&self) -> Result<Kept, Failure> {
        match std::fs::read_to_string(&self.0) {
            // the error's text could quote a secret
            Ok(text) => toml::from_str(&text).map_err(|_| {
                Failure::new(format!("{} is damaged", self.0.display())).mend(
                    "Move it away: new secrets are made at the next start, and every token and login ends.",
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kept::default()),
            Err(error) => Err(self.refused(&error)),
        }
    }

    /// Whole or not at all: written aside, then moved into place.
    fn write(&self, kept: &Kept) -> Result<(), Failure> {
        let text =
            toml::to_string(kept).map_err(|error| Failure::because("secrets cannot be written", &error))?;
        let fresh = self.0.with_extension("new");
        let _ = std::fs::remove_file(&fresh);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(|error| self.refused(&error))?;
        file.write_all(b"# Made by rag-tower-owner. Keep it private; losing it ends every token and login.\n")
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&fresh, &self.0))
            .map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &std::io::Error) -> Failure {
        Failure::because(format!("{} cannot be used", self.0.display()), error)
            .mend("The file belongs to the user that the server runs as, with mode 0600.")
    }
}

/// An argon2id hash in PHC form.
pub(crate) fn hash(password: &str) -> Result<String, Failure> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash: PasswordHash =
        hash.map_err(|error| Failure::new(format!("a password cannot be hashed: {error}")))?;
    Ok(hash.to_string())
}

/// Bytes of the system's own generator, in hexadecimal.
pub(crate) fn random_hex(bytes: usize) -> Result<String, Failure> {
    let mut random = vec![0_u8; bytes];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::because("the system gives no random bytes", &error))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use argon2::PasswordVerifier;

    use super::*;

    fn load(dir: &std::path::Path, environment: &[(&str, &str)]) -> (Secrets, OwnerSecret) {
        let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let home = [("HOME".to_owned(), "/nowhere".to_owned())];
        let config = Config::read(None, home.into_iter().chain(environment)).unwrap();
        let data = DataDir::open(dir).unwrap();
        (Secrets::load(&config, &data).unwrap(), OwnerSecret::load(&config, &data).unwrap())
    }

    fn fits(hash: &Secret, password: &str) -> bool {
        let hash = PasswordHash::new(hash.expose()).unwrap();
        Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
    }

    #[test]
    fn the_first_start_makes_them_and_the_next_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        let (first, owner) = load(dir.path(), &[]);
        let password = owner.new_password.as_ref().expect("shown once");
        assert!(fits(&owner.hash, password.expose()));
        let mode = std::fs::metadata(dir.path().join("secrets.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (second, again) = load(dir.path(), &[]);
        assert!(again.new_password.is_none());
        assert_eq!(
            (first.jwt, first.demo_key, owner.hash.clone()),
            (second.jwt, second.demo_key, again.hash)
        );
        let file = std::fs::read_to_string(dir.path().join("secrets.toml")).unwrap();
        assert!(!file.contains(password.expose()), "the password is kept as a hash only");
    }

    #[test]
    fn settings_win_and_are_not_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let key = "a-demo-key-of-at-least-32-characters";
        let (secrets, owner) =
            load(dir.path(), &[("OWNER_PASSWORD", "twelve chars"), ("RAG_TOWER_DEMO_KEY", key)]);
        assert!(owner.new_password.is_none() && fits(&owner.hash, "twelve chars"));
        assert_eq!(secrets.demo_key.expose(), key);
        assert!(!std::fs::read_to_string(dir.path().join("secrets.toml")).unwrap().contains(key));
    }
}
