//! Chips waken: out of the power-on reset, through RESET, until every one that can be asked gives its ID.

use super::board::Clock;
use super::control::{Control, command};
use super::fault::ProofError;
use super::proof::{all, of_select};
use super::registers::{Model, address};
use super::wire::Pin;

/// After RESET. The chip needs 18 cycles of its clock, 8.8 us (tRST); boards were seen to need far more.
const RESET_SETTLE_US: u64 = 50_000;

/// The power-on reset takes 2^18 cycles of the chip's clock (SBAS499C, "Power-Up Sequencing", tPOR), 128 ms, or 131 where its
/// own oscillator is 2.5 % slow. RESET before its end is lost.
pub(super) const POWER_ON_US: u64 = 150_000;

/// How often the chips are reset and asked for their IDs, with the time of a power-on reset between: VCAP1 may charge for a
/// second.
const ID_TRIES: usize = 8;

/// Chips that are on and do not convert. True where this switched them on, as far as is known: PWDN is wired.
///
/// Real time: no allocation, no locks, no waiting, no logging.
pub(super) fn power_up(control: &mut Control<'_>) -> Result<bool, ProofError> {
    let pin = |error| ProofError::Wire { chip: 0, error };
    let is_wired = control.wire.has_pin(Pin::PowerDown);
    if is_wired {
        control.wire.set_pin(Pin::PowerDown, true).map_err(pin)?;
    }
    if control.wire.has_pin(Pin::Start) {
        control.wire.set_pin(Pin::Start, false).map_err(pin)?;
    }
    Ok(is_wired)
}

/// Reset, and out of the mode in which only data flow (which every reset brings back).
///
/// Real time: no allocation, no locks, no logging; waits for the chips.
pub(super) fn reset(control: &mut Control<'_>) -> Result<(), ProofError> {
    let pin = |error| ProofError::Wire { chip: 0, error };
    if control.wire.has_pin(Pin::Reset) {
        control.wire.set_pin(Pin::Reset, false).map_err(pin)?;
        control.wait_us(10);
        control.wire.set_pin(Pin::Reset, true).map_err(pin)?;
    } else {
        // A chip that streams, as every chip does after power-up, takes no other command.
        all(control, command::SDATAC)?;
        all(control, command::RESET)?;
    }
    control.wait_us(RESET_SETTLE_US);
    all(control, command::SDATAC)?;
    if control.board.clock == Clock::FirstChip {
        // The others have no clock, and so have not seen their reset, until the first gives it to them.
        let config1 = control.board.registers(0)[address::CONFIG1];
        control.write(0, address::CONFIG1, &[config1]).map_err(pin)?;
        control.wait_us(RESET_SETTLE_US);
        if !control.wire.has_pin(Pin::Reset) {
            for select in 1..control.board.layout.selects.len() {
                for byte in [command::SDATAC, command::RESET] {
                    control.command(select, byte).map_err(|error| of_select(control, select, error))?;
                }
            }
            control.wait_us(RESET_SETTLE_US);
        }
        all(control, command::SDATAC)?;
    }
    Ok(())
}

/// Resets the chips and asks every one for its ID. One that answers is past its power-on reset: only the RESET after that is
/// sure to have been heard.
pub(super) fn identify(control: &mut Control<'_>) -> Result<Ids, ProofError> {
    let (mut awake, mut tries) = (false, 1);
    loop {
        reset(control)?;
        match ask(control)? {
            Ok(found) if awake => return Ok(found),
            Err(error) if tries >= ID_TRIES => return Err(error),
            Ok(_) => awake = true,
            Err(_) => {
                awake = false;
                control.wait_us(POWER_ON_US);
            }
        }
        tries += 1;
    }
}

/// Each chip's ID, and whether it gives it: three times the same. Chips down a row may have no way to answer; the others must.
pub(super) type Ids = (Vec<Option<u8>>, Vec<bool>);

/// Asks every chip for its ID.
pub(super) fn ask(control: &mut Control<'_>) -> Result<Result<Ids, ProofError>, ProofError> {
    let n_chips = control.board.layout.n_chips();
    let (mut ids, mut readable) = (vec![None; n_chips], vec![false; n_chips]);
    for chip in 0..n_chips {
        let wanted = control.board.layout.models[chip];
        let mut answers = [0_u8; 3];
        for answer in &mut answers {
            let mut id = [0];
            control.read(chip, address::ID, &mut id).map_err(|error| ProofError::Wire { chip, error })?;
            *answer = id[0];
        }
        let right = |answer: &u8| Model::of_id(*answer) == Some(wanted);
        match answers.iter().find(|answer| !right(answer) || **answer != answers[0]) {
            None => (ids[chip], readable[chip]) = (Some(answers[0]), true),
            Some(id) if control.board.layout.is_readable(chip) => {
                return Ok(Err(ProofError::Id { chip, id: *id, wanted }));
            }
            Some(_) => {}
        }
    }
    Ok(Ok((ids, readable)))
}

/// Notes in `there` which of the chips that can be asked give their ID; answers the first that does not, and what it gives.
///
/// Real time: no allocation, no locks, no logging; waits for the chips.
pub(super) fn who_answers(
    control: &mut Control<'_>,
    readable: &[bool],
    there: &mut [bool],
) -> Result<Option<(usize, ProofError)>, ProofError> {
    let mut first = None;
    for chip in (0..readable.len()).filter(|chip| readable[*chip]) {
        let (mut id, wanted) = ([0], control.board.layout.models[chip]);
        control.read(chip, address::ID, &mut id).map_err(|error| ProofError::Wire { chip, error })?;
        there[chip] = Model::of_id(id[0]) == Some(wanted);
        if !there[chip] {
            first = first.or(Some((chip, ProofError::Id { chip, id: id[0], wanted })));
        }
    }
    Ok(first)
}
