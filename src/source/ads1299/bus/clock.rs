//! The SPI clock that a controller makes of the one that was asked for.

use crate::source::ads1299::wire::Hz;

/// What RP1's SPI controllers divide: RP1 `CLK_SYS`.
const RP1_CLK_SYS_HZ: Hz = 200_000_000;

/// The largest even divisor that the 16 bits of the controller's BAUDR register hold: 3.05 kHz.
const RP1_DIVISOR_MAX: u32 = 65_534;

/// The clock of RP1's controllers (Synopsys DW SSI) when `clock_hz` is asked for, in whole hertz, rounded down: they
/// divide by even numbers alone, and the kernel rounds so that the clock never is faster than asked for (Linux
/// `drivers/spi/spi-dw-core.c`, `dw_spi_update_config`). A request below the slowest clock gets the slowest clock.
#[must_use]
pub fn rp1_clock_hz(clock_hz: Hz) -> Hz {
    let divisor = (RP1_CLK_SYS_HZ.div_ceil(clock_hz.max(1)) + 1) & !1;
    RP1_CLK_SYS_HZ / divisor.min(RP1_DIVISOR_MAX)
}

/// The slowest clock to ask for of which RP1 makes at least `least_hz`.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a divisor from 2 to 65534")]
pub fn rp1_request_hz(least_hz: f64) -> Hz {
    let divisor = (f64::from(RP1_CLK_SYS_HZ) / least_hz.max(1.0)).clamp(2.0, f64::from(RP1_DIVISOR_MAX)) as u32 & !1;
    RP1_CLK_SYS_HZ.div_ceil(divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_rp1_never_exceed_the_request() {
        let table = [
            (20_000_000, 20_000_000),
            (16_000_000, 14_285_714),
            (15_000_000, 14_285_714),
            (18_000_000, 16_666_666),
            (8_333_334, 8_333_333),
            (8_333_333, 7_692_307),
            (12_500_000, 12_500_000),
            (12_000_000, 11_111_111),
            (10_000_000, 10_000_000),
            (8_000_000, 7_692_307),
            (6_000_000, 5_882_352),
            (5_000_000, 5_000_000),
            (4_000_000, 4_000_000),
            (2_000_000, 2_000_000),
            (1_000_000, 1_000_000),
            (3_052, 3_051),
            (1, 3_051),
            (0, 3_051),
            (Hz::MAX, 100_000_000),
        ];
        for (asked, got) in table {
            assert_eq!(rp1_clock_hz(asked), got, "{asked} Hz");
        }
        for least_hz in (4_000..30_000_000).step_by(997) {
            let asked = rp1_request_hz(f64::from(least_hz));
            assert!(rp1_clock_hz(asked) + 1 >= least_hz && rp1_clock_hz(asked - 1) < least_hz, "{least_hz} Hz");
        }
        for asked in (4_000..30_000_000).step_by(997) {
            assert!(rp1_clock_hz(asked) <= asked, "{asked} Hz");
        }
    }
}
