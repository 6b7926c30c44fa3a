//! The owner's password: kept as an argon2id hash, compared off the runtime.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use rag_tower::{Error, ErrorKind, Stage};
use tokio::sync::Semaphore;

use crate::secret::{Secret, weakness};

/// The shortest password accepted, in characters.
pub(super) const MIN_PASSWORD_CHARS: usize = 12;

/// Each comparison takes about 20 MiB and some tens of milliseconds of a core: so many run at once.
const PARALLEL: usize = 2;

/// A login that has waited this long for its turn is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the owner's password is given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OwnerPassword {
    /// As such: at least 12 characters, and none of the example values that are in circulation.
    Plain(Secret),
    /// As an argon2id hash in PHC form: `$argon2id$v=19$m=…,t=…,p=…$…$…`.
    Hash(Secret),
}

/// Compares passwords, a bounded number at once.
pub(super) struct Verifier {
    hash: Arc<str>,
    turns: Arc<Semaphore>,
}

// === impl Verifier ===

impl Verifier {
    pub(super) fn new(password: &OwnerPassword) -> Result<Self, Error> {
        let hash = match password {
            OwnerPassword::Plain(password) => hash(password)?,
            OwnerPassword::Hash(hash) => checked(hash.expose())?,
        };
        Ok(Self { hash, turns: Arc::new(Semaphore::new(PARALLEL)) })
    }

    /// True when it is the password. Takes the same time whatever `password` is.
    pub(super) async fn verify(&self, password: Secret) -> Result<bool, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, turn).await else {
            return Err(Error::new(ErrorKind::Overloaded, Stage::Http).with_retry_after(PATIENCE));
        };
        let hash = Arc::clone(&self.hash);
        let comparing = tokio::task::spawn_blocking(move || {
            // The turn goes with the work: a caller who leaves does not make room for another before it is done.
            let _turn = turn;
            Argon2::default().verify_password(password.expose().as_bytes(), &*hash).is_ok()
        });
        comparing.await.map_err(|error| Error::internal(Stage::Http, error))
    }
}

fn hash(password: &Secret) -> Result<Arc<str>, Error> {
    if let Some(weakness) = weakness(password.expose(), MIN_PASSWORD_CHARS) {
        return Err(Error::invalid(Stage::Http, format!("the owner's password is refused: {weakness}")));
    }
    let hash = Argon2::default().hash_password(password.expose().as_bytes());
    let hash = hash.map_err(|error| Error::internal(Stage::Http, error))?;
    Ok(hash.to_string().into())
}

fn checked(hash: &str) -> Result<Arc<str>, Error> {
    let refused = || {
        Error::invalid(
            Stage::Http,
            "the owner's password hash is refused: expected an argon2id hash in PHC form, as in \
             $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>",
        )
    };
    let parsed = PasswordHash::new(hash).map_err(|_| refused())?;
    if parsed.algorithm.as_str() != "argon2id" || parsed.salt.is_none() || parsed.hash.is_none() {
        return Err(refused());
    }
    Ok(hash.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_or_hashed_the_same_password_opens() {
        let password = Secret::new("nine-lives-of-a-lucky-cat");
        let plain = Verifier::new(&OwnerPassword::Plain(password.clone())).unwrap();
        assert!(plain.hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "the parameters OWASP names");
        let hashed = Verifier::new(&OwnerPassword::Hash(Secret::new(&*plain.hash))).unwrap();
        for verifier in [plain, hashed] {
            assert!(verifier.verify(password.clone()).await.unwrap());
            assert!(!verifier.verify(Secret::new("nine-lives-of-a-lucky-dog")).await.unwrap());
        }
    }

    #[test]
    fn weak_passwords_and_other_hashes_are_refused() {
        for weak in ["", "short", "11-letters!", "change-me-please", "Password1234"] {
            let refused = Verifier::new(&OwnerPassword::Plain(Secret::new(weak))).err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{weak}");
        }
        for other in
            ["", "plain text", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=8,t=1,p=1"]
        {
            let refused = Verifier::new(&OwnerPassword::Hash(Secret::new(other))).err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{other}");
        }
    }
}
