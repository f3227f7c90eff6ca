//! Registers, commands and frames.

use super::*;
use crate::source::synthetic::counter_code;

/// Registers of an ADS1299 after reset (hardware reference, golden vectors).
const AFTER_RESET: [u8; 24] =
    [0x3E, 0x96, 0xC0, 0x60, 0x00, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0, 0, 0, 0, 0, 0, 0, 0x0F, 0, 0, 0];

#[test]
fn registers_after_reset_are_the_datasheets() {
    let mut host = Host::new(&Setup::default());
    host.command(0, 0x11);
    assert_eq!(host.read(0, 0, 24), AFTER_RESET);
    assert_eq!(host.read(0, 0x16, 4), [0, 0, 0, 0], "past 17h there is nothing");
    host.write(0, 0x01, &[0x92, 0xD0]);
    assert_eq!(host.read(0, 1, 2), [0x92, 0xD0]);
    host.command(0, 0x06);
    host.command(0, 0x11);
    assert_eq!(host.read(0, 0, 24), AFTER_RESET);
    assert_eq!(host.violations(), []);
}

#[test]
fn models_differ_in_identity_channels_and_frame() {
    for (model, id, n_channels) in
        [(Model::Ads1299, 0x3E, 8), (Model::Ads1299Six, 0x3D, 6), (Model::Ads1299Four, 0x3C, 4)]
    {
        let mut setup = Setup::default();
        setup.selects[0].chips[0].model = model;
        let mut host = Host::new(&setup);
        host.command(0, 0x11);
        host.write(0, 0x05, &[0x50; 8]);
        host.write(0, 0x0D, &[0xFF; 5]);
        let registers = host.read(0, 0, 24);
        assert_eq!(registers[0], id);
        let present: Vec<u8> = (0..8).map(|i| if i < n_channels { 0x50 } else { 0 }).collect();
        assert_eq!(registers[5..13], present);
        let bits = if n_channels == 8 { 0xFF } else { (1_u8 << n_channels) - 1 };
        assert_eq!(registers[13..18], [bits; 5]);
        assert_eq!(model.frame_bytes(), 3 + 3 * n_channels);
    }
}

#[test]
fn reserved_bits_keep_their_values_and_read_only_registers_theirs() {
    let mut host = Host::new(&Setup::default());
    host.command(0, 0x11);
    host.write(0, 0x00, &[0x00]);
    host.write(0, 0x12, &[0xFF, 0xFF]);
    assert_eq!(host.violations(), []);
    for (address, value, reads) in [
        (0x01, 0x06, 0x96),
        (0x02, 0x3F, 0xD7),
        (0x03, 0x81, 0xE0),
        (0x04, 0x13, 0x03),
        (0x15, 0xFF, 0x20),
        (0x16, 0x01, 0x00),
        (0x17, 0xFF, 0x0A),
    ] {
        host.write(0, address, &[value]);
        assert_eq!(host.read(0, address, 1), [reads], "{address:02x}");
        assert_eq!(host.violations(), [Violation::Reserved], "{address:02x}");
    }
    assert_eq!(host.read(0, 0, 1), [0x3E]);
    assert_eq!(host.read(0, 0x12, 2), [0, 0]);
    host.write(0, 0x03, &[0xED]);
    assert_eq!(host.violations(), [], "BIAS_STAT is read-only, not reserved");
}

#[test]
fn gpio_pins_are_inputs_after_reset_and_outputs_mirror() {
    let mut setup = Setup::default();
    setup.selects[0].chips[0].gpio = 0b0101;
    let mut host = Host::new(&setup);
    host.configure(1, 0x92, 0x60);
    assert_eq!(host.read(0, 0x14, 1), [0x5F]);
    host.write(0, 0x14, &[0xAC]);
    assert_eq!(host.read(0, 0x14, 1), [0b0110_1100], "outputs 1 and 2 as written, inputs 3 and 4 as they are");
    host.start_pin(true);
    host.edge().unwrap();
    assert_eq!(host.rdata(0, 4_000_000, 27)[..3], [0xC0, 0x00, 0x06]);
}

#[test]
fn a_chain_answers_rreg_a_frame_length_apart_or_with_zeros() {
    for (readback, second) in [(ChainReadback::Delayed, 0x3E), (ChainReadback::Zeros, 0x00)] {
        let mut host = Host::new(&Setup { readback, ..Setup::four_chip_daisy() });
        host.command(0, 0x11);
        let mut tx = [0; 2 + 4 * 27];
        tx[0] = 0x20;
        let rx = host.send(0, COMMAND_HZ, &tx);
        assert_eq!([rx[2], rx[29], rx[56], rx[83]], [0x3E, second, second, second]);
        assert_eq!(host.read(0, 0, 24), AFTER_RESET);
    }
}

#[test]
fn a_long_answer_of_a_short_chip_covers_its_neighbour() {
    let mut setup = Setup::daisy(2);
    setup.selects[0].chips[0].model = Model::Ads1299Four;
    let mut host = Host::new(&setup);
    host.command(0, 0x11);
    let registers = host.read(0, 0, 24);
    assert_eq!((registers[0], registers[20]), (0x3C, 0x0F));
    let mut tx = [0; 2 + 15 + 27];
    tx[0] = 0x20;
    assert_eq!(host.send(0, COMMAND_HZ, &tx)[2 + 15], 0x3E);
}

