//! Every mistake of a board's table, word for word.

use crate::config::{Document, Mistakes};
use crate::source::ads1299::board::Board;
use crate::source::ads1299::board_of;
use crate::source::ads1299::frame_time::FrameTime;
use crate::source::ads1299::registers::{address, fixed_bits, name};

/// The board of a table `[source]`, or what is wrong with it.
fn read(text: &str) -> Result<Board, String> {
    let text = format!("[source]\nkind = \"ads1299\"\n{text}");
    let document = Document::parse("rig.toml", &text).unwrap();
    let mut mistakes = Mistakes::new("rig.toml");
    board_of(&document, &mut mistakes).ok_or(mistakes.to_string())
}

fn refused(text: &str) -> String {
    let mistakes = read(text).expect_err(text);
    mistakes.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_default_is_four_chips_in_a_row_at_4_khz() {
    let board = read("").unwrap();
    assert_eq!((board.layout.n_chips(), board.channels.len(), board.rate_hz), (4, 32, 4000.0));
    let registers = board.registers(3);
    assert_eq!(registers[address::CONFIG1], 0x92, "daisy, 4 kHz");
    assert_eq!(registers[address::CONFIG3], 0xE0, "internal reference, no bias");
    assert_eq!(registers[address::CH1SET], 0x60, "gain 24, electrode");
    assert_eq!(registers[address::GPIO], 0x00, "all pins are outputs at low level: none floats");
    let channels = board.stream_channels();
    assert!((channels[0].scale() - 0.022_351_7).abs() < 1e-6, "{} uV a code", channels[0].scale());
}

#[test]
fn a_table_that_is_none_is_called_by_its_place_in_the_file() {
    for (text, right) in [
        ("lead_off = \"dc\"", "lead_off = \"dc\" must be a table, [source.lead_off]"),
        ("channel = 3", "channel = 3 must be a table, [source.channel]"),
        ("[source.channel]\n3 = 5", "3 = 5 must be a table, [source.channel.3]"),
    ] {
        assert!(refused(text).ends_with(right), "{}", refused(text));
    }
}

#[test]
fn registers_follow_the_keys_and_keep_the_fixed_bits() {
    let board = read(
        "n_chips = 2\ntopology = \"cascade\"\nrate_hz = 250\nclock = \"first_chip\"\nsrb1 = true\nbias_drive = 1\n\
         bias_inputs = \"both\"\nhigh_pins = [4]\ntrigger_pins = [1]\ngain = 6\n\
         [source.lead_off]\nmode = \"dc\"\ncurrent_na = 24\ncomparator_percent = 70\n\
         [source.channel.3]\npower = false\n[source.channel.9]\ninput = \"test\"\ngain = 12\nlead_off_flip = true\n",
    )
    .unwrap();
    let (first, second) = (board.registers(0), board.registers(1));
    assert_eq!((first[address::CONFIG1], second[address::CONFIG1]), (0xF6, 0xD6), "CLK_EN on the first chip alone");
    assert_eq!((first[address::CONFIG3], second[address::CONFIG3]), (0xEC, 0xE0), "one chip drives the bias");
    assert_eq!(
        (first[address::CONFIG2], second[address::CONFIG2]),
        (0xC0, 0xD0),
        "the test signal where it is looked at"
    );
    assert_eq!(first[address::CH1SET..address::CH1SET + 3], [0x30, 0x30, 0x81]);
    assert_eq!(second[address::CH1SET], 0x55);
    assert_eq!((first[address::LOFF], first[address::CONFIG4]), (0xE4, 0x02));
    assert_eq!((first[address::LOFF_SENSP], second[address::LOFF_SENSP]), (0xFB, 0xFF), "not a channel that is off");
    assert_eq!((second[address::LOFF_FLIP], first[address::MISC1], first[address::GPIO]), (0x01, 0x20, 0x81));
    for chip in [first, second] {
        for (address, value) in chip.iter().enumerate() {
            let (mask, fixed) = fixed_bits(address);
            assert_eq!(value & mask, fixed, "{}", name(address));
        }
    }
}

#[test]
fn no_current_flows_while_lead_off_is_off_whatever_a_channel_says() {
    let channel = |n: usize| format!("[source.channel.{n}]\nlead_off_inputs = \"both\"\nlead_off_flip = true\n");
    for (mode, bits) in [("off", 0x00), ("dc", 0x04), ("ac_7.8hz", 0x04)] {
        let text = format!(
            "n_chips = 1\n[source.lead_off]\nmode = \"{mode}\"\ncurrent_na = 24\ninputs = \"none\"\n{}",
            channel(3)
        );
        let registers = read(&text).unwrap().registers(0);
        let sends = [address::LOFF_SENSP, address::LOFF_SENSN, address::LOFF_FLIP].map(|address| registers[address]);
        assert_eq!(sends, [bits; 3], "{mode}");
        assert_eq!(registers[address::LOFF] == 0, mode == "off", "{mode}");
    }
}

#[test]
fn every_contradiction_is_named() {
    for (text, expected) in [
        ("n_chips = 9", "rig.toml:3: ads1299: n_chips = 9 must be 1 to 8"),
        ("gain = 10", "rig.toml:3: ads1299: gain = 10 must be one of 1, 2, 4, 6, 8, 12, 24"),
        (
            "rate_hz = 3000",
            "rig.toml:3: ads1299: rate_hz = 3000 must be one of 250, 500, 1000, 2000, 4000, 8000, 16000",
        ),
        (
            "[source.channel.5]\ngain = 5",
            "rig.toml:4: ads1299.channel.5: gain = 5 must be one of 1, 2, 4, 6, 8, 12, 24",
        ),
        ("[source.channel.33]", "rig.toml:3: ads1299.channel.33: `33` must be a channel, 1 to 32"),
        ("spi = [\"0\"]", "rig.toml:3: ads1299: spi: \"0\" must be BUS.SELECT, such as \"0.0\""),
        ("spi = [\"0.0\", \"0.0\"]", "rig.toml:3: ads1299: spi: \"0.0\" stands twice, each row or chip has its own"),
        (
            "topology = \"cascade\"\nspi = [\"0.0\"]",
            "rig.toml:4: ads1299: spi names 1 chip selects, but a cascade of 4 chips needs one for each",
        ),
        (
            "spi = [\"0.0\", \"0.1\", \"1.0\"]",
            "rig.toml:3: ads1299: spi names 3 rows, but 4 chips cannot be spread evenly over them",
        ),
        (
            "bus = \"spidev\"",
            "rig.toml:1: ads1299: drdy_line is missing: bus = \"spidev\" needs the GPIO that DRDY is wired to",
        ),
        (
            "drdy_line = 17",
            "rig.toml:3: ads1299: drdy_line = 17 is a GPIO of the Pi, but without `bus` the chips are simulated: write bus = \
             \"spidev\", or bus = \"simulated\" to try this file without hardware",
        ),
        (
            "bus = \"spidev\"\ndrdy_line = 17\nstart_line = 17",
            "rig.toml:5: ads1299: start_line = 17 is drdy_line already; each has its own GPIO",
        ),
        (
            "bus = \"spidev\"\ndrdy_line = 9",
            "rig.toml:4: ads1299: drdy_line = 9 is MISO of SPI 0, which `spi` uses; it needs a GPIO of its own",
        ),
        (
            "bus = \"spidev\"\ndrdy_line = 17\nreset_line = 8",
            "rig.toml:5: ads1299: reset_line = 8 is the chip select of \"0.0\", which `spi` uses; it needs a GPIO of its own",
        ),
        (
            "bus = \"simulated\"\nn_chips = 2\ntopology = \"cascade\"\ndrdy_line = 17\nwitness_line = 7",
            "rig.toml:7: ads1299: witness_line = 7 is the chip select of \"0.1\", which `spi` uses; it needs a GPIO of its own",
        ),
        (
            "bus = \"spidev\"\ndrdy_line = 18\nspi = [\"0.0\", \"1.0\"]",
            "rig.toml:4: ads1299: drdy_line = 18 is the chip select of \"1.0\", which `spi` uses; it needs a GPIO of its own",
        ),
        (
            "bus = \"spidev\"\ndrdy_line = 5\nspi = [\"3.0\"]",
            "rig.toml:4: ads1299: drdy_line = 5 is data or clock of SPI 3, which `spi` uses; it needs a GPIO of its own",
        ),
        (
            "bus = \"spidev\"\ndrdy_line = 40",
            "rig.toml:4: ads1299: drdy_line = 40 must be 0 to 27, a GPIO of the Pi's header: its number as GPIO, not that of the \
             pin; lines of another chip need its `gpio_chip`",
        ),
        (
            "spi = [\"0.1\", \"3.0\"]",
            "rig.toml:3: ads1299: spi: GPIO 7 would be both the chip select of \"0.1\" and data or clock of SPI 3: take another bus \
             or select",
        ),
        (
            "bias_drive = 2",
            "rig.toml:3: ads1299: bias_drive = 2: the chips of a row share DIN, so the bias amplifiers of all of them would be \
             on; where only one output is wired, write \"all\"",
        ),
        (
            "topology = \"cascade\"\nbias_drive = \"all\"",
            "rig.toml:4: ads1299: bias_drive = \"all\": several amplifiers would drive one electrode; name the chip that does",
        ),
        (
            "[source.channel.9]\ngain = 12",
            "rig.toml:3: ads1299: chips 1 and 2 stand in one row and share DIN, so CH1SET cannot be 0x60 in one and 0x50 in the \
             other; give the same channel of each chip the same settings, or wire a chip select for each (topology = \
             \"cascade\")",
        ),
        (
            "clock = \"internal\"",
            "rig.toml:3: ads1299: clock = \"internal\": 4 chips on their own oscillators drift apart by up to 1 %; feed them one \
             clock and write \"external\" or \"first_chip\"",
        ),
        (
            "rate_hz = 16000",
            "rig.toml:1: ads1299: spi_clock_hz = 8333334, of which a Pi 5 makes 8333333 Hz: 109 bytes of 8 bits at 8333333 Hz \
             take 104.6 us, and 1.95 us before the next conversion nothing may be read: together they must be less than the 62.5 us \
             between two conversions at 16000 frames per second; at least 16666667 Hz would be",
        ),
        (
            "spi_clock_hz = 3570000",
            "rig.toml:3: ads1299: spi_clock_hz = 3570000, of which a Pi 5 makes 3448275 Hz: 109 bytes of 8 bits at 3448275 Hz \
             take 252.9 us, and 1.95 us before the next conversion nothing may be read: together they must be less than the \
             250.0 us between two conversions at 4000 frames per second; at least 3571429 Hz would be",
        ),
        (
            "n_chips = 8\nrate_hz = 16000",
            "rig.toml:1: ads1299: spi_clock_hz = 8333334, of which a Pi 5 makes 8333333 Hz: 217 bytes of 8 bits at 8333333 Hz \
             take 208.3 us, and 1.95 us before the next conversion nothing may be read: together they must be less than the 62.5 us \
             between two conversions at 16000 frames per second; no clock that the chips take is fast enough: a lower rate, or \
             fewer chips to a bus",
        ),
        ("high_pins = [1]\ntrigger_pins = [1]", "rig.toml:3: ads1299: high_pins: 1 is a trigger input already"),
        (
            "[source.lead_off]\nmode = \"dc\"\ncurrent_na = 7",
            "rig.toml:5: ads1299.lead_off: current_na = 7 must be one of 6, 24, 6000, 24000",
        ),
        (
            "channels = [\"Fp1\"]",
            "rig.toml:3: ads1299: channels names 1 channels, but the chips have 32: they must be as many",
        ),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn pins_that_are_free_are_taken_and_another_chips_lines_are_its_own() {
    for text in [
        // Bus 1 is not used, select 1 of bus 0 is not.
        "bus = \"spidev\"\ndrdy_line = 18\nstart_line = 7\nreset_line = 20",
        // An overlay has moved a select.
        "bus = \"spidev\"\ngpio_chip = \"pinctrl-rp1\"\ndrdy_line = 8",
        "bus = \"spidev\"\ngpio_chip = \"/dev/gpiochip2\"\ndrdy_line = 40",
    ] {
        assert!(read(text).is_ok(), "{text}: {:?}", read(text));
    }
}

#[test]
fn what_a_frame_takes_has_the_kernel_in_it_as_doctor_has() {
    let sum = |text: &str| {
        let text = format!("[source]\nkind = \"ads1299\"\n{text}");
        let document = Document::parse("rig.toml", &text).unwrap();
        let mut mistakes = Mistakes::new("rig.toml");
        let table = document.root().section("source", &mut mistakes);
        let kind = crate::source::KINDS.iter().find(|kind| kind.name == "ads1299").unwrap();
        let mut table = table.clone();
        table.choose("source", crate::source::KINDS, |kind| kind.name, None, &mut mistakes);
        let plan = (kind.plan)(&table, &mut mistakes).unwrap_or_else(|| panic!("{mistakes}"));
        let line = plan.lines().into_iter().find(|(word, _)| *word == "spi").unwrap().1;
        if let Some(hardware) = plan.hardware() {
            assert!(line.contains(&FrameTime::of(&hardware, true).to_string()), "{line}");
        }
        line
    };
    // Four selects are read byte by byte, one after the other.
    let cascade = "topology = \"cascade\"\nspi = [\"0.0\", \"0.1\", \"1.0\", \"1.1\"]\nspi_clock_hz = 8400000\n";
    let expected = "a frame on a Pi 5, which makes 8333333 Hz of 8400000: 112 bytes at 8.333 MHz 107.5 us + 4 transfers byte by byte \
                    about 239.2 us + 2.0 us before the next edge = 348.7 of 250.0 us; 98.7 us too many: conversions would be \
                    missed, if the estimate is right; no register is read back in the run, which takes 50 us more";
    assert_eq!(sum(cascade), expected);
    assert_eq!(sum(&format!("bus = \"spidev\"\ndrdy_line = 25\n{cascade}")), expected);
    assert!(
        sum("rate_hz = 1000").ends_with("156.6 of 1000.0 us; 843.4 us are left for waking up"),
        "{}",
        sum("rate_hz = 1000")
    );
}
