//! Files in work that no sidecar speaks of, or one that is torn beyond use: only what is certain from the file itself.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::names::{Names, exists, rename};
use super::repair::{COUNT_AT, COUNT_BYTES, RECORDS_MAX, RepairError, Repaired, believed, refused, settle};
use super::scan::Scan;
use crate::edf::Header;

/// A recording whose sidecar is missing or torn beyond use: only what is certain from the file itself.
pub(super) fn without_account(
    names: &Names,
    data: &File,
    header: &Header,
    file_bytes: u64,
    is_part: bool,
) -> Result<Option<Repaired>, RepairError> {
    let n_whole = header.records_in(file_bytes);
    let mut lines = vec!["no usable sidecar: nobody says what should be in the file".to_owned()];
    if is_part {
        let n_records = believed(data, header, 0, n_whole, false).map_err(refused("cannot read it"))?;
        settle(data, header, n_records, file_bytes, &mut lines)?;
        put_aside(names, &mut lines)?;
        let names = names.finish().map_err(refused("cannot rename it"))?;
        return Ok(Some(Repaired { names, lines }));
    }
    match header.n_records {
        Some(n_records) if n_records <= n_whole => Ok(None),
        _ if n_whole == 0 || n_whole > RECORDS_MAX => {
            Err(RepairError::Damaged("it holds no whole record, or more than a header can count".to_owned()))
        }
        // A count that was never written, or speaks of more than there is: what is there is counted, and none of it removed.
        _ => {
            let count = format!("{n_whole:<COUNT_BYTES$}");
            let written = data.write_all_at(count.as_bytes(), COUNT_AT).and_then(|()| data.sync_all());
            written.map_err(refused("cannot write it"))?;
            lines
                .push(format!("the header now counts the {n_whole} whole records that are there; nothing was removed"));
            Ok(Some(Repaired { names: names.clone(), lines }))
        }
    }
}

/// The same of a CSV or raw file.
pub(super) fn appended_without_account(
    names: &Names,
    data: &File,
    scan: &Scan,
    is_part: bool,
) -> Result<Option<Repaired>, RepairError> {
    if !is_part && scan.is_whole() {
        return Ok(None);
    }
    let mut lines = vec!["no usable sidecar: nobody says what should be in the file".to_owned()];
    scan.settle(data, None, &mut lines)?;
    if !is_part {
        return Ok(Some(Repaired { names: names.clone(), lines }));
    }
    put_aside(names, &mut lines)?;
    let names = names.finish().map_err(refused("cannot rename it"))?;
    Ok(Some(Repaired { names, lines }))
}

/// Keeps what is left of a sidecar under a name that nobody reads.
fn put_aside(names: &Names, lines: &mut Vec<String>) -> Result<(), RepairError> {
    let torn = names.part_sidecar();
    if exists(&torn) {
        let kept = names.part_data().with_extension("json.torn");
        rename(&torn, &kept).map_err(refused("cannot rename its sidecar"))?;
        lines.push(format!("what is left of the sidecar is {}", kept.display()));
    }
    Ok(())
}
