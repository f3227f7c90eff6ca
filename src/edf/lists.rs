//! The annotations of a record, one list (TAL) at a time, so that a record of nothing but annotations does not cost many
//! times its size.

use super::{Annotation, TalError, parse_tals};

/// The longest list (TAL) that is read; EDFlib's is 512 bytes. Two bytes of a list can be an annotation, which takes some forty
/// times as much in memory: 11 MB here.
const LIST_BYTES_MAX: usize = 1 << 18;

/// The lists of one area. Ends at the first error.
#[derive(Debug)]
pub struct Lists<'a> {
    area: &'a [u8],
    at: usize,
    is_first: bool,
}

/// The record's own onset in nanoseconds, where this is the list that keeps the time; and the annotations.
pub type List = (Option<i64>, Vec<Annotation>);

impl<'a> Lists<'a> {
    /// The lists of `area`.
    #[must_use]
    pub fn of(area: &'a [u8]) -> Lists<'a> {
        Lists { area, at: 0, is_first: true }
    }
}

impl Iterator for Lists<'_> {
    type Item = Result<List, TalError>;

    fn next(&mut self) -> Option<Result<List, TalError>> {
        let skipped = self.area[self.at..].iter().position(|byte| *byte != 0)?;
        let start = self.at + skipped;
        let rest = &self.area[start..];
        let n_bytes = rest.iter().position(|byte| *byte == 0).map_or(rest.len(), |end| end + 1);
        self.at = start + n_bytes;
        let mut annotations = Vec::new();
        let read = match n_bytes {
            0..=LIST_BYTES_MAX => parse_tals(&rest[..n_bytes], &mut annotations),
            _ => Err(TalError { at: 0, what: "the list is longer than 262144 bytes" }),
        };
        let was_first = std::mem::replace(&mut self.is_first, false);
        match read {
            Ok(onset_ns) => Some(Ok((onset_ns.filter(|_| was_first), annotations))),
            Err(error) => {
                self.at = self.area.len();
                Some(Err(TalError { at: start + error.at, ..error }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_as_all_at_once() {
        let area = b"\0+3\x14\x14a\x14\0\0+4\x150.5\x14b\x14c\x14\0+5\x14\x14d\x14\0\0";
        let mut all = Vec::new();
        let onset_ns = parse_tals(area, &mut all).expect("lists");
        let lists: Vec<List> = Lists::of(area).map(|list| list.expect("a list")).collect();
        assert_eq!(lists.iter().map(|(onset_ns, _)| *onset_ns).collect::<Vec<_>>(), [onset_ns, None, None]);
        assert_eq!(lists.into_iter().flat_map(|(_, annotations)| annotations).collect::<Vec<_>>(), all);
    }

    #[test]
    fn it_ends_at_the_first_error_and_says_where() {
        for area in [&b"+1\x14\x14\0x\0+2\x14\x14\0"[..], b"+1\x14\x14\0+2\x14"] {
            let mut lists = Lists::of(area);
            assert!(lists.next().is_some_and(|list| list.is_ok()));
            assert_eq!(lists.next().expect("one more").expect_err("an error").at, 5);
            assert!(lists.next().is_none());
        }
        let mut long = vec![b'x'; LIST_BYTES_MAX + 1];
        long[..3].copy_from_slice(b"+1\x14");
        let error = Lists::of(&long).next().expect("one").expect_err("an error").to_string();
        assert_eq!(error, format!("byte 0 of the annotation area: the list is longer than {LIST_BYTES_MAX} bytes"));
    }
}
