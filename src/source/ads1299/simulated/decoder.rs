//! The command decoder of one chip (SBAS499C, "SPI Commands"): bytes in, commands out. It knows nothing of time nor of
//! what a command does.

/// What a byte on DIN completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing: NOP, an unknown byte, or a command that wants more bytes.
    Nothing,
    /// A command of one byte.
    Command(Command),
    /// `n` registers from `address` on are to be shifted out.
    Read { address: u8, n: u8 },
    /// One register is to be written.
    Write { address: u8, value: u8 },
}

/// The commands of one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Wakeup,
    Standby,
    Reset,
    Start,
    Stop,
    Rdatac,
    Sdatac,
    Rdata,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Wants {
    #[default]
    Opcode,
    ReadCount {
        address: u8,
    },
    WriteCount {
        address: u8,
    },
    Value {
        address: u8,
        left: u8,
    },
    /// After a violation: whatever comes until CS rises.
    Nothing,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Decoder {
    wants: Wants,
    /// A byte other than NOP came in this transfer.
    busy: bool,
}

impl Decoder {
    /// Whether zeros would pass without any effect.
    pub(super) fn ignores_zeros(&self) -> bool {
        matches!(self.wants, Wants::Opcode | Wants::Nothing)
    }

    /// Whether `byte` needs the four clocks of tSDECODE since the byte before it: any byte of a command does, once one
    /// byte of a command came.
    pub(super) fn needs_time(&self, byte: u8) -> bool {
        self.busy && self.wants != Wants::Nothing && (byte != 0 || !self.ignores_zeros())
    }

    /// What was begun is dropped, and what follows until CS rises is not understood.
    pub(super) fn drop_all(&mut self) {
        self.wants = Wants::Nothing;
    }

    /// CS rises. The answer is whether a command was not complete.
    pub(super) fn deselect(&mut self) -> bool {
        let partial = !self.ignores_zeros();
        *self = Decoder::default();
        partial
    }

    pub(super) fn byte(&mut self, byte: u8) -> Word {
        if byte == 0 && self.ignores_zeros() {
            return Word::Nothing;
        }
        self.busy = true;
        match self.wants {
            Wants::Opcode => self.opcode(byte),
            Wants::ReadCount { address } => {
                self.wants = Wants::Opcode;
                Word::Read { address, n: (byte & 0x1F) + 1 }
            }
            Wants::WriteCount { address } => {
                self.wants = Wants::Value { address, left: (byte & 0x1F) + 1 };
                Word::Nothing
            }
            Wants::Value { address, left } => {
                let next = Wants::Value { address: address + 1, left: left - 1 };
                self.wants = if left == 1 { Wants::Opcode } else { next };
                Word::Write { address, value: byte }
            }
            Wants::Nothing => Word::Nothing,
        }
    }

    fn opcode(&mut self, byte: u8) -> Word {
        let command = match byte {
            0x02 => Command::Wakeup,
            0x04 => Command::Standby,
            0x06 => Command::Reset,
            0x08 => Command::Start,
            0x0A => Command::Stop,
            0x10 => Command::Rdatac,
            0x11 => Command::Sdatac,
            0x12 => Command::Rdata,
            _ => {
                let address = byte & 0x1F;
                match byte & 0xE0 {
                    0x20 => self.wants = Wants::ReadCount { address },
                    0x40 => self.wants = Wants::WriteCount { address },
                    _ => {}
                }
                return Word::Nothing;
            }
        };
        Word::Command(command)
    }
}
