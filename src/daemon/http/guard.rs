//! Who may ask. Browsers let any page open a WebSocket to any address, and a name that resolves to this machine today
//! may belong to somebody else: so every request is held against its `Host`, and its `Origin` where it has one.

use std::net::IpAddr;

use super::answer::Answer;

/// Checks `Host` and `Origin`; the refusal says which one and why.
pub(super) fn check(host: Option<&str>, origin: Option<&str>, more_hosts: &[String]) -> Result<(), Answer> {
    let Some(host) = host else { return Err(Answer::refuse("400 Bad Request", "the request has no Host")) };
    let name = host_name(host);
    if !is_ours(name, more_hosts) {
        let why = format!("this server is not `{name}`; add it to http.hosts if it should be");
        return Err(Answer::refuse("421 Misdirected Request", &why));
    }
    match origin {
        // Programs send none.
        None => Ok(()),
        Some(origin) => {
            let same = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
            if same {
                Ok(())
            } else {
                Err(Answer::refuse("403 Forbidden", "a page of another origin may not read this"))
            }
        }
    }
}

/// The name or address in `name:port`, `[v6]:port` or alone.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(host, |(address, _)| address);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

fn is_ours(name: &str, more_hosts: &[String]) -> bool {
    // An address cannot be taken over by a name server.
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".local")
        || std::fs::read_to_string("/proc/sys/kernel/hostname").is_ok_and(|own| name.eq_ignore_ascii_case(own.trim()))
        || more_hosts.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: Option<&str>, origin: Option<&str>) -> bool {
        check(host, origin, &["pi.lab.example".to_owned()]).is_ok()
    }

    #[test]
    fn who_may_ask() {
        assert!(allowed(Some("127.0.0.1:8707"), None));
        assert!(allowed(Some("[::1]:8707"), Some("http://[::1]:8707")));
        assert!(allowed(Some("pi5.local"), Some("http://pi5.local")));
        assert!(allowed(Some("PI.lab.example:8707"), None));
        assert!(allowed(Some("localhost:8707"), Some("http://localhost:8707")));
    }

    #[test]
    fn who_may_not() {
        assert!(!allowed(None, None), "no Host");
        assert!(!allowed(Some("evil.example:8707"), None), "a rebound name");
        assert!(!allowed(Some("127.0.0.1:8707"), Some("http://evil.example")), "another page");
        assert!(!allowed(Some("127.0.0.1:8707"), Some("http://127.0.0.1:8080")), "another port is another origin");
        assert!(!allowed(Some("127.0.0.1:8707"), Some("null")), "a sandboxed frame");
    }
}
