//! The filters against an independent implementation, SciPy. The files, and the script that makes them, are in
//! `tests/golden/`; each records the versions that made it.

#[path = "common/stages.rs"]
mod stages;

use std::f64::consts::TAU;

use biosigd::stage::filter::Section;
use biosigd::stage::{StageError, design};
use serde::Deserialize;

#[derive(Deserialize)]
struct Responses {
    made_with: String,
    cases: Vec<Response>,
}

#[derive(Deserialize)]
struct Response {
    kind: String,
    /// Of the function in `design`, in its order.
    arguments: Vec<f64>,
    rate_hz: f64,
    /// The frequencies at which the response is given.
    at_hz: Vec<f64>,
    re: Vec<f64>,
    im: Vec<f64>,
}

impl Response {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "orders are 1 to 8")]
    fn design(&self) -> Result<Vec<Section>, StageError> {
        match (self.kind.as_str(), self.arguments.as_slice()) {
            ("low_pass", [order, corner_hz]) => design::low_pass(*order as u32, *corner_hz, self.rate_hz),
            ("high_pass", [order, corner_hz]) => design::high_pass(*order as u32, *corner_hz, self.rate_hz),
            ("band_pass", [order, low_hz, high_hz]) => {
                design::band_pass(*order as u32, *low_hz, *high_hz, self.rate_hz)
            }
            ("notch", [freq_hz, q]) => Ok(vec![design::notch(*freq_hz, *q, self.rate_hz)?]),
            other => panic!("no filter {other:?}"),
        }
    }
}

#[test]
fn magnitudes_and_phases_are_those_of_butter_and_iirnotch() {
    let golden: Responses = serde_json::from_str(include_str!("golden/response.json")).expect("JSON");
    for case in &golden.cases {
        let sections = case.design().expect("a filter");
        for ((at_hz, re), im) in case.at_hz.iter().zip(&case.re).zip(&case.im) {
            let w = TAU * at_hz / case.rate_hz;
            let h = sections.iter().fold((1.0, 0.0), |h, section| times(h, gain(section, w)));
            // Coefficients near 2 are rounded by 2e-16, some of them and twice, in the formulas and here; a section
            // whose denominator is small, close to a pole, magnifies that. 1e-12 for the file's 13 digits.
            let magnified: f64 = sections.iter().map(|section| 1.0 / size(denominator(section, w))).sum();
            let tolerance = 1e-12 + 10.0 * 2e-16 * magnified;
            let error = size((h.0 - re, h.1 - im));
            let Response { kind, arguments, rate_hz, .. } = case;
            assert!(
                error <= tolerance,
                "{kind} {arguments:?} at {rate_hz}: {h:?} instead of ({re}, {im}) at {at_hz} Hz, off by {error:.1e}, \
                 allowed {tolerance:.1e} ({})",
                golden.made_with
            );
        }
    }
}

/// The gain of a section at `w` radians per frame.
fn gain(c: &Section, w: f64) -> (f64, f64) {
    let (re, im) = denominator(c, w);
    let size_squared = re * re + im * im;
    times(polynomial(c.b0, c.b1, c.b2, w), (re / size_squared, -im / size_squared))
}

fn denominator(c: &Section, w: f64) -> (f64, f64) {
    polynomial(1.0, c.a1, c.a2, w)
}

fn polynomial(p0: f64, p1: f64, p2: f64, w: f64) -> (f64, f64) {
    (p0 + p1 * w.cos() + p2 * (2.0 * w).cos(), -p1 * w.sin() - p2 * (2.0 * w).sin())
}

fn times(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

fn size(a: (f64, f64)) -> f64 {
    a.0.hypot(a.1)
}

#[derive(Deserialize)]
struct Times {
    made_with: String,
    rate_hz: f64,
    input: Vec<f32>,
    cases: Vec<Time>,
}

#[derive(Deserialize)]
struct Time {
    kind: String,
    keys: String,
    output: Vec<f64>,
}

#[test]
fn outputs_are_those_of_sosfilt_started_in_the_steady_state() {
    const N_CHANNELS: usize = 2;
    let golden: Times = serde_json::from_str(include_str!("golden/time.json")).expect("JSON");
    let stream = stages::stream(N_CHANNELS, golden.rate_hz, 400);
    for case in &golden.cases {
        let mut stage = stages::build(&case.kind, &case.keys);
        stage.prepare(&stream).expect("fits");
        let mut block = stages::block(&stream, 0, &golden.input);
        stage.process(&mut block);
        assert_eq!(block.samples().len(), case.output.len(), "{}", case.kind);
        // An f32 is rounded by up to 6e-8 of itself, the 9 digits of the file by 5e-9. The rounding of coefficients,
        // magnified as above, makes 7e-11 of the largest input at the lowest corner, 0.5 Hz.
        let largest = golden.input.iter().fold(0.0, |largest: f64, x| largest.max(f64::from(x.abs())));
        let coefficients = 20.0 * 2e-16 / (TAU * 0.5 / golden.rate_hz).powi(2);
        for (i, (y, expected)) in block.samples().iter().zip(&case.output).enumerate() {
            let error = (f64::from(*y) - expected).abs();
            let tolerance = 6.5e-8 * expected.abs() + coefficients * largest;
            let Time { kind, keys, .. } = case;
            assert!(
                error <= tolerance,
                "{kind} ({keys}): {y} instead of {expected} in sample {i}, off by {error:.1e}, allowed \
                 {tolerance:.1e} ({})",
                golden.made_with
            );
        }
    }
}
