//! Voltages are differences: this stage changes what they are differences to.

use super::prelude::*;

/// The row of `rereference`.
pub(super) const KIND: Kind = Kind {
    name: "rereference",
    summary: "subtracts the average of all voltages, or of some channels, from every voltage",
    keys: &[Key {
        name: "to",
        default: "[]",
        help: "names of channels, such as [\"A1\", \"A2\"]; empty: the average of all voltages",
    }],
    example: "to = []",
    build: build::<Rereference>,
};

/// Subtracts the mean of the reference channels from every voltage, frame by frame. Channels with another unit are
/// neither changed nor averaged. The reference channels stay in the stream and are changed like the others.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rereference {
    to: Vec<String>,
    /// The channels that are averaged.
    #[serde(skip)]
    references: Vec<usize>,
    /// For each channel, whether the average is subtracted.
    #[serde(skip)]
    changed: Vec<bool>,
}

impl Stage for Rereference {
    fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError> {
        self.changed = input.channels.iter().map(Channel::is_voltage).collect();
        self.references = if self.to.is_empty() {
            (0..input.n_channels()).filter(|&channel| self.changed[channel]).collect()
        } else {
            self.to.iter().map(|name| find(name, input)).collect::<Result<_, _>>()?
        };
        self.references.sort_unstable();
        self.references.dedup();

        // The mean of millivolts and microvolts would be a number without meaning.
        let mut units = input.channels.iter().filter(|channel| channel.is_voltage()).map(|channel| &channel.unit);
        let Some(unit) = units.next() else {
            return Err(StageError::new("to = [] must find a voltage, but the stream has none"));
        };
        if let Some(other) = units.find(|other| *other != unit) {
            return Err(StageError::new(format!("to must find all voltages in one unit, not in {unit} and {other}")));
        }
        Ok(input.clone())
    }

    #[allow(clippy::cast_possible_truncation, reason = "f32 is the sample's type; the arithmetic before it is f64")]
    fn process(&mut self, block: &mut Block) {
        let n_references = self.references.len() as f64;
        for frame in block.frames_mut() {
            let sum: f64 = self.references.iter().map(|&channel| f64::from(frame[channel])).sum();
            let mean = sum / n_references;
            for (sample, changed) in frame.iter_mut().zip(&self.changed) {
                let difference = (f64::from(*sample) - mean) as f32;
                *sample = if *changed { difference } else { *sample };
            }
        }
    }
}

/// The index of the voltage channel `name`.
fn find(name: &str, input: &Stream) -> Result<usize, StageError> {
    let Some(index) = input.channels.iter().position(|channel| channel.name == name) else {
        let names: Vec<&str> = input.channels.iter().map(|channel| channel.name.as_str()).collect();
        return Err(StageError::new(format!("to = {name:?} must be a channel of the stream: {}", names.join(", "))));
    };
    let unit = &input.channels[index].unit;
    if !input.channels[index].is_voltage() {
        return Err(StageError::new(format!("to = {name:?} must be a voltage, but its unit is {unit:?}")));
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        let mut channels = ["C3", "C4", "A1", "temp"].map(|name| Channel::microvolts_24_bit(name, 1000.0)).to_vec();
        channels[3].unit = "degC".to_owned();
        Stream { rate_hz: 250.0, channels, block_frames_max: 40, ratio: 1, delay_s: 0.0 }
    }

    fn to(names: &[&str]) -> Rereference {
        Rereference { to: names.iter().map(|name| (*name).to_owned()).collect(), ..Rereference::default() }
    }

    #[test]
    fn the_average_is_over_voltages_and_leaves_the_others_alone() {
        let mut stage = to(&[]);
        stage.prepare(&stream()).expect("fits");
        let mut block = Block::from_samples(&stream(), &[1.0, 2.0, 6.0, 37.0]);
        stage.process(&mut block);
        assert_eq!(block.samples(), [-2.0, -1.0, 3.0, 37.0]);
    }

    #[test]
    fn named_channels_become_the_reference_each_once() {
        let mut stage = to(&["A1", "A1"]);
        stage.prepare(&stream()).expect("fits");
        let mut block = Block::from_samples(&stream(), &[1.0, 2.0, 6.0, 37.0]);
        stage.process(&mut block);
        assert_eq!(block.samples(), [-5.0, -4.0, 0.0, 37.0]);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let refused = |names: &[&str]| to(names).prepare(&stream()).expect_err("must be refused").to_string();
        assert_eq!(refused(&["A3"]), r#"to = "A3" must be a channel of the stream: C3, C4, A1, temp"#);
        assert_eq!(refused(&["temp"]), r#"to = "temp" must be a voltage, but its unit is "degC""#);
        let mut mixed = stream();
        mixed.channels[1].unit = "mV".to_owned();
        let error = to(&[]).prepare(&mixed).expect_err("must be refused").to_string();
        assert_eq!(error, "to must find all voltages in one unit, not in uV and mV");
    }
}
