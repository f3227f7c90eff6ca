//! Whether the files of one recording follow one another: given one after the other, no frame is lost or doubled between them.

use std::path::Path;

use super::Report;
use super::account::Account;

/// What the file before this one says of the one that must follow.
#[derive(Debug, Default)]
pub(super) struct Chain {
    before: Option<Before>,
}

#[derive(Debug)]
struct Before {
    session: String,
    part: u64,
    next: (String, u64, u64),
    /// The frame after its last one.
    end: u64,
}

impl Chain {
    /// Compares a file with the one before it, where both are of one recording and the one follows the other.
    pub(super) fn next(&mut self, path: &Path, account: Option<&Account>, report: &mut Report) {
        let before = self.before.take();
        let Some(account) = account else { return };
        let (Some(session), Some(part)) = (account.session.clone(), account.part) else { return };
        if let Some(before) = before.filter(|before| before.session == session && before.part + 1 == part) {
            let (name, first_frame, gap_frames) = before.next;
            let is_named = path.file_name().is_some_and(|file| file.to_string_lossy() == name);
            if account.first_frame != first_frame || Some(first_frame) != before.end.checked_add(gap_frames) {
                report.damage(format!(
                    "it begins with frame {}; the file before it ends with frame {} and names {first_frame} as the next",
                    account.first_frame,
                    before.end.saturating_sub(1)
                ));
            } else {
                let gap =
                    if gap_frames > 0 { format!(", {gap_frames} lost frames between them") } else { String::new() };
                let renamed = if is_named { "" } else { " (under another name)" };
                report.note(format!("part {part}: follows the file before it without a seam{gap}{renamed}"));
            }
        }
        let end = account.first_frame.saturating_add(account.frames_written);
        self.before = account.next.clone().map(|next| Before { session, part, next, end });
    }
}
