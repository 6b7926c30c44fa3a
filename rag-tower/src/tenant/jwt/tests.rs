use http::request::Parts;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

use super::*;
use crate::ErrorKind;
use crate::tenant::{BranchId, Branches, MemoryApiKeys, Role, TenantId};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const ISSUER: &str = "https://id.example";
/// RFC 8410's own example key pair.
const ED_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const ED_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

/// A pair of nobody's, made for these tests.
const RSA_PRIVATE: &str = include_str!("test_keys/rsa_private.pem");
const RSA_PUBLIC: &str = include_str!("test_keys/rsa_public.pem");

fn tenant() -> TenantId {
    TenantId::named("acme")
}

fn resolver() -> JwtResolver {
    JwtResolver::new(ISSUER, JwtKey::hs256(SECRET).unwrap())
}

fn claims() -> Map<String, Value> {
    let now = get_current_timestamp();
    let Value::Object(claims) = json!({
        "iss": ISSUER, "aud": TENANT_AUDIENCE, "sub": "user-1", "exp": now + 900, "iat": now, "jti": "token-1",
        "tid": tenant(), "branches": "*", "role": "agent",
    }) else {
        unreachable!()
    };
    claims
}

fn signed(claims: &Map<String, Value>) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims.insert(name.into(), value);
    signed(&claims)
}

fn parts(token: &str) -> Parts {
    let request = http::Request::builder().header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap().into_parts().0
}

