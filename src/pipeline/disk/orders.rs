//! What people may ask of the recorder, and what it answers at once. What takes time is answered where it comes about.

use std::time::Instant;

use super::desk::{Desk, Opening};
use super::recording::Fate;
use crate::pipeline::control::{Final, Order, Ticket, Verdict};
use crate::sink::{About, RawSink};

impl<S: RawSink> Desk<S> {
    /// Takes what has been asked for since the last time.
    pub(super) fn take_orders(&mut self) {
        while let Ok(request) = self.orders.try_recv() {
            match request.order {
                Order::Start(about) => self.start(about, request.ticket),
                Order::Stop { asked_ns } => self.stop(asked_ns, request.ticket),
                Order::Rotate => self.rotate(request.ticket),
            }
        }
    }

    /// Nobody will do what is still asked for.
    pub(super) fn refuse_orders(&mut self) {
        let why = || Verdict::Failed { why: "the daemon is stopping".to_owned() };
        if let Some(ticket) = self.opening.take().and_then(|opening| opening.ticket) {
            ticket.tell(why());
        }
        while let Ok(request) = self.orders.try_recv() {
            request.ticket.tell(why());
        }
    }

    fn start(&mut self, about: About, ticket: Ticket) {
        match &mut self.recording {
            // It has no file: the next block tries again, and tells what came of it.
            Some(recording) if !recording.is_in_file() && !recording.is_ending && recording.start.is_none() => {
                recording.about = about;
                recording.start = Some(ticket);
                recording.fate = Fate::Lost { try_at: Instant::now() };
            }
            Some(recording) => ticket.tell(Verdict::Active { file: recording.file.clone() }),
            // One that waits for space may be replaced: this one says what is missing.
            None if self.opening.as_ref().is_some_and(|opening| opening.owed || opening.ticket.is_some()) => {
                ticket.tell(Verdict::Active { file: None });
            }
            None => {
                self.resume = None;
                self.gate.pack(true);
                self.opening = Some(Opening { about, ticket: Some(ticket), owed: false });
            }
        }
    }

    fn stop(&mut self, asked_ns: u64, ticket: Ticket) {
        match &mut self.recording {
            Some(recording) if !recording.is_ending => {
                recording.is_ending = true;
                recording.stop = Some(ticket);
                self.shut_gate(asked_ns);
                self.want(false);
            }
            // The one that waits for space is no longer wanted.
            None if self.resume.take().is_some() => {
                self.opening = None;
                self.want(false);
                ticket.tell(Verdict::Stopped(self.last.clone()));
            }
            // One that was to begin with the next block does not.
            None if self.opening.as_ref().is_some_and(|opening| !opening.owed) => {
                self.gate.pack(self.keeps_before);
                let why = "it was asked to end before its first frame".to_owned();
                if let Some(start) = self.opening.take().and_then(|opening| opening.ticket) {
                    start.tell(Verdict::Failed { why });
                }
                self.want(false);
                ticket.tell(Verdict::Stopped(Final::default()));
            }
            Some(_) | None => ticket.tell(Verdict::NotActive),
        }
    }

    fn rotate(&mut self, ticket: Ticket) {
        match &mut self.recording {
            Some(recording) if recording.is_in_file() && !recording.is_ending => {
                recording.rotate.push(ticket);
                self.sinks[self.at].rotate();
            }
            Some(_) | None => ticket.tell(Verdict::NotActive),
        }
    }
}
