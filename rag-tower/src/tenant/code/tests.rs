use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::tenant::TenantScope;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const DAY: Duration = Duration::from_hours(24);

fn scope(tenant: &str) -> TenantScope {
    crate::test_util::scope(tenant)
}

fn subject(tenant: &str, email: &str, purpose: CodePurpose) -> CodeSubject {
    CodeSubject::new(&scope(tenant), email, purpose).unwrap()
}

fn lan() -> CodeSubject {
    subject("acme", "lan@example.com", CodePurpose::LOGIN)
}

fn codes() -> LoginCodes {
    LoginCodes::new(CodeKey::new(KEY).unwrap(), MemoryCodes::new(), LoginThrottle::new())
}

/// Another client each time, which the throttle has nothing against.
fn anyone() -> Option<IpAddr> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    Some(Ipv4Addr::from_bits(NEXT.fetch_add(1, Ordering::Relaxed)).into())
}

async fn mailed(codes: &LoginCodes, subject: &CodeSubject) -> String {
    codes.issue(subject, anyone(), true).await.unwrap().to_mail.unwrap().expose().to_owned()
}

async fn accepts(codes: &LoginCodes, subject: &CodeSubject, typed: &str) -> bool {
    match codes.redeem(subject, anyone(), typed).await {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
            false
        }
    }
}