async fn kind_of(resolver: &impl ResolveTenant, token: &str) -> Option<ErrorKind> {
    resolver.resolve(&parts(token)).await.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_sound_token_grants_what_it_says() {
    let grant = resolver().resolve(&parts(&signed(&claims()))).await.unwrap();
    let expected = Grant::new(tenant()).with_subject("user-1").with_role(Role::Agent);
    assert_eq!(grant, expected);
    let north = BranchId::named(tenant(), "north");
    let grant = resolver().resolve(&parts(&with("branches", json!([north])))).await.unwrap();
    assert_eq!(grant.branches(), &Branches::Only([north].into()));
}

#[tokio::test]
async fn t41_every_claim_is_required_and_has_one_type() {
    for name in ["iss", "aud", "sub", "exp", "iat", "jti", "tid", "branches", "role"] {
        let mut claims = claims();
        claims.remove(name);
        assert_eq!(kind_of(&resolver(), &signed(&claims)).await, Some(ErrorKind::Unauthenticated), "{name}");
        let odd = with(name, json!({ "a": 1 }));
        assert_eq!(kind_of(&resolver(), &odd).await, Some(ErrorKind::Unauthenticated), "{name}");
    }
}

#[tokio::test]
async fn t41_times_are_whole_seconds_and_nothing_else() {
    let now = get_current_timestamp();
    for name in ["exp", "iat", "nbf"] {
        for value in [
            json!((now + 2).to_string()),
            json!(""),
            json!(now as f64 + 2.5),
            json!(now as f64),
            json!(-1),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(i64::MAX),
            json!(1e300),
            json!(now * 1_000),
            json!(true),
            json!(null),
            json!([now]),
            json!({ "seconds": now }),
        ] {
            let token = with(name, value.clone());
            assert_eq!(
                kind_of(&resolver(), &token).await,
                Some(ErrorKind::Unauthenticated),
                "{name} {value}"
            );
        }
    }
    for name in ["exp", "iat"] {
        let mut claims = claims();
        claims.remove(name);
        assert_eq!(
            kind_of(&resolver(), &signed(&claims)).await,
            Some(ErrorKind::Unauthenticated),
            "no {name}"
        );
    }
    // `nbf` says from when, and `iat` says that too: it may be missing.
    for nbf in [now - 60, now] {
        assert_eq!(kind_of(&resolver(), &with("nbf", json!(nbf))).await, None);
    }
}

#[tokio::test]
async fn t41_wrong_values_are_refused() {
    let now = get_current_timestamp();
    for (name, value) in [
        ("iss", json!("https://other.example")),
        ("iss", json!([ISSUER])),
        ("aud", json!("rag-tower/owner")),
        ("aud", json!([TENANT_AUDIENCE, "rag-tower/owner"])),
        ("exp", json!(now - 60)),
        ("iat", json!(now + 60)),
        ("nbf", json!(now + 60)),
        ("sub", json!("")),
        ("sub", json!("s".repeat(257))),
        ("jti", json!("")),
        ("tid", json!("acme")),
        ("branches", json!("all")),
        ("branches", json!(["north"])),
        ("branches", json!({ "*": null })),
        ("role", json!("owner")),
        ("role", json!({ "admin": null })),
    ] {
        let token = with(name, value.clone());
        assert_eq!(kind_of(&resolver(), &token).await, Some(ErrorKind::Unauthenticated), "{name} {value}");
    }
    let month = with("exp", json!(now + 32 * 24 * 3_600));
    assert!(kind_of(&resolver(), &month).await.is_some());
    assert!(kind_of(&resolver().with_max_lifetime(Duration::from_hours(24 * 60)), &month).await.is_none());
}

#[tokio::test]
async fn t40_the_key_chooses_the_algorithm_and_the_header_never_does() {
    let body = claims();
    let sign = |header: &Header, key: &EncodingKey| encode(header, &body, key).unwrap();
    let secret = EncodingKey::from_secret(SECRET);
    let kid = |kid: &str| Header { kid: Some(kid.into()), ..Header::new(Algorithm::HS256) };
    let typed = |typ: &str| Header { typ: Some(typ.into()), ..Header::new(Algorithm::HS256) };
    let critical = Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::HS256) };
    let elsewhere = Header { jku: Some("https://evil.example/keys".into()), ..kid("evil") };

    let good = signed(&body);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let payload = message.split_once('.').unwrap().1;
    let none = ["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJOb25lIn0", "eyJ0eXAiOiJKV1QifQ"];
    let other = EncodingKey::from_secret(b"another-secret-of-thirty-two-bytes");
    let eddsa = JwtResolver::new(ISSUER, JwtKey::eddsa_pem(ED_PUBLIC.as_bytes()).unwrap());
    let rs256 = JwtResolver::new(ISSUER, JwtKey::rs256_pem(RSA_PUBLIC.as_bytes()).unwrap());
    let ed = EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap();
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();

    let mut tokens = vec![
        format!("{message}."),
        message.to_owned(),
        good[..good.len() - 2].to_owned(),
        good[1..].to_owned(),
        format!("{good}.{signature}"),
        format!("{good}="),
        sign(&Header::new(Algorithm::HS384), &secret),
        sign(&Header::new(Algorithm::HS512), &secret),
        sign(&Header::new(Algorithm::HS256), &other),
        sign(&kid("unknown"), &secret),
        sign(&kid(""), &secret),
        sign(&elsewhere, &other),
        sign(&typed("at+jwt"), &secret),
        sign(&typed("JWE"), &secret),
        sign(&critical, &secret),
        sign(&Header::new(Algorithm::RS384), &rsa),
        sign(&Header::new(Algorithm::PS256), &rsa),
        "a.b.c".to_owned(),
        "..".to_owned(),
    ];
    for header in none {
        tokens.extend([format!("{header}.{payload}."), format!("{header}.{payload}.{signature}")]);
    }
    // A public key is no secret, however it is written: who signs with it by HMAC has signed nothing.
    for public in [RSA_PUBLIC, RSA_PUBLIC.trim_end(), ED_PUBLIC, ED_PUBLIC.trim_end()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            tokens.push(sign(&Header::new(algorithm), &EncodingKey::from_secret(public.as_bytes())));
        }
    }
    for token in tokens {
        for resolver in [&resolver(), &eddsa, &rs256] {
            assert_eq!(
                kind_of(resolver, &token).await,
                Some(ErrorKind::Unauthenticated),
                "{resolver:?} {token}"
            );
        }
    }

    // Each key takes what it has signed, and what no other has.
    let by_ed = sign(&Header::new(Algorithm::EdDSA), &ed);
    let by_rsa = sign(&Header::new(Algorithm::RS256), &rsa);
    for (resolver, own) in [(&resolver(), &good), (&eddsa, &by_ed), (&rs256, &by_rsa)] {
        for token in [&good, &by_ed, &by_rsa] {
            let refused = kind_of(resolver, token).await;
            assert_eq!(refused, (token != own).then_some(ErrorKind::Unauthenticated), "{resolver:?} {token}");
        }
    }

    let rotating = resolver().with_key(JwtKey::hs256(SECRET).unwrap().with_kid("next"));
    assert_eq!(kind_of(&rotating, &sign(&kid("next"), &secret)).await, None);
    assert_eq!(kind_of(&rotating, &good).await, None);
}

