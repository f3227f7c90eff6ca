//! What a file that is only ever appended to (CSV, raw) holds: every record has its own CRC32, so what is whole is known
//! without asking the sidecar.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::repair::RepairError;
use crate::edf::Header;
use crate::format::{Fault, FileFormat, Reader};

/// The whole records at the start of a file.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) header: Header,
    pub(super) n_records: u64,
    pub(super) n_frames: u64,
    /// The byte after them.
    end: u64,
    /// What follows them, where that is not the end.
    fault: Option<Fault>,
}

impl Scan {
    /// Reads all of it. Zeros at the end, where a power cut took what was written, are torn and not damaged: where nothing
    /// but the start of a record stands before them, nothing whole can follow.
    pub(super) fn of(data: &File, format: FileFormat) -> Result<Scan, RepairError> {
        let io = |source| RepairError::Io { what: "cannot read it", source };
        let n_bytes = data.metadata().map_err(io)?.len();
        let mut scan = Scan::up_to(n_bytes, data, format)?;
        if matches!(scan.fault, Some(Fault::Damaged { .. })) {
            let end = end_of_data(data, n_bytes).map_err(io)?.max(scan.end);
            if end < n_bytes {
                let before = Scan::up_to(end, data, format)?;
                if !matches!(before.fault, Some(Fault::Damaged { .. })) {
                    let (at, bytes) = (before.end, n_bytes - before.end);
                    scan = Scan { fault: Some(Fault::Torn { at, bytes }), ..before };
                }
            }
        }
        Ok(scan)
    }

    /// Reads its first `n_bytes`.
    fn up_to(n_bytes: u64, mut data: &File, format: FileFormat) -> Result<Scan, RepairError> {
        let io = |source| RepairError::Io { what: "cannot read it", source };
        let broken = |fault| match fault {
            Fault::Io(source) => io(source),
            fault => RepairError::Damaged(fault.to_string()),
        };
        data.seek(SeekFrom::Start(0)).map_err(io)?;
        let input = BufReader::with_capacity(1 << 16, data.take(n_bytes));
        let mut reader = Reader::open(input, n_bytes).map_err(broken)?;
        if reader.format() != format {
            let (is, due) = (reader.format().ending(), format.ending());
            return Err(RepairError::Damaged(format!("its name ends in .{due}, and what is in it is .{is}")));
        }
        let mut image = Vec::new();
        let fault = loop {
            match reader.next(&mut image) {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(Fault::Io(source)) => return Err(io(source)),
                Err(fault) => break Some(fault),
            }
        };
        let (n_records, n_frames, end) = (reader.n_records(), reader.n_frames(), reader.end());
        Ok(Scan { header: reader.header().clone(), n_records, n_frames, end, fault })
    }

    /// Removes what follows the whole records: of a torn record at any time, of a damaged one only where it comes after
    /// the first `n_synced`, because later ones may be whole.
    pub(super) fn settle(
        &self,
        data: &File,
        n_synced: Option<u64>,
        lines: &mut Vec<String>,
    ) -> Result<(), RepairError> {
        let refused = |source| RepairError::Io { what: "cannot write it", source };
        match &self.fault {
            Some(Fault::Damaged { at, why }) if n_synced.is_none_or(|n_synced| self.n_records < n_synced) => {
                return Err(RepairError::Damaged(format!(
                    "byte {at}: {why}. It is left as it is, because what follows may be whole"
                )));
            }
            None => return data.sync_all().map_err(refused),
            Some(_) => {}
        }
        let n_bytes = data.metadata().map_err(refused)?.len();
        lines.push(format!("{} bytes after the last whole record were removed", n_bytes.saturating_sub(self.end)));
        data.set_len(self.end).and_then(|()| data.sync_all()).map_err(refused)
    }

    /// Whether nothing follows the whole records.
    pub(super) fn is_whole(&self) -> bool {
        self.fault.is_none()
    }
}

/// The byte after the last one that is not zero.
fn end_of_data(data: &File, n_bytes: u64) -> io::Result<u64> {
    const PIECE_BYTES: u64 = 1 << 16;
    let (mut end, mut piece) = (n_bytes, Vec::new());
    while end > 0 {
        let start = end.saturating_sub(PIECE_BYTES);
        piece.resize(usize::try_from(end - start).unwrap_or(0), 0);
        data.read_exact_at(&mut piece, start)?;
        match piece.iter().rposition(|byte| *byte != 0) {
            Some(last) => return Ok(start + last as u64 + 1),
            None => end = start,
        }
    }
    Ok(0)
}
