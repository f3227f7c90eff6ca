//! The thread of the live clients: takes blocks from the links of all streams and offers them to the sink, which
//! keeps the clients. It waits in the sink's poller, whose waker is the bell of every link.

use std::sync::Arc;

use super::{Ledger, Popped, Receiver};
use crate::block::{Account, Cause, Follower, Head};
use crate::metrics::Metrics;
use crate::sink::{LiveBlock, LiveSink, Traffic};

/// One stream on its way to the clients.
struct Feed {
    link: Receiver<LiveBlock>,
    /// Follows the stream from its first frame; `None` before the first block.
    follower: Follower,
    ledger: Ledger,
    counted: Account,
    generation: u32,
    ended: bool,
}

/// Everything the websocket thread owns.
pub struct Fanout<S> {
    feeds: Vec<Feed>,
    sink: S,
    metrics: Arc<Metrics>,
    counted: Traffic,
}

impl<S: LiveSink> Fanout<S> {
    /// Gets the thread's work ready: the links in the order of the sink's stream numbers, each with its name.
    pub fn new(links: Vec<(String, Receiver<LiveBlock>)>, sink: S, metrics: Arc<Metrics>) -> Fanout<S> {
        let feeds = links.into_iter().map(|(name, link)| Feed {
            link,
            follower: Follower::default(),
            ledger: Ledger::new(&metrics, &format!("websocket.{name}")),
            counted: Account::default(),
            generation: 0,
            ended: false,
        });
        Fanout { feeds: feeds.collect(), sink, counted: Traffic::default(), metrics }
    }

    /// Runs until every link has ended, then says goodbye to the clients.
    pub fn run(mut self) {
        while !self.turn() {
            self.sink.wait();
        }
        self.sink.finish();
        self.count();
    }

    /// Offers all that has come. True when every stream has ended.
    fn turn(&mut self) -> bool {
        let mut all_ended = true;
        for (stream, feed) in self.feeds.iter_mut().enumerate().filter(|(_, feed)| !feed.ended) {
            loop {
                match feed.link.pop() {
                    Popped::Block(block) => {
                        if feed.generation != block.epoch.generation {
                            feed.generation = block.epoch.generation;
                            self.sink.reshaped(stream, block.head.first_frame);
                        }
                        let head = Head { first_frame: block.first_of_all(), ..block.head };
                        let gap = feed.follower.arrived(&head, Cause::LinkFull);
                        self.sink.offer(stream, &block, &gap);
                    }
                    Popped::Empty => {
                        all_ended = false;
                        break;
                    }
                    Popped::Ended(end) => {
                        let gap = feed.follower.ended(&end, Cause::LinkFull);
                        self.sink.ended(stream, &gap);
                        feed.ended = true;
                        break;
                    }
                }
            }
        }
        self.count();
        all_ended
    }

    fn count(&mut self) {
        for (stream, feed) in self.feeds.iter_mut().enumerate() {
            let account = self.sink.account(stream);
            feed.ledger.add(&account.since(&feed.counted));
            feed.counted = account;
        }
        let traffic = self.sink.traffic();
        self.metrics.ws_clients.set(i64::try_from(traffic.clients).unwrap_or(i64::MAX));
        self.metrics.ws_sent_bytes.inc_by(traffic.sent_bytes - self.counted.sent_bytes);
        self.metrics.ws_dropped_messages.inc_by(traffic.dropped_messages - self.counted.dropped_messages);
        self.counted = traffic;
    }
}