#[tokio::test]
async fn t40_no_bit_of_a_token_may_change() {
    let good = signed(&claims());
    assert_eq!(kind_of(&resolver(), &good).await, None);
    for at in 0..good.len() {
        for other in [b'A', b'_', b'.', b'=', b'\''] {
            let mut bytes = good.clone().into_bytes();
            if std::mem::replace(&mut bytes[at], other) != other {
                let token = String::from_utf8(bytes).unwrap();
                let refused = kind_of(&resolver(), &token).await;
                assert_eq!(refused, Some(ErrorKind::Unauthenticated), "{at} {}", char::from(other));
            }
        }
        assert!(kind_of(&resolver(), &good[..at]).await.is_some(), "the first {at} bytes");
    }
}

#[tokio::test]
async fn t44_a_minted_token_opens_what_was_granted_until_it_is_revoked() {
    let (minter, key) = TokenMinter::hs256(ISSUER, SECRET).unwrap();
    let north = BranchId::named(tenant(), "north");
    let grant = Grant::new(tenant()).with_subject("demo").with_branches(Branches::Only([north].into()));
    let minted = minter.mint(&grant, Duration::from_mins(15)).unwrap();
    assert!(!format!("{minted:?} {minter:?}").contains(&minted.token));

    let revocations = MemoryRevocations::new();
    let resolver = JwtResolver::new(ISSUER, key).with_revocations(revocations.clone());
    assert_eq!(resolver.resolve(&parts(&minted.token)).await.unwrap(), grant);
    revocations.revoke(minted.jti.as_str(), get_current_timestamp() + 900);
    assert_eq!(kind_of(&resolver, &minted.token).await, Some(ErrorKind::Unauthenticated));
    assert!(minter.mint(&Grant::new(tenant()), Duration::from_mins(15)).is_err(), "no subject");
}

#[tokio::test]
async fn either_credential_will_do_but_only_one() {
    const KEY: &str = "rt_demo_0123456789abcdef0123456789abcdef";
    let keys = MemoryApiKeys::new().with(KEY, TenantId::named("rival")).unwrap();
    let resolver = CredentialResolver::new(ApiKeyResolver::new(keys), resolver());
    let token = signed(&claims());
    assert_eq!(resolver.resolve(&parts(&token)).await.unwrap().tenant(), tenant());
    assert_eq!(resolver.resolve(&parts(KEY)).await.unwrap().tenant(), TenantId::named("rival"));
    let mut both = parts(&token);
    both.headers.insert("x-api-key", KEY.parse().unwrap());
    assert_eq!(resolver.resolve(&both).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[test]
fn t43_weak_secrets_and_wrong_keys_are_refused() {
    assert!(JwtKey::hs256(&SECRET[1..]).is_err());
    assert!(TokenMinter::hs256(ISSUER, b"secret").is_err());
    assert!(JwtKey::eddsa_pem(b"nonsense").is_err());
    assert!(JwtKey::rs256_pem(ED_PUBLIC.as_bytes()).is_err());
}
