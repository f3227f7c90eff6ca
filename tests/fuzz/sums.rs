//! The CRC32 of CSV and raw made right again after damage: what somebody with ill will does, and what lets damage come
//! further than to the first sum.

/// Every sum that can still be found; other formats have none.
pub(crate) fn made_right(bytes: &mut [u8]) {
    if bytes.starts_with(b"BIOSIGR1") {
        raw(bytes);
    } else if bytes.starts_with(b"#") {
        csv(bytes);
    }
}

/// Of the header, and of each block as long as their lengths lead from one to the next.
fn raw(bytes: &mut [u8]) {
    let length = |bytes: &[u8], at: usize| {
        let four = bytes.get(at..at + 4)?;
        usize::try_from(u32::from_le_bytes(four.try_into().ok()?)).ok()
    };
    let Some(n_bytes) = length(bytes, 8) else { return };
    let Some(header) = bytes.get(16..16 + n_bytes) else { return };
    let sum = crc32fast::hash(header);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    let mut at = 16 + n_bytes;
    while let Some(n_bytes) = length(bytes, at + 4) {
        let Some(block) = bytes.get_mut(at..at + 24 + n_bytes) else { return };
        let sum = crc32fast::hash(&[&block[..20], &block[24..]].concat());
        block[20..24].copy_from_slice(&sum.to_le_bytes());
        at += 24 + n_bytes;
    }
}

/// Of each record: its lines, and its last one up to the sum.
fn csv(bytes: &mut [u8]) {
    const SUM: &[u8] = b", CRC32 ";
    let (mut at, mut hasher) = (0, None::<crc32fast::Hasher>);
    while let Some(n_bytes) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let line = &mut bytes[at..at + n_bytes];
        at += n_bytes + 1;
        match &mut hasher {
            // The row of titles, with which the header ends.
            None if !line.starts_with(b"# ") => hasher = Some(crc32fast::Hasher::new()),
            None => {}
            Some(hasher) if line.starts_with(b"# record ") => {
                let Some(end) = line.windows(SUM.len()).position(|part| part == SUM) else { return };
                let (summed, sum) = line.split_at_mut(end + SUM.len());
                hasher.update(summed);
                let right = format!("{:08x}", std::mem::take(hasher).finalize());
                if sum.len() == right.len() {
                    sum.copy_from_slice(right.as_bytes());
                }
            }
            Some(hasher) => {
                hasher.update(line);
                hasher.update(b"\n");
            }
        }
    }
}
