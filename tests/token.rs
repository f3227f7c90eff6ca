//! A daemon with a token: what is closed without it, the two ways to bring it, and what becomes of those who guess.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::{BOUND, CONFIG, Daemon, Ended, Response, run};
use tempfile::TempDir;
use tungstenite::client::IntoClientRequest;

const TOKEN: &str = "a-token/with+signs=&%";
const BEARER: &str = "Authorization: Bearer a-token/with+signs=&%\r\n";
const WRONG: &str = "Authorization: Bearer a-token/with+signs=&!\r\n";

/// As a browser would write [`TOKEN`] into a form.
const FORM: &str = "token=a-token%2Fwith%2Bsigns%3D%26%25";

/// A directory with a file `token`.
fn dir_with_token(content: &str, mode: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    dir
}

/// A daemon with the token, at `listen`.
fn start(listen: &str) -> Daemon {
    let config = CONFIG.replace("127.0.0.1:0", listen) + "token_file = \"token\"\n";
    Daemon::start_in(dir_with_token(&format!("{TOKEN}\n"), 0o600), &config, BEARER)
}

fn request(daemon: &Daemon, method: &str, path: &str, headers: &str) -> Response {
    daemon.ask(&format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", daemon.address))
}

fn get(daemon: &Daemon, path: &str, headers: &str) -> Response {
    request(daemon, "GET", path, headers)
}

/// A form posted as browsers do.
fn post(daemon: &Daemon, path: &str, form: &str, headers: &str) -> Response {
    let more = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", form.len());
    daemon.ask(&format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{more}{headers}\r\n{form}", daemon.address))
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    let line = response.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {}", response.head))
}

/// Logs in; the header line with the cookie.
fn log_in(daemon: &Daemon) -> String {
    let answer = post(daemon, "/login", FORM, &format!("Origin: http://{}\r\n", daemon.address));
    assert_eq!((answer.code, header(&answer, "Location")), (303, "/"), "{}", answer.body);
    let (cookie, attributes) = header(&answer, "Set-Cookie").split_once("; ").unwrap();
    assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/");
    assert!(cookie.starts_with("biosigd=") && cookie.len() == "biosigd=".len() + 64, "{cookie}");
    format!("Cookie: other=1; {cookie}\r\n")
}

/// Opens the stream with these headers: the text of `hello`, or the status that refuses it.
fn stream(daemon: &Daemon, headers: &str) -> Result<String, u16> {
    let mut request = format!("ws://{}/v1/stream", daemon.address).into_client_request().unwrap();
    for line in headers.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        let name = tungstenite::http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    match tungstenite::client(request, daemon.connect()) {
        Ok((mut client, _)) => Ok(client.read().unwrap().into_text().unwrap().to_string()),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Neither the token nor a session is written anywhere but in the token's own file.
fn assert_kept_secret(ended: &Ended, dir: &Path, session: &str) {
    let mut texts = vec![ended.stderr()];
    for entry in fs::read_dir(dir.join("recordings")).unwrap() {
        let mut bytes = Vec::new();
        fs::File::open(entry.unwrap().path()).unwrap().read_to_end(&mut bytes).unwrap();
        texts.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    assert!(texts.iter().any(|text| text.contains("token_file = \\\"token\\\"")), "the sidecar names the file");
    let value = session.trim_end().rsplit('=').next().unwrap();
    for text in texts {
        assert!(!text.contains(TOKEN) && !text.contains(value) && !text.contains("with+signs"), "{text}");
    }
}

#[test]
fn every_request_needs_it_but_for_the_way_in_and_whether_it_lives() {
    let daemon = start("127.0.0.1:0");
    for path in ["/metrics", "/api/v1/status", "/page/view.js", "/nonsense", "/v1/stream", "/page/style.css/"] {
        for method in ["GET", "HEAD"] {
            let answer = request(&daemon, method, path, "");
            assert_eq!(answer.code, 401, "{method} {path}");
            assert_eq!(header(&answer, "WWW-Authenticate"), "Bearer realm=\"biosigd\"");
            assert_eq!(answer.body.is_empty(), method == "HEAD");
        }
    }
    let answer = get(&daemon, "/metrics", "");
    let expected =
        "this daemon wants its token: send the header `Authorization: Bearer TOKEN`, or open /login in a browser\n";
    assert_eq!(answer.body, expected);
    let answer = get(&daemon, "/", "");
    assert_eq!((answer.code, header(&answer, "Location")), (303, "/login"));
    for path in ["/login", "/page/style.css", "/page/icon.svg", "/healthz"] {
        assert_eq!(get(&daemon, path, "").code, 200, "{path}");
    }
    for path in ["/", "/metrics", "/api/v1/status", "/page/view.js", "/healthz"] {
        assert_eq!(get(&daemon, path, BEARER).code, 200, "{path}");
    }
    assert_eq!(get(&daemon, "/nonsense", BEARER).code, 404);
    for (path, headers) in [("/metrics", WRONG), ("/", WRONG), ("/api/v1/status", "Authorization: bearer x\r\n")] {
        let answer = get(&daemon, path, headers);
        assert_eq!(header(&answer, "WWW-Authenticate"), "Bearer realm=\"biosigd\", error=\"invalid_token\"");
        assert_eq!((answer.code, answer.body.contains("is not the daemon's token")), (401, true), "{path}");
    }
    assert_eq!(stream(&daemon, ""), Err(401));
    assert_eq!(stream(&daemon, WRONG), Err(401));
    assert!(stream(&daemon, BEARER).unwrap().contains("\"hello\""));
    daemon.stop_well();
}

#[test]
fn a_browser_logs_in_and_out() {
    let daemon = start("127.0.0.1:0");
    let own = format!("Origin: http://{}\r\n", daemon.address);
    let page = get(&daemon, "/login", "");
    assert!(page.body.contains("method=\"post\" action=\"/login\"") && page.body.contains("name=\"token\""));
    assert_eq!(header(&page, "Cache-Control"), "no-store");
    let wrong = post(&daemon, "/login", "token=a-token%2Fwith%2Bsigns", &own);
    assert_eq!((wrong.code, wrong.body.contains("This is not the daemon’s token.")), (401, true), "{}", wrong.body);
    assert_eq!(post(&daemon, "/login", "tokn=x", &own).code, 401);
    assert_eq!(post(&daemon, "/login", FORM, "Origin: http://elsewhere.example\r\n").code, 403);
    assert_eq!(post(&daemon, "/login", FORM, "Origin: null\r\n").code, 403);

    let cookie = log_in(&daemon);
    for path in ["/", "/metrics", "/api/v1/status", "/page/view.js"] {
        assert_eq!(get(&daemon, path, &cookie).code, 200, "{path}");
    }
    assert!(get(&daemon, "/login", &cookie).body.contains("action=\"/logout\""));
    assert!(stream(&daemon, &format!("{cookie}{own}")).unwrap().contains("\"hello\""));
    let elsewhere = format!("{cookie}Origin: http://elsewhere.example\r\n");
    assert_eq!(stream(&daemon, &elsewhere), Err(403), "a page of another origin has the cookie and may not");
    assert_eq!(get(&daemon, "/api/v1/status", &elsewhere).code, 403);
    assert_eq!(get(&daemon, "/metrics", "Cookie: biosigd=a-token/with+signs=&%\r\n").code, 401, "it is no session");

    // Another login is another session.
    let other = log_in(&daemon);
    assert_ne!(cookie, other);
    let out = post(&daemon, "/logout", "", &format!("{cookie}{own}"));
    assert_eq!((out.code, header(&out, "Location")), (303, "/login"));
    assert_eq!(header(&out, "Set-Cookie"), "biosigd=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    assert_eq!((get(&daemon, "/metrics", &cookie).code, get(&daemon, "/metrics", &other).code), (401, 200));

    // Behind a proxy with TLS the cookie never goes without.
    let encrypted = post(&daemon, "/login", FORM, &format!("Origin: https://{}\r\n", daemon.address));
    assert!(header(&encrypted, "Set-Cookie").ends_with("; Path=/; Secure"));
    let (ended, dir) = daemon.stop();
    ended.assert_no_panic();
    assert_kept_secret(&ended, dir.path(), &cookie);
}

#[test]
fn posts_that_are_none() {
    let daemon = start("127.0.0.1:0");
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (headers, code) in [
        (kind.to_owned(), 411),
        (format!("{kind}Transfer-Encoding: chunked\r\n"), 411),
        (format!("{kind}Content-Length: x\r\n"), 400),
        (format!("{kind}Content-Length: 4097\r\n"), 413),
        ("Content-Length: 3\r\n".to_owned(), 415),
        // The body does not come: it has as long as a head.
        (format!("{kind}Content-Length: 3\r\n"), 408),
    ] {
        let answer = request(&daemon, "POST", "/login", &headers);
        assert_eq!(answer.code, code, "{headers}{}", answer.body);
    }
    for path in ["/", "/metrics", "/v1/stream"] {
        assert_eq!(post(&daemon, path, FORM, BEARER).code, 405, "{path}");
    }
    // As long as a head and a body may be together, and the right token at its end.
    let padding = format!("X: {}\r\n", "x".repeat(15 * 1024));
    let form = format!("x={}&{FORM}", "y".repeat(4096 - 3 - FORM.len()));
    assert_eq!(post(&daemon, "/login", &form, &padding).code, 303);
    daemon.stop_well();
}

#[test]
fn guessing_is_slow_and_keeps_nobody_out_for_long() {
    let daemon = start("127.0.0.1:0");
    let cookie = log_in(&daemon);
    let began = Instant::now();
    let codes: Vec<u16> = (0..20)
        .map(|i| match i % 2 {
            0 => get(&daemon, "/metrics", WRONG).code,
            _ => post(&daemon, "/login", "token=guess", "").code,
        })
        .collect();
    let n_looked_at = codes.iter().filter(|code| **code == 401).count();
    // One more for every six seconds that this took.
    let n_most = 10 + usize::try_from(began.elapsed().as_secs() / 6).unwrap() + 1;
    assert!((10..=n_most).contains(&n_looked_at) && codes[..10] == [401; 10], "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 429).count(), 20 - n_looked_at, "{codes:?}");

    // The right token is not told apart from a wrong one, for some seconds; whoever is logged in notices nothing.
    let asked = Instant::now();
    let refused = get(&daemon, "/metrics", BEARER);
    if asked.elapsed() + began.elapsed() < Duration::from_secs(5) {
        assert_eq!(refused.code, 429, "{}", refused.body);
        assert!((1..=6).contains(&header(&refused, "Retry-After").parse().unwrap()), "{}", refused.head);
        assert!(refused.body.starts_with("there were too many wrong tokens"), "{}", refused.body);
    }
    assert_eq!(get(&daemon, "/metrics", &cookie).code, 200);
    assert_eq!((get(&daemon, "/healthz", "").code, get(&daemon, "/login", "").code), (200, 200));
    while get(&daemon, "/metrics", BEARER).code == 429 {
        assert!(asked.elapsed() < BOUND, "the right token is still kept out");
        thread::park_timeout(Duration::from_millis(100));
    }
    let ended = daemon.stop_well();
    let told =
        ended.lines.iter().filter(|line| line.contains("many wrong tokens, the last one from 127.0.0.1")).count();
    assert_eq!(told, 1, "{}", ended.stderr());
}

#[test]
fn another_token_is_in_force_after_a_reload() {
    let mut daemon = start("127.0.0.1:0");
    let cookie = log_in(&daemon);
    fs::write(daemon.dir.path().join("token"), "another-token-of-16\n").unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    let another = "Authorization: Bearer another-token-of-16\r\n";
    let deadline = Instant::now() + BOUND;
    // A session tells of it without using up tries.
    while get(&daemon, "/metrics", &cookie).code == 200 {
        assert!(Instant::now() < deadline, "the sessions of the old token go on");
        thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!((get(&daemon, "/metrics", another).code, get(&daemon, "/metrics", BEARER).code), (200, 401));
    // To do without one needs a restart.
    daemon.reload(CONFIG.as_bytes());
    daemon.line_with("these changes need a restart: http.token_file");
    assert_eq!(get(&daemon, "/metrics", "").code, 401);
    let ended = daemon.stop_well();
    assert!(ended.stderr().contains("reloaded; changed: the token"), "{}", ended.stderr());
}

#[test]
fn from_the_network() {
    let daemon = start("0.0.0.0:0");
    assert_eq!((get(&daemon, "/metrics", "").code, get(&daemon, "/metrics", BEARER).code), (401, 200));
    // Nothing is sent: this asks only which address would be used.
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()).map(|address| address.ip());
    match own.ok().filter(|own: &IpAddr| !own.is_loopback() && !own.is_unspecified()) {
        Some(own) => {
            let mut from_there = daemon;
            from_there.address = SocketAddr::new(own, from_there.address.port());
            assert_eq!((get(&from_there, "/metrics", "").code, get(&from_there, "/metrics", BEARER).code), (401, 200));
            assert!(stream(&from_there, BEARER).unwrap().contains("\"hello\""));
            from_there.stop_well();
        }
        None => println!("left out, because this machine has no address but loopback: requests to another one"),
    }
}

fn check(dir: &Path, http: &str) -> Ended {
    fs::write(dir.join("rig.toml"), format!("[recorder]\nrecord = \"off\"\n[http]\n{http}")).unwrap();
    run(&["check", "-c", "rig.toml"], dir)
}

#[test]
fn what_check_says() {
    let dir = dir_with_token(&format!("{TOKEN}\n"), 0o640);
    let mistake = |http: &str, expected: &str| {
        let ended = check(dir.path(), http);
        assert_eq!(ended.code, Some(78), "{}", ended.stderr());
        assert_eq!(ended.lines, [expected, "1 mistake, nothing was started"]);
    };
    let with_token = check(dir.path(), "listen = \"0.0.0.0:8707\"\ntoken_file = \"token\"\n");
    assert_eq!((with_token.code, with_token.stderr().as_str()), (Some(0), ""));
    let line = "http        http://0.0.0.0:8707/, for those with the token in token";
    assert!(with_token.stdout.lines().any(|l| l == line), "{}", with_token.stdout);
    let without = check(dir.path(), "");
    assert!(without.stdout.contains("http://127.0.0.1:8707/, for this machine\n"), "{}", without.stdout);

    mistake(
        "token_file = \"absent\"\nlisten = \"0.0.0.0:8707\"\n",
        "rig.toml:4: http: token_file = \"absent\": absent cannot be read: No such file or directory (os error 2)",
    );
    fs::write(dir.path().join("short"), "fifteen-letters\n").unwrap();
    mistake(
        "token_file = \"short\"\n",
        "rig.toml:4: http: token_file = \"short\": the first line of short has 15 characters, and a token has 16 to \
         512; `head -c 24 /dev/urandom | base64` prints a good one",
    );
    mistake(
        "token_file = \"token\"\nallow_unauthenticated = true\n",
        "rig.toml:5: http: allow_unauthenticated = true lets everybody read, and the token in token only those who \
         have it: keep one of the two",
    );
    mistake("token_file = 5\n", "rig.toml:4: http: token_file = 5 must be text in quotes");

    fs::set_permissions(dir.path().join("token"), fs::Permissions::from_mode(0o644)).unwrap();
    let readable = check(dir.path(), "token_file = \"token\"\n");
    let warning = "every user of this machine can get at the token in token, mode 0644; chmod 640 it";
    assert_eq!(readable.code, Some(0));
    assert!(readable.lines.len() == 1 && readable.lines[0].contains(warning), "{}", readable.stderr());

    assert!(run(&["kinds"], dir.path()).stdout.contains("    token_file = \"\""));
}
