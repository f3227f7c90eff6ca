//! What the Linux kernel makes of DRDY's edges (gpiolib-cdev.c): a hard interrupt takes the time and counts, a thread
//! makes the event and counts again, a queue keeps 1024 events and drops the oldest.

use std::collections::VecDeque;

use super::noise::Noise;
use super::setup::HostDelays;
use super::truth::Counts;
use crate::source::ads1299::wire::Edge;

/// Events that the kernel's queue holds at most.
const EVENTS_MAX: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Event {
    edge: Edge,
    /// When the kernel's thread has made it.
    ready_ns: u64,
}

/// The kernel's side of the DRDY line.
#[derive(Debug)]
pub(super) struct Edges {
    delays: HostDelays,
    noise: Noise,
    events: VecDeque<Event>,
    n_interrupts: u32,
    n_events: u32,
    last_interrupt_ns: u64,
    /// The kernel's thread does not run while this is set: one event for all edges, with the time of the newest.
    thread_stands: bool,
    /// Edges that make no interrupt.
    n_to_drop: u32,
    /// Edges until the kernel's thread runs again.
    n_to_coalesce: u32,
    /// Edges until interrupts are on again.
    n_to_merge: u32,
    more_jitter_ns: u64,
}

impl Edges {
    pub(super) fn new(delays: HostDelays, seed: u64) -> Edges {
        Edges {
            delays,
            noise: Noise::new(seed),
            events: VecDeque::with_capacity(EVENTS_MAX),
            n_interrupts: 0,
            n_events: 0,
            last_interrupt_ns: 0,
            thread_stands: false,
            n_to_drop: 0,
            n_to_coalesce: 0,
            n_to_merge: 0,
            more_jitter_ns: 0,
        }
    }

    /// The next `n_edges` make no interrupt.
    pub(super) fn drop_next(&mut self, n_edges: u32) {
        self.n_to_drop = n_edges;
    }

    /// The next `n_edges` become one event.
    pub(super) fn coalesce_next(&mut self, n_edges: u32) {
        self.n_to_coalesce = n_edges;
    }

    /// The next `n_edges` become one interrupt.
    pub(super) fn merge_next(&mut self, n_edges: u32) {
        self.n_to_merge = n_edges;
    }

    pub(super) fn set_more_jitter(&mut self, jitter_ns: u64) {
        self.more_jitter_ns = jitter_ns;
    }

    /// DRDY falls.
    pub(super) fn edge(&mut self, at_ns: u64, counts: &mut Counts) {
        counts.n_edges += 1;
        if self.n_to_drop > 0 {
            self.n_to_drop -= 1;
            counts.n_edges_dropped += 1;
            return;
        }
        if self.n_to_merge > 1 {
            self.n_to_merge -= 1;
            counts.n_edges_merged += 1;
            return;
        }
        self.n_to_merge = 0;
        if self.n_to_coalesce > 0 {
            self.thread_stands = true;
        }
        let most_ns = self.delays.jitter_ns + self.more_jitter_ns;
        let jitter_ns = if most_ns == 0 { 0 } else { self.noise.below(most_ns + 1) };
        self.interrupt(at_ns + self.delays.interrupt_ns + jitter_ns, counts);
        if self.n_to_coalesce > 0 {
            self.n_to_coalesce -= 1;
            if self.n_to_coalesce == 0 {
                self.hold_thread(false);
            }
        }
    }

    fn interrupt(&mut self, at_ns: u64, counts: &mut Counts) {
        let at_ns = at_ns.max(self.last_interrupt_ns);
        self.last_interrupt_ns = at_ns;
        self.n_interrupts = self.n_interrupts.wrapping_add(1);
        counts.n_interrupts += 1;
        let ready_ns = if self.thread_stands { u64::MAX } else { at_ns + self.delays.thread_ns };
        if let Some(last) = self.events.back_mut().filter(|last| last.ready_ns > at_ns) {
            // The thread did not run yet: one event for both, with the time of this one.
            last.edge.at_ns = at_ns;
            last.edge.n_interrupts = self.n_interrupts;
            counts.n_edges_coalesced += 1;
            return;
        }
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
            counts.n_overflowed += 1;
        }
        self.n_events = self.n_events.wrapping_add(1);
        counts.n_events += 1;
        let edge = Edge { at_ns, n_interrupts: self.n_interrupts, n_events: self.n_events };
        self.events.push_back(Event { edge, ready_ns });
    }

    /// The kernel's thread is kept from running, or runs again.
    pub(super) fn hold_thread(&mut self, stands: bool) {
        if self.thread_stands && !stands {
            if let Some(last) = self.events.back_mut().filter(|last| last.ready_ns == u64::MAX) {
                last.ready_ns = last.edge.at_ns + self.delays.thread_ns;
            }
        }
        self.thread_stands = stands;
    }

    /// When the oldest event is there to be read.
    pub(super) fn ready_ns(&self) -> Option<u64> {
        self.events.front().map(|event| event.ready_ns)
    }

    pub(super) fn take(&mut self, now_ns: u64) -> Option<Edge> {
        let event = self.events.front().filter(|event| event.ready_ns <= now_ns)?;
        let edge = event.edge;
        self.events.pop_front();
        Some(edge)
    }
}
