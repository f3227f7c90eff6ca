//! Multiplies: undoes an amplifier before the converter, turns a sign round, changes a scale for a display.

use super::prelude::*;

/// The row of `gain`.
pub(super) const KIND: Kind = Kind {
    name: "gain",
    summary: "multiplies every channel by one factor",
    keys: &[Key { name: "factor", default: "1.0", help: "without unit, not 0; -1 turns the sign round" }],
    example: "factor = -2.5",
    build: build::<Gain>,
};

/// Every channel times `factor`, its physical range too. What would leave the range of `f32` stays at its end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gain {
    factor: f64,
}

impl Default for Gain {
    fn default() -> Gain {
        Gain { factor: 1.0 }
    }
}

impl Stage for Gain {
    fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError> {
        if !self.factor.is_finite() || self.factor == 0.0 {
            return Err(StageError::new(format!("factor = {} must be a number other than 0", self.factor)));
        }
        let mut output = input.clone();
        for channel in &mut output.channels {
            channel.physical_min *= self.factor;
            channel.physical_max *= self.factor;
        }
        Ok(output)
    }

    #[allow(clippy::cast_possible_truncation, reason = "f32 is the sample's type; the range is kept")]
    fn process(&mut self, block: &mut Block) {
        for sample in block.samples_mut() {
            let product = f64::from(*sample) * self.factor;
            *sample = product.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        }
    }
}
