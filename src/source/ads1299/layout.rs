//! Which chip stands where: chip selects, the chips behind each, and where their parts of a frame begin.

use super::frame::bytes_of;
use super::registers::Model;

/// How chips share a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// One chip select for a row of chips; each passes on what comes after its own bits. All of them take every
    /// command, and only the nearest one answers for sure.
    Daisy,
    /// A chip select for each chip.
    Cascade,
}

/// The chips behind one chip select, and their part of every frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// The first chip, counted over all selects; the chip nearest to the host.
    pub first_chip: usize,
    /// Bit at which each chip's part begins.
    pub part_bits: Vec<usize>,
    /// Bytes to clock for all parts, without the command.
    pub n_bytes: usize,
}

/// All chips of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What every chip is.
    pub models: Vec<Model>,
    /// How they share their buses.
    pub topology: Topology,
    /// The chip selects.
    pub selects: Vec<Select>,
    /// Don't-care bits between the parts of a chain.
    pub gap_bits: usize,
}

impl Layout {
    /// `models` spread evenly over `n_selects` chip selects, in order.
    #[must_use]
    pub fn new(models: Vec<Model>, topology: Topology, n_selects: usize, gap_bits: usize) -> Layout {
        let each = models.len().div_ceil(n_selects.max(1)).max(1);
        let selects = models
            .chunks(each)
            .enumerate()
            .map(|(i, chain)| {
                let mut bit = 0;
                let part_bits: Vec<usize> = chain
                    .iter()
                    .map(|model| {
                        let begins = bit;
                        bit += model.frame_bytes() * 8 + gap_bits;
                        begins
                    })
                    .collect();
                Select { first_chip: i * each, part_bits, n_bytes: bytes_of(bit - gap_bits) }
            })
            .collect();
        Layout { models, topology, selects, gap_bits }
    }

    /// Chips.
    #[must_use]
    pub fn n_chips(&self) -> usize {
        self.models.len()
    }

    /// Channels of all chips together.
    #[must_use]
    pub fn n_channels(&self) -> usize {
        self.models.iter().map(|model| model.n_channels()).sum()
    }

    /// Bytes of one frame of all selects, without commands.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.selects.iter().map(|select| select.n_bytes).sum()
    }

    /// The select of `chip`, and its place behind it.
    #[must_use]
    pub fn place(&self, chip: usize) -> (usize, usize) {
        let select = self.selects.iter().rposition(|select| select.first_chip <= chip).unwrap_or(0);
        (select, chip - self.selects[select].first_chip)
    }

    /// Whether the registers of `chip` can be read in the ordinary way: in a chain only those of the nearest one.
    #[must_use]
    pub fn is_readable(&self, chip: usize) -> bool {
        self.place(chip).1 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_chips_in_a_chain_stand_27_bytes_apart() {
        let layout = Layout::new(vec![Model::Ads1299; 4], Topology::Daisy, 1, 0);
        assert_eq!(layout.selects[0].part_bits, [0, 216, 432, 648]);
        assert_eq!((layout.frame_bytes(), layout.n_channels()), (108, 32));
        assert!(layout.is_readable(0) && !layout.is_readable(3));
        let gap = Layout::new(vec![Model::Ads1299; 4], Topology::Daisy, 1, 1);
        assert_eq!((gap.selects[0].part_bits[3], gap.frame_bytes()), (651, 109));
    }

    #[test]
    fn a_select_for_each_chip_or_for_half_of_them() {
        let cascade = Layout::new(vec![Model::Ads1299; 4], Topology::Cascade, 4, 0);
        assert_eq!((cascade.selects.len(), cascade.place(3)), (4, (3, 0)));
        let two = Layout::new(vec![Model::Ads1299; 4], Topology::Daisy, 2, 0);
        assert_eq!((two.selects.len(), two.place(3), two.selects[1].n_bytes), (2, (1, 1), 54));
        let small = Layout::new(vec![Model::Ads1299_4, Model::Ads1299], Topology::Daisy, 1, 0);
        assert_eq!((small.selects[0].part_bits[1], small.frame_bytes(), small.n_channels()), (120, 42, 12));
    }
}
