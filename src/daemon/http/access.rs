//! Who has the token. Where one is set every request needs it, from this machine too: programs send it as
//! `Authorization: Bearer TOKEN`, browsers log in once and then send the cookie of a session.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tungstenite::http::{HeaderMap, header};

use super::answer::Answer;
use super::failures::Failures;
use super::sessions::Sessions;
use crate::daemon::token::Token;

/// The cookie of a session. Cookies know no ports: of two daemons on one machine a browser is logged in to the latest.
const COOKIE: &str = "biosigd";

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It brought nothing, or the cookie of a session that is over.
    NoToken,
    /// Its token is a wrong one.
    WrongToken,
    /// There were too many wrong ones: for so long none is looked at.
    TooMany(Duration),
    /// The system gives no random numbers for a session.
    NoRandomness,
}

/// The lock at the door: with a token or without.
pub(in crate::daemon) struct Access(Mutex<State>);

struct State {
    token: Option<Token>,
    sessions: Sessions,
    failures: Failures,
}

impl Access {
    /// With `None` everything is answered.
    pub(in crate::daemon) fn new(token: Option<Token>) -> Access {
        let failures = Failures::new(Instant::now());
        Access(Mutex::new(State { token, sessions: Sessions::default(), failures }))
    }

    /// Puts another token in force, and ends the sessions of the old one. False when it is the same.
    pub(in crate::daemon) fn change(&self, token: &Token) -> bool {
        let mut state = self.state();
        if state.token.as_ref().is_some_and(|old| old.is_same(token)) {
            return false;
        }
        state.token = Some(token.clone());
        state.sessions.clear();
        state.failures.forget_known();
        true
    }

    /// Whether there is a token at all.
    pub(super) fn has_token(&self) -> bool {
        self.state().token.is_some()
    }

    /// Whether this request may be answered.
    pub(super) fn check(&self, headers: &HeaderMap, peer: IpAddr, now: Instant) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.token.is_none() || cookies(headers).any(|value| state.sessions.holds(value, now)) {
            return Ok(());
        }
        bearer(headers).map_or(Err(Refusal::NoToken), |token| state.judge(token, peer, now))
    }

    /// Whether a cookie of this request belongs to a session.
    pub(super) fn is_logged_in(&self, headers: &HeaderMap, now: Instant) -> bool {
        let state = self.state();
        cookies(headers).any(|value| state.sessions.holds(value, now))
    }

    /// Opens a session for whoever brings the token; the cookie to set.
    pub(super) fn log_in(&self, token: &[u8], peer: IpAddr, now: Instant) -> Result<String, Refusal> {
        let mut state = self.state();
        state.judge(token, peer, now)?;
        let value = state.sessions.open(now).map_err(|_| Refusal::NoRandomness)?;
        Ok(format!("{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/"))
    }

    /// Ends the session of this request; the cookie that takes its cookie away.
    pub(super) fn log_out(&self, headers: &HeaderMap) -> String {
        let mut state = self.state();
        cookies(headers).for_each(|value| state.sessions.close(value));
        format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn judge(&mut self, token: &[u8], peer: IpAddr, now: Instant) -> Result<(), Refusal> {
        if let Some(wait) = self.failures.wait(peer, now) {
            return Err(Refusal::TooMany(wait));
        }
        if self.token.as_ref().is_none_or(|known| known.is(token)) {
            self.failures.right(peer);
            return Ok(());
        }
        if self.failures.wrong(peer, now) {
            tracing::warn!("many wrong tokens, the last one from {peer}: further ones are refused for some seconds");
        }
        Err(Refusal::WrongToken)
    }
}

/// The values of our cookie (RFC 6265, section 4.2.1).
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// The token in `Authorization: Bearer TOKEN` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

impl Refusal {
    pub(super) fn status(&self) -> &'static str {
        match self {
            Refusal::NoToken | Refusal::WrongToken => "401 Unauthorized",
            Refusal::TooMany(_) => "429 Too Many Requests",
            Refusal::NoRandomness => "500 Internal Server Error",
        }
    }

    /// The headers that go with the status.
    pub(super) fn mark(&self, answer: Answer) -> Answer {
        match self {
            Refusal::NoToken => answer.with("WWW-Authenticate", "Bearer realm=\"biosigd\""),
            Refusal::WrongToken => answer.with("WWW-Authenticate", "Bearer realm=\"biosigd\", error=\"invalid_token\""),
            Refusal::TooMany(wait) => answer.with("Retry-After", &whole_seconds(*wait).to_string()),
            Refusal::NoRandomness => answer,
        }
    }

    /// The answer to a program.
    pub(super) fn answer(&self) -> Answer {
        let why = match self {
            Refusal::NoToken => {
                "this daemon wants its token: send the header `Authorization: Bearer TOKEN`, or open /login in a browser"
                    .to_owned()
            }
            Refusal::WrongToken => "this is not the daemon's token, the first line of its token file".to_owned(),
            Refusal::TooMany(wait) => too_many(*wait),
            Refusal::NoRandomness => NO_RANDOMNESS.to_owned(),
        };
        self.mark(Answer::refuse(self.status(), &why))
    }

    /// What the person in front of the login page reads.
    pub(super) fn sentence(&self) -> String {
        match self {
            Refusal::NoToken | Refusal::WrongToken => {
                "This is not the daemon’s token. It is the first line of its token file.".to_owned()
            }
            Refusal::TooMany(wait) => capital(&too_many(*wait)),
            Refusal::NoRandomness => capital(NO_RANDOMNESS),
        }
    }
}

