//! When which fault of a plan strikes, from the seed alone.

use super::faults::{Planned, When};
use super::noise::Noise;

/// A plan and how far it has come.
#[derive(Debug)]
pub(super) struct Script {
    plan: Vec<Planned>,
    /// The index of the conversion that each fault strikes at next; [`u64::MAX`] for never.
    due: Vec<u64>,
    next_index: u64,
    noise: Noise,
}

impl Script {
    pub(super) fn new(plan: &[Planned], seed: u64) -> Script {
        Script {
            plan: plan.to_vec(),
            due: vec![u64::MAX; plan.len()],
            next_index: u64::MAX,
            noise: Noise::new(seed ^ 0xFA17),
        }
    }

    /// Those that strike before anything else.
    pub(super) fn at_power_up(&self) -> impl Iterator<Item = (usize, Planned)> {
        self.plan.clone().into_iter().enumerate().filter(|(_, planned)| planned.when == When::PowerUp)
    }

    /// A run begins: conversion 0 is the next one.
    pub(super) fn begin(&mut self) {
        for i in 0..self.plan.len() {
            self.due[i] = match self.plan[i].when {
                When::PowerUp => u64::MAX,
                When::Conversion(index) => index,
                When::Chance(p) => self.wait(p),
            };
        }
        self.schedule();
    }

    /// The index of the conversion before which something strikes.
    pub(super) fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Takes a fault that strikes before conversion `index` is complete.
    pub(super) fn take(&mut self, index: u64) -> Option<(usize, Planned)> {
        // Conversions that were never made were struck by nothing: chance begins anew with this one.
        for i in 0..self.plan.len() {
            if let (true, When::Chance(p)) = (self.due[i] < index, self.plan[i].when) {
                self.due[i] = index.saturating_add(self.wait(p));
            }
        }
        self.schedule();
        let i = self.due.iter().position(|due| *due <= index)?;
        let planned = self.plan[i];
        self.due[i] = match planned.when {
            When::Chance(p) => index.saturating_add(1).saturating_add(self.wait(p)),
            _ => u64::MAX,
        };
        self.schedule();
        Some((i, planned))
    }

    fn schedule(&mut self) {
        self.next_index = self.due.iter().copied().min().unwrap_or(u64::MAX);
    }

    /// Conversions that pass unharmed when each is struck with probability `p`: geometrically distributed.
    ///
    /// Fast because chance is asked once per strike, not once per conversion.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; a wait for ever saturates"
    )]
    fn wait(&mut self, p: f64) -> u64 {
        if p <= 0.0 || p.is_nan() {
            return u64::MAX;
        }
        ((1.0 - self.noise.fraction()).ln() / (1.0 - p.min(1.0 - f64::EPSILON)).ln()) as u64
    }
}
