//! What a client asks for: `streams=live,raw` and `channels=0-7,12`.

use super::Feed;

/// The streams of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// What it wants, at most once per stream.
    pub selections: Vec<Selection>,
}

/// One stream, or some of its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Place in the list of feeds.
    pub feed: usize,
    /// The channels in the order wanted; `None` for all.
    pub channels: Option<Vec<usize>>,
}

impl Subscription {
    /// Reads the query of a request. Without `streams` a client gets every stream, without `channels` every channel.
    ///
    /// # Errors
    /// What is wrong with it and what would be right, for the answer 400.
    pub fn parse(query: &str, feeds: &[Feed]) -> Result<Subscription, String> {
        let (mut streams, mut channels) = (None, None);
        for (key, value) in
            query.split('&').filter(|part| !part.is_empty()).map(|part| part.split_once('=').unwrap_or((part, "")))
        {
            let value = percent_decode(value).ok_or_else(|| format!("`{key}` is not valid percent-encoded UTF-8"))?;
            let slot = match key {
                "streams" => &mut streams,
                "channels" => &mut channels,
                _ => return Err(format!("unknown parameter `{key}`; known: streams, channels")),
            };
            if slot.replace(value).is_some() {
                return Err(format!("`{key}` stands twice"));
            }
        }
        let chosen = match streams {
            None => (0..feeds.len()).collect(),
            Some(names) => choose_feeds(&names, feeds)?,
        };
        let mut selections = Vec::with_capacity(chosen.len());
        for feed in chosen {
            let channels = match &channels {
                None => None,
                Some(text) => Some(choose_channels(text, &feeds[feed])?),
            };
            selections.push(Selection { feed, channels });
        }
        Ok(Subscription { selections })
    }
}

fn choose_feeds(names: &str, feeds: &[Feed]) -> Result<Vec<usize>, String> {
    let mut chosen = Vec::new();
    for name in names.split(',') {
        let Some(feed) = feeds.iter().position(|feed| feed.name == name) else {
            let known: Vec<&str> = feeds.iter().map(|feed| feed.name.as_str()).collect();
            return Err(format!("no stream is called `{name}`; known: {}", known.join(", ")));
        };
        if chosen.contains(&feed) {
            return Err(format!("stream `{name}` stands twice"));
        }
        chosen.push(feed);
    }
    Ok(chosen)
}

fn choose_channels(text: &str, feed: &Feed) -> Result<Vec<usize>, String> {
    let n_channels = feed.stream.n_channels();
    let mut chosen = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
            return Err(format!("channels: `{part}` must be a number or a range such as 0-7"));
        };
        if first > last || last >= n_channels {
            return Err(format!("channels: `{part}` is not within stream `{}`, 0-{}", feed.name, n_channels - 1));
        }
        if let Some(twice) = (first..=last).find(|channel| chosen.contains(channel)) {
            return Err(format!("channels: {twice} stands twice"));
        }
        chosen.extend(first..=last);
    }
    Ok(chosen)
}

/// Undoes percent-encoding (RFC 3986 section 2.1), which browsers put on commas in a query.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Channel, Stream};
    use crate::sink::websocket::FeedKind;

    fn feeds() -> Vec<Feed> {
        let channels = vec![Channel::microvolts_24_bit("Fp1", 1000.0); 8];
        let stream = Stream { rate_hz: 1000.0, channels, block_frames_max: 2, ratio: 1, delay_s: 0.0 };
        [("raw", FeedKind::Codes), ("live", FeedKind::Units)]
            .iter()
            .zip(0..)
            .map(|((name, kind), id)| Feed { id, name: (*name).to_owned(), kind: *kind, stream: stream.clone() })
            .collect()
    }

    #[test]
    fn what_can_be_asked_for() {
        let all = Subscription::parse("", &feeds()).unwrap();
        assert_eq!(all.selections.len(), 2);
        let some = Subscription::parse("streams=live&channels=6-7%2C0", &feeds()).unwrap();
        assert_eq!(some.selections, [Selection { feed: 1, channels: Some(vec![6, 7, 0]) }]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (query, message) in [
            ("streams=lve", "no stream is called `lve`; known: raw, live"),
            ("streams=raw,raw", "stream `raw` stands twice"),
            ("channels=0-8", "channels: `0-8` is not within stream `raw`, 0-7"),
            ("channels=3-1", "channels: `3-1` is not within stream `raw`, 0-7"),
            ("channels=", "channels: `` must be a number or a range such as 0-7"),
            ("channels=1,0-2", "channels: 1 stands twice"),
            ("rates=250", "unknown parameter `rates`; known: streams, channels"),
            ("streams=%zz", "`streams` is not valid percent-encoded UTF-8"),
            ("streams=%€", "`streams` is not valid percent-encoded UTF-8"),
        ] {
            assert_eq!(Subscription::parse(query, &feeds()).unwrap_err(), message, "{query}");
        }
    }
}