const NO_RANDOMNESS: &str = "the system gives no random numbers, which a session needs";

fn too_many(wait: Duration) -> String {
    format!("there were too many wrong tokens: none is looked at now; try again in {} s", whole_seconds(wait))
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn capital(sentence: &str) -> String {
    let (first, rest) = sentence.split_at_checked(1).unwrap_or(("", sentence));
    format!("{}{rest}.", first.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const TOKEN: &str = "0123456789abcdef";

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::HeaderName::from_static(name), value.parse().expect("a header"))])
    }

    fn access() -> Access {
        Access::new(Some(Token::new(TOKEN)))
    }

    #[test]
    fn without_a_token_everything_is_answered() {
        let access = Access::new(None);
        assert_eq!(access.check(&HeaderMap::new(), PEER, Instant::now()), Ok(()));
        assert!(access.change(&Token::new(TOKEN)), "until one is set");
        assert_eq!(access.check(&HeaderMap::new(), PEER, Instant::now()), Err(Refusal::NoToken));
    }

    #[test]
    fn what_a_program_sends() {
        let (access, now) = (access(), Instant::now());
        let check = |value: &str| access.check(&with("authorization", value), PEER, now);
        for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for nothing in ["Basic 0123456789abcdef", "0123456789abcdef", "Bearer", "Bearer0123456789abcdef", "\u{e9}"] {
            assert_eq!(check(nothing), Err(Refusal::NoToken), "{nothing}");
        }
        for wrong in ["Bearer x", "Bearer 0123456789abcdeF", "Bearer 0123456789abcdef0", "Bearer 0123456789abcde"] {
            assert_eq!(check(wrong), Err(Refusal::WrongToken), "{wrong}");
        }
    }

    #[test]
    fn what_a_browser_sends() {
        let (access, now) = (access(), Instant::now());
        assert_eq!(access.log_in(b"0123456789abcdeg", PEER, now), Err(Refusal::WrongToken));
        let set = access.log_in(TOKEN.as_bytes(), PEER, now).expect("the token");
        assert!(!set.contains(TOKEN));
        let (cookie, attributes) = set.split_once("; ").expect("attributes");
        assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/");
        for line in [cookie.to_owned(), format!("a=b; {cookie};c=d"), format!("biosigd=0; {cookie}")] {
            assert_eq!(access.check(&with("cookie", &line), PEER, now), Ok(()), "{line}");
        }
        for line in [format!("x{cookie}"), cookie.replace('=', "x="), format!("{cookie}0"), "biosigd".to_owned()] {
            assert_eq!(access.check(&with("cookie", &line), PEER, now), Err(Refusal::NoToken), "{line}");
        }
        assert!(access.is_logged_in(&with("cookie", cookie), now));
        assert!(access.log_out(&with("cookie", cookie)).contains("Max-Age=0"));
        assert!(!access.is_logged_in(&with("cookie", cookie), now));
    }

    #[test]
    fn guessing_comes_to_an_end_and_sessions_go_on() {
        let (access, now) = (access(), Instant::now());
        let set = access.log_in(TOKEN.as_bytes(), PEER, now).expect("the token");
        let right = with("authorization", "Bearer 0123456789abcdef");
        for _ in 0..10 {
            assert_eq!(access.check(&with("authorization", "Bearer x"), PEER, now), Err(Refusal::WrongToken));
        }
        let wait = Duration::from_secs(6);
        assert_eq!(access.check(&right, PEER, now), Err(Refusal::TooMany(wait)));
        assert_eq!(access.log_in(TOKEN.as_bytes(), PEER, now), Err(Refusal::TooMany(wait)));
        assert_eq!(access.check(&with("cookie", &set), PEER, now), Ok(()));
        assert_eq!(access.check(&right, PEER, now + wait), Ok(()));
    }

    #[test]
    fn a_new_token_ends_the_sessions_of_the_old_one() {
        let (access, now) = (access(), Instant::now());
        let set = access.log_in(TOKEN.as_bytes(), PEER, now).expect("the token");
        assert!(!access.change(&Token::new(TOKEN)));
        assert!(access.is_logged_in(&with("cookie", &set), now));
        assert!(access.change(&Token::new("fedcba9876543210")));
        assert!(!access.is_logged_in(&with("cookie", &set), now));
        let check = |value: &str| access.check(&with("authorization", value), PEER, now);
        assert_eq!(check("Bearer 0123456789abcdef"), Err(Refusal::WrongToken));
        assert_eq!(check("Bearer fedcba9876543210"), Ok(()));
    }
}
