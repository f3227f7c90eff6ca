//! The token that requests must bring where a token is set. It stands in a file of its own, so that the configuration,
//! which every recording's sidecar repeats, holds a path and never the secret.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use constant_time_eq::constant_time_eq;

/// Fewer characters can be guessed: 16 random ones are 80 bit and more.
const CHARS_MIN: usize = 16;

/// More would not fit where tokens are typed or sent.
const CHARS_MAX: usize = 512;

/// As much of a file as shows its first line; more of a line than that is too long in any case.
const READ_BYTES_MAX: u64 = 4096;

/// What systemd's `LoadCredential=token:FILE` calls the token.
const CREDENTIAL: &str = "token";

/// The secret itself. It is never shown: `Debug` leaves it out, there is no `Display`.
#[derive(Clone)]
pub(super) struct Token(String);

impl Token {
    /// Whether `other` is the token. How long this takes tells at most how long the token is.
    pub(super) fn is(&self, other: &[u8]) -> bool {
        constant_time_eq(self.0.as_bytes(), other)
    }

    pub(super) fn is_same(&self, other: &Token) -> bool {
        self.is(other.0.as_bytes())
    }

    #[cfg(test)]
    pub(super) fn new(text: &str) -> Token {
        Token(text.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A token and where it came from.
#[derive(Debug, Clone)]
pub(super) struct TokenFile {
    pub(super) token: Token,
    pub(super) path: PathBuf,
    /// Why the file keeps no secret, and what would.
    pub(super) warning: Option<String>,
}

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The system refuses it.
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A directory, or a pipe, which would be waited for.
    #[error("{} is not a file; its first line must be the token", path.display())]
    NotAFile { path: PathBuf },
    /// Too short or too long.
    #[error(
        "the first line of {} has {n_chars} characters, and a token has {CHARS_MIN} to {CHARS_MAX}; \
         `head -c 24 /dev/urandom | base64` prints a good one",
        path.display()
    )]
    Length { path: PathBuf, n_chars: usize },
    /// It could not stand in a request's header.
    #[error(
        "the first line of {} holds something else than the letters, digits and signs of ASCII, without spaces; \
         `head -c 24 /dev/urandom | base64` prints a good token",
        path.display()
    )]
    NotPlain { path: PathBuf },
}

impl TokenFile {
    /// The token of `http.token_file`, a path relative to `base`. Where that is empty: the credential `token` that systemd
    /// hands over in `credentials`, if it does. `None` when there is neither.
    pub(super) fn find(
        token_file: &Path,
        base: &Path,
        credentials: Option<&Path>,
    ) -> Result<Option<TokenFile>, TokenError> {
        if !token_file.as_os_str().is_empty() {
            return TokenFile::read(base.join(token_file)).map(Some);
        }
        let credential =
            credentials.map(|dir| dir.join(CREDENTIAL)).filter(|path| !matches!(path.try_exists(), Ok(false)));
        credential.map(TokenFile::read).transpose()
    }

    fn read(path: PathBuf) -> Result<TokenFile, TokenError> {
        let (bytes, mode) = match first_bytes(&path) {
            Ok(Some(read)) => read,
            Ok(None) => return Err(TokenError::NotAFile { path }),
            Err(source) => return Err(TokenError::Unreadable { path, source }),
        };
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(&[]).trim_ascii();
        if !line.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::NotPlain { path });
        }
        if !(CHARS_MIN..=CHARS_MAX).contains(&line.len()) {
            return Err(TokenError::Length { path, n_chars: line.len() });
        }
        let token = Token(line.iter().map(|byte| char::from(*byte)).collect());
        let warning = (mode & 0o006 != 0).then(|| {
            format!(
                "every user of this machine can get at the token in {}, mode {:04o}; chmod 640 it",
                path.display(),
                mode & 0o7777
            )
        });
        Ok(TokenFile { token, path, warning })
    }
}

/// The beginning of a regular file, and its mode; `None` for anything else.
fn first_bytes(path: &Path) -> io::Result<Option<(Vec<u8>, u32)>> {
    // Before it is opened: opening a pipe waits for whoever writes to it.
    if !std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some((bytes, mode)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn find(content: &[u8], mode: u32) -> Result<TokenFile, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        let found = TokenFile::find(Path::new("secret"), dir.path(), None);
        let in_dir = |text: String| text.replace(&dir.path().display().to_string(), "DIR");
        match found {
            Ok(found) => Ok(found.map(|f| TokenFile { warning: f.warning.map(in_dir), ..f }).expect("a file is named")),
            Err(error) => Err(in_dir(error.to_string())),
        }
    }

    #[test]
    fn the_first_line_is_the_token() {
        for content in ["0123456789abcdef", "0123456789abcdef\n", " 0123456789abcdef\r\nand a note\n"] {
            let found = find(content.as_bytes(), 0o640).expect(content);
            assert!(found.token.is(b"0123456789abcdef") && found.warning.is_none());
            for other in ["", "0", "0123456789abcdeg", "0123456789abcdef0", "0123456789ABCDEF"] {
                assert!(!found.token.is(other.as_bytes()), "{other}");
            }
            assert!(!format!("{found:?}").contains("0123"), "a token is never shown");
        }
    }

    #[test]
    fn what_is_no_token() {
        let length = |n: usize| {
            format!(
                "the first line of DIR/secret has {n} characters, and a token has 16 to 512; \
                 `head -c 24 /dev/urandom | base64` prints a good one"
            )
        };
        for (content, n_chars) in [(&b""[..], 0), (b"\n0123456789abcdef", 0), (b"short", 5), (b"0123456789abcde\n", 15)]
        {
            assert_eq!(find(content, 0o600).expect_err("too short"), length(n_chars));
        }
        assert_eq!(find(&[b'x'; 513], 0o600).expect_err("too long"), length(513));
        assert_eq!(find(&[b'x'; 1 << 20], 0o600).expect_err("far too long"), length(4096));
        for content in [&b"two words make no token"[..], "pass\u{e9}pass\u{e9}pass\u{e9}pass".as_bytes(), &[0; 20]] {
            let why = find(content, 0o600).expect_err("not plain");
            assert!(why.starts_with("the first line of DIR/secret holds something else than the letters"), "{why}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_told_of() {
        for (mode, shown) in [(0o644, "0644"), (0o602, "0602")] {
            let expected =
                format!("every user of this machine can get at the token in DIR/secret, mode {shown}; chmod 640 it");
            assert_eq!(find(b"0123456789abcdef", mode).expect("a token").warning, Some(expected));
        }
    }

    #[test]
    fn where_it_is_looked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let none = Path::new("");
        let found = |key: &Path| TokenFile::find(key, dir.path(), Some(dir.path()));
        assert!(TokenFile::find(none, dir.path(), None).expect("nothing is wrong").is_none());
        assert!(found(none).expect("no such credential").is_none());
        std::fs::write(dir.path().join("token"), "of-the-credential").expect("written");
        assert!(found(none).expect("right").expect("there").token.is(b"of-the-credential"));
        std::fs::write(dir.path().join("mine"), "of-the-configuration").expect("written");
        assert!(found(Path::new("mine")).expect("right").expect("there").token.is(b"of-the-configuration"));
        let error = found(Path::new("absent")).expect_err("the credential does not stand in for it");
        assert!(matches!(error, TokenError::Unreadable { .. }), "{error}");
        std::fs::create_dir(dir.path().join("dir")).expect("made");
        assert!(matches!(found(Path::new("dir")), Err(TokenError::NotAFile { .. })));
    }
}