/// Some other code.
fn wrong(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

#[tokio::test(start_paused = true)]
async fn t52_a_code_is_good_once_for_its_address_tenant_and_purpose() {
    let codes = codes();
    let code = mailed(&codes, &lan()).await;
    for other in [
        subject("rival", "lan@example.com", CodePurpose::LOGIN),
        subject("acme", "lan@example.org", CodePurpose::LOGIN),
        subject("acme", "lan@example.com", CodePurpose::VERIFY_EMAIL),
        subject("acme", "lan@example.com", CodePurpose::new("erase")),
    ] {
        assert!(!accepts(&codes, &other, &code).await, "{other:?} was never given one");
        if mailed(&codes, &other).await != code {
            assert!(!accepts(&codes, &other, &code).await, "{other:?} was given another");
        }
        // A mailbox takes only so many at once.
        tokio::time::advance(CODE_LIFETIME / 4).await;
    }
    let code = mailed_again(&codes).await;
    let spelt = subject("acme", " LAN@Example.com ", CodePurpose::LOGIN);
    assert!(accepts(&codes, &spelt, &format!(" {} {} ", &code[..3], &code[3..])).await);
    assert!(!accepts(&codes, &lan(), &code).await, "used");
}

/// After the limit of what was mailed before.
async fn mailed_again(codes: &LoginCodes) -> String {
    tokio::time::advance(CODE_LIFETIME).await;
    mailed(codes, &lan()).await
}

#[tokio::test(start_paused = true)]
async fn t52_the_fifth_try_is_the_last() {
    let codes = codes();
    for wrongs in [CODE_TRIES - 1, CODE_TRIES] {
        let code = mailed(&codes, &lan()).await;
        for n in 0..wrongs {
            let typed =
                [wrong(&code), String::new(), "x".repeat(10_000), "１２３".into()][n as usize % 4].clone();
            assert!(!accepts(&codes, &lan(), &typed).await);
        }
        assert_eq!(accepts(&codes, &lan(), &code).await, wrongs < CODE_TRIES, "after {wrongs} wrong ones");
    }
}

#[tokio::test(start_paused = true)]
async fn t52_a_code_lives_ten_minutes_and_a_new_one_kills_the_old() {
    let codes = codes();
    let old = mailed(&codes, &lan()).await;
    tokio::time::advance(Duration::from_mins(10)).await;
    assert!(!accepts(&codes, &lan(), &old).await, "too old");

    let (first, second) = (mailed(&codes, &lan()).await, mailed(&codes, &lan()).await);
    if first != second {
        assert!(!accepts(&codes, &lan(), &first).await, "killed by the second");
    }
    tokio::time::advance(Duration::from_mins(10) - Duration::from_secs(1)).await;
    assert!(accepts(&codes, &lan(), &second).await, "a second before its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn t52_many_tries_at_once_are_as_many_as_one_after_another() {
    for right in [true, false] {
        let codes = codes();
        let code = mailed(&codes, &lan()).await;
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (codes, typed) = (codes.clone(), if right { code.clone() } else { wrong(&code) });
            tries.spawn(async move { accepts(&codes, &lan(), &typed).await });
        }
        let accepted = tries.join_all().await.into_iter().filter(|accepted| *accepted).count();
        assert_eq!(accepted, usize::from(right));
        assert!(!accepts(&codes, &lan(), &code).await, "used or burnt");
    }
}

/// Keeps nothing; notes what it was given.
#[derive(Default)]
struct Notes(Mutex<Vec<(CodeSlot, CodeHash)>>);

impl Codes for Notes {
    async fn put(&self, _: &TenantScope, slot: &CodeSlot, code: CodeHash) -> Result<Verdict, Error> {
        self.0.lock().unwrap().push((*slot, code));
        Ok(Verdict::Allowed)
    }

    async fn redeem(&self, _: &TenantScope, slot: &CodeSlot, code: CodeHash) -> Result<bool, Error> {
        self.0.lock().unwrap().push((*slot, code));
        Ok(false)
    }
}

#[tokio::test]
async fn t52_what_is_kept_is_neither_the_code_nor_the_address() {
    let notes = std::sync::Arc::new(Notes::default());
    let of = |key: &[u8]| {
        let key = CodeKey::new(key).unwrap();
        LoginCodes::new(key, std::sync::Arc::clone(&notes), LoginThrottle::new())
    };
    let codes = of(KEY);
    let issued = codes.issue(&lan(), None, true).await.unwrap();
    let code = issued.to_mail.clone().unwrap();
    let _wrong = codes.redeem(&lan(), None, code.expose()).await;
    let _wrong = of(b"another-key-of-thirty-two-bytes!").redeem(&lan(), None, code.expose()).await;
    let kept = notes.0.lock().unwrap().clone();
    let [(slot, issued_as), (_, typed_as), (other_slot, by_another_key)] = kept[..] else {
        panic!("{kept:?}")
    };
    assert_eq!(issued_as, typed_as);
    assert_ne!(issued_as, by_another_key);
    assert_ne!(slot, other_slot);
    // Who has what is kept cannot find the code by hashing a million.
    let plain: [u8; 32] = Sha256::digest(code.expose()).into();
    assert_ne!(issued_as.as_bytes(), &plain);
    let rival = CodeKey::new(KEY).unwrap().slot(&subject("rival", "lan@example.com", CodePurpose::LOGIN));
    assert_ne!(slot.mailbox(), rival.mailbox(), "one address in two tenants");
    let shown = format!("{issued:?} {code:?} {codes:?} {slot:?} {issued_as:?} {:?} {:?}", lan(), codes.key);
    assert!(!shown.contains(code.expose()) && !shown.contains("lan@"), "{shown}");
    assert!(CodeKey::new(&KEY[1..]).is_err());
}

#[test]
fn t52_every_code_is_as_likely() {
    let mut seen = HashSet::new();
    for bits in 0..1_u32 << 20 {
        // The lower bits are not looked at.
        if let Some(code) = OneTimeCode::of(bits << 12 | 0x0abc) {
            assert!(code.expose().len() == 6 && code.expose().bytes().all(|digit| digit.is_ascii_digit()));
            assert!(seen.insert(code.expose().to_owned()), "{} comes twice", code.expose());
        }
    }
    assert_eq!(seen.len(), 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn t53_a_mailbox_is_not_flooded_and_new_codes_are_no_new_guesses() {
    let codes = codes();
    let (mut sent, mut guesses, mut last) = (0, 0, Duration::ZERO);
    let began = tokio::time::Instant::now();
    while began.elapsed() < DAY {
        match codes.issue(&lan(), anyone(), true).await {
            Ok(issued) => {
                sent += 1;
                let code = issued.to_mail.unwrap();
                for _ in 0..CODE_TRIES {
                    guesses += u32::from(!accepts(&codes, &lan(), &wrong(code.expose())).await);
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::RateLimited);
                last = error.retry_after().unwrap();
                assert!(!last.is_zero());
                tokio::time::advance(last.min(Duration::from_mins(1))).await;
            }
        }
    }
    assert_eq!((sent, guesses), (MAX_CODES_A_DAY, CODE_TRIES * MAX_CODES_A_DAY as u32));
    // What was mailed for another purpose went to the same mailbox.
    let other = subject("acme", "lan@example.com", CodePurpose::VERIFY_EMAIL);
    assert!(last > Duration::ZERO && codes.issue(&other, anyone(), true).await.is_ok(), "a day is over");
    for _ in 1..MAX_CODES_AT_ONCE {
        codes.issue(&other, anyone(), true).await.unwrap();
    }
    assert_eq!(codes.issue(&lan(), anyone(), true).await.unwrap_err().kind(), ErrorKind::RateLimited);
    // The same address in another tenant is another's matter.
    assert!(
        codes.issue(&subject("rival", "lan@example.com", CodePurpose::LOGIN), anyone(), true).await.is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn t53_a_refused_code_leaves_the_one_before() {
    let codes = codes();
    let mut code = String::new();
    for _ in 0..MAX_CODES_AT_ONCE {
        code = mailed(&codes, &lan()).await;
    }
    assert!(codes.issue(&lan(), anyone(), true).await.is_err());
    assert!(accepts(&codes, &lan(), &code).await, "a stranger's asking does not lock anybody out");
}

#[tokio::test(start_paused = true)]
async fn t53_each_way_in_passes_the_same_limiter() {
    let limited =
        |result: Result<(), Error>| result.is_err_and(|error| error.kind() == ErrorKind::RateLimited);
    let attacker: Option<IpAddr> = Some(Ipv4Addr::LOCALHOST.into());
    for way in 0..3 {
        let throttle = LoginThrottle::new();
        let key = CodeKey::new(KEY).unwrap();
        let codes = LoginCodes::new(key, MemoryCodes::new(), throttle.clone());
        let mut tries = 0;
        loop {
            let account = subject("acme", &format!("victim-{tries}@example.com"), CodePurpose::LOGIN);
            let stopped = match way {
                0 => throttle.begin(attacker, b"a password login").is_err(),
                1 => limited(codes.issue(&account, attacker, true).await.map(drop)),
                _ => limited(codes.redeem(&account, attacker, "123456").await),
            };
            if stopped {
                break;
            }
            tries += 1;
            assert!(tries < 100, "way {way} is not limited");
        }
        assert!(throttle.begin(attacker, b"owner").is_err(), "way {way} does not shut the password's door");
        assert!(limited(codes.issue(&lan(), attacker, true).await.map(drop)), "way {way}: asking");
        assert!(limited(codes.redeem(&lan(), attacker, "123456").await), "way {way}: trying");
        // From elsewhere its holder gets in.
        let home = anyone();
        let code = codes.issue(&lan(), home, true).await.unwrap().to_mail.unwrap();
        codes.redeem(&lan(), home, code.expose()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn t51_an_address_without_an_account_looks_like_any_other() {
    let known = codes();
    let unknown = codes();
    let heard = |result: Result<String, Error>| match result {
        Ok(said) => said,
        Err(error) => format!("{} {error} {:?}", error.kind().as_str(), error.retry_after()),
    };
    for step in 0..2 * MAX_CODES_AT_ONCE {
        let client = anyone();
        let (one, two) =
            (known.issue(&lan(), client, true).await, unknown.issue(&lan(), client, false).await);
        let code = one.as_ref().ok().and_then(|issued| issued.to_mail.clone());
        let wrong = code.map_or_else(String::new, |code| wrong(code.expose()));
        assert!(two.as_ref().ok().is_none_or(|issued| issued.to_mail.is_none()));
        let said = |issued: Result<IssuedCode, Error>| {
            heard(issued.map(|issued| format!("{:?}", issued.expires_in)))
        };
        assert_eq!(said(one), said(two), "asking, step {step}");
        for typed in [wrong.as_str(), "", "12 345 678"] {
            let client = anyone();
            let one = heard(known.redeem(&lan(), client, typed).await.map(|()| "in".to_owned()));
            let two = heard(unknown.redeem(&lan(), client, typed).await.map(|()| "in".to_owned()));
            assert_eq!(one, two, "trying {typed:?}, step {step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_one_tenant_cannot_fill_it_for_another() {
    let codes = codes();
    let of = |n: usize| subject("flood", &format!("{n}@example.com"), CodePurpose::LOGIN);
    let precious = mailed(&codes, &of(0)).await;
    for n in 1..memory::MAX_TENANT_MAILBOXES {
        mailed(&codes, &of(n)).await;
    }
    let more = of(memory::MAX_TENANT_MAILBOXES);
    assert_eq!(codes.issue(&more, anyone(), true).await.unwrap_err().kind(), ErrorKind::Overloaded);
    mailed(&codes, &lan()).await;
    assert!(accepts(&codes, &of(0), &precious).await, "no code that counts was pushed out");
    assert!(codes.issue(&more, anyone(), true).await.is_ok(), "a used one gives way");
}

#[test]
fn an_address_is_one_or_is_refused() {
    let of = |email: &str| CodeSubject::new(&scope("acme"), email, CodePurpose::LOGIN);
    assert_eq!(of("  Lan.N+x@Example.COM\n").unwrap().email(), "lan.n+x@example.com");
    assert_eq!(of("e\u{301}@example.com").unwrap().email(), "\u{e9}@example.com");
    // The Kelvin sign is canonically the letter: what was typed is not where mail is to go.
    assert_eq!(of("\u{212a}ate@example.com").unwrap().email(), "kate@example.com");
    let long = format!("{}@example.com", "a".repeat(250));
    for wrong in
        ["", "@", "lan", "lan@", "@example.com", "a b@example.com", "a@b\r\nBcc: c@d", "a\0@b", &long]
    {
        let error = of(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong:?}");
    }
}

/// What may happen to one mailbox.
#[derive(Clone, Debug)]
enum Step {
    Ask { known: bool },
    Right,
    Wrong,
    Older,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => any::<bool>().prop_map(|known| Step::Ask { known }),
        3 => Just(Step::Right),
        6 => Just(Step::Wrong),
        2 => Just(Step::Older),
        2 => (1_u64..1_200).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a code must be, said as simply as it can be.
struct Model {
    code: Option<String>,
    older: Vec<String>,
    age: Duration,
    tries: u32,
}

impl Model {
    fn accepts(&mut self, typed: &str) -> bool {
        self.tries += 1;
        let counts = self.age < CODE_LIFETIME && self.tries <= CODE_TRIES;
        let right = counts && self.code.as_deref() == Some(typed);
        if right {
            self.code = None;
        }
        right
    }
}

proptest! {
    #[test]
    fn t52_no_order_of_calls_accepts_what_is_not_the_code_that_counts(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let codes = codes();
            let mut model = Model { code: None, older: Vec::new(), age: Duration::ZERO, tries: 0 };
            for step in steps {
                let typed = match step {
                    Step::Ask { known } => {
                        if let Ok(issued) = codes.issue(&lan(), anyone(), known).await {
                            model.older.extend(model.code.take());
                            model.code = issued.to_mail.map(|code| code.expose().to_owned());
                            (model.age, model.tries) = (Duration::ZERO, 0);
                        }
                        continue;
                    }
                    Step::Pass(seconds) => {
                        tokio::time::advance(Duration::from_secs(seconds)).await;
                        model.age += Duration::from_secs(seconds);
                        continue;
                    }
                    Step::Right => model.code.clone().unwrap_or_else(|| "000000".to_owned()),
                    Step::Wrong => model.code.as_deref().map_or_else(|| "000000".to_owned(), wrong),
                    Step::Older => model.older.last().cloned().unwrap_or_else(|| "000001".to_owned()),
                };
                let accepted = accepts(&codes, &lan(), &typed).await;
                assert_eq!(accepted, model.accepts(&typed), "{typed} of {:?} after {} tries", model.code, model.tries);
            }
        });
    }
}