#[test]
fn streaming_chips_ignore_all_but_sdatac() {
    let mut host = Host::new(&Setup::default());
    assert_eq!(host.read(0, 0, 3), [0, 0, 0], "RREG in RDATAC");
    host.write(0, 0x01, &[0x92]);
    host.command(0, 0x08);
    assert_eq!(host.violations(), [Violation::Streaming; 3]);
    assert_eq!(host.edge(), None);
    host.command(0, 0x11);
    assert_eq!(host.read(0, 1, 1), [0x96]);

    let mut host = Host::new(&Setup { rdatac_takes: RdatacTakes::ResetAndStart, ..Setup::default() });
    host.command(0, 0x08);
    assert!(host.edge().is_some());
}

#[test]
fn commands_cut_short_or_too_close_are_dropped() {
    let mut host = Host::new(&Setup::default());
    let mut rx = [0; 3];
    for (clock_hz, hold_us, tx, violation) in [
        (COMMAND_HZ, 1, &[0x11][..], Violation::Hold),
        (COMMAND_HZ, 3, &[0x20], Violation::Partial),
        (COMMAND_HZ, 3, &[0x41, 0x01], Violation::Partial),
        (8_000_000, 3, &[0x41, 0x00, 0x92], Violation::Decode),
        (8_000_000, 3, &[0x11, 0x08], Violation::Decode),
    ] {
        host.wire.transfer(Shape { select: 0, clock_hz, hold_us }, tx, &mut rx[..tx.len()]).unwrap();
        assert_eq!(host.violations(), [violation], "{tx:02x?}");
    }
    host.command(0, 0x11);
    host.violations();
    host.command(0, 0x06);
    host.send(0, COMMAND_HZ, &[0x06]);
    assert_eq!(host.violations(), [Violation::Streaming]);
    host.command(0, 0x11);
    host.send(0, 8_000_000, &[0x06]);
    let at_ns = host.wire.now_ns();
    host.wire.chain().transfer(at_ns, 0, COMMAND_HZ, 3, &[0x11], &mut rx[..1]).1.unwrap();
    assert_eq!(host.violations(), [], "half of the host's delay of 10 us is more than 18 clocks, by a little");
}

#[test]
fn standby_hears_wakeup_alone() {
    let mut host = Host::new(&Setup::default());
    host.configure(1, 0x92, 0x60);
    host.start_pin(true);
    host.edge().unwrap();
    host.command(0, 0x04);
    while host.edge().is_some() {}
    assert_eq!(host.read(0, 0, 1), [0]);
    assert_eq!(host.violations(), [Violation::Standby]);
    host.command(0, 0x02);
    assert!(host.edge().is_some());
    assert_eq!(host.read(0, 0, 1), [0x3E]);
}

#[test]
fn frames_of_a_chain_stand_a_frame_length_apart() {
    for gap_bits in [0, 1] {
        let mut host = Host::new(&Setup { gap_bits, ..Setup::four_chip_daisy() });
        host.configure(1, 0x92, 0x60);
        host.start_pin(true);
        for index in 0..5 {
            host.edge().unwrap();
            let line = host.rdata(0, 8_000_000, 4 * 27 + 1);
            for chip in 0..4 {
                let (byte, bit) = (chip * (216 + gap_bits) / 8, chip * (216 + gap_bits) % 8);
                let frame: Vec<u8> = (0..27)
                    .map(|i| (u16::from_be_bytes([line[byte + i], line[byte + i + 1]]) << bit).to_be_bytes()[0])
                    .collect();
                assert_eq!(frame[..3], [0xC0, 0, 0], "chip {chip}, gap {gap_bits}");
                for channel in 0..8 {
                    assert_eq!(code(&frame, channel), counter_code(index, chip * 8 + channel));
                }
            }
        }
        assert_eq!(host.truth.counts().n_reads, 5);
    }
}

#[test]
fn multiple_read_back_repeats_the_frame_and_daisy_mode_ends_in_zeros() {
    let mut host = Host::new(&Setup::default());
    host.configure(1, 0xD2, 0x60);
    host.start_pin(true);
    host.edge().unwrap();
    let three = host.rdata(0, 8_000_000, 81);
    assert_eq!(three[..27], three[27..54]);
    assert_eq!(three[..27], three[54..]);
    host.write(0, 0x01, &[0x92]);
    host.edge().unwrap();
    assert_eq!(host.rdata(0, 8_000_000, 54)[27..], [0; 27]);

    // DAISY_EN left 1 on the first chip of a chain: its neighbours are never heard.
    let mut host = Host::new(&Setup::daisy(2));
    host.configure(1, 0xD2, 0x60);
    host.start_pin(true);
    host.edge().unwrap();
    let two = host.rdata(0, 8_000_000, 54);
    assert_eq!(two[..27], two[27..]);
}

#[test]
fn a_chip_that_is_powered_down_per_channel_keeps_its_slot() {
    let mut host = Host::new(&Setup::default());
    host.configure(1, 0x92, 0x60);
    host.write(0, 0x07, &[0x81]);
    host.start_pin(true);
    host.edge().unwrap();
    let frame = host.rdata(0, 8_000_000, 27);
    assert_eq!(code(&frame, 2), 0);
    assert_eq!(code(&frame, 3), counter_code(0, 3));
}
