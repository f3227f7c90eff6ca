//! Source files as the gates see them: without comments, texts and the tests at their end.

use std::fs;
use std::path::{Path, PathBuf};

/// A file, its text, and its code alone.
pub(crate) struct File {
    /// From the top of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments and literals as spaces, so that places and lines stay.
    code: String,
}

/// A path of our own crate that a file names, `crate` left out.
pub(crate) struct Use {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
}

/// A function with a promise in its documentation.
pub(crate) struct Promising {
    pub(crate) line: usize,
    pub(crate) promise: String,
    /// Its code; empty where a trait only declares it.
    pub(crate) body: String,
}

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `folder`.
pub(crate) fn files(folder: &str) -> Vec<File> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    assert!(found.len() > 5, "{folder} has files");
    found
}

fn collect(dir: &Path, found: &mut Vec<File>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            found.push(File::new(&name, &fs::read_to_string(&path).unwrap()));
        }
    }
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned(), code: code_of(text) }
    }

    /// The folder of `src/` that it is in; `None` for `lib.rs` and `main.rs`.
    pub(crate) fn folder(&self) -> Option<String> {
        let (folder, _) = self.path.strip_prefix("src/")?.split_once('/')?;
        Some(folder.to_owned())
    }

    /// The code before the tests at the end of the file; nothing of a file that is a test.
    fn product(&self) -> &str {
        if self.path.contains("/tests") { "" } else { self.code.split("#[cfg(test)]\nmod tests {").next().unwrap() }
    }

    /// Lines of the product's code that hold `text`.
    pub(crate) fn lines_with<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let whole_words = text.chars().all(char::is_alphanumeric);
        let found = move |line: &str| if whole_words { has_word(line, text) } else { line.contains(text) };
        self.product().lines().zip(1..).filter(move |(line, _)| found(line)).map(|(_, line)| line)
    }

    /// Lines of all code that hold `word`.
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.lines().zip(1..).filter(move |(line, _)| has_word(line, word)).map(|(_, line)| line)
    }

    /// Every path that begins with `crate::`, or with as many `super::` as lead there.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            let before = self.code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                let line = self.line_of(at);
                for path in tree(&self.code[at + "crate::".len()..]).0 {
                    uses.push(Use { line, path });
                }
            }
        }
        // A module in `src/a/b.rs` is at depth 2; what `mod.rs` holds is one level up.
        let depth = self.path.trim_end_matches("/mod.rs").trim_end_matches(".rs").split('/').count() - 1;
        let tests_at = self.code.find("mod tests {").unwrap_or(usize::MAX);
        for (at, _) in self.code.match_indices("super::") {
            if self.code[..at].ends_with("super::") {
                continue;
            }
            let rest = &self.code[at..];
            let n_up = rest.split("::").take_while(|part| *part == "super").count();
            if n_up >= depth + usize::from(at > tests_at) {
                let line = self.line_of(at);
                uses.extend(tree(&rest[n_up * "super::".len()..]).0.into_iter().map(|path| Use { line, path }));
            }
        }
        uses
    }

    /// Names of types, functions and modules that are defined here, with their lines.
    pub(crate) fn named_things(&self) -> Vec<(usize, String)> {
        let mut named = Vec::new();
        for (line, n) in self.product().lines().zip(1..) {
            let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
            while let Some(word) = words.next() {
                if ["struct", "enum", "trait", "type", "mod"].contains(&word) {
                    named.extend(words.next().map(|name| (n, name.to_owned())));
                }
            }
        }
        named
    }

    /// Functions whose documentation has a paragraph that begins with `start`.
    pub(crate) fn promising(&self, start: &str) -> Vec<Promising> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut found = Vec::new();
        for (i, line) in lines.iter().enumerate() {
            let Some(first) = line.trim_start().strip_prefix("/// ").filter(|text| text.starts_with(start)) else {
                continue;
            };
            let mut promise = first.to_owned();
            for line in &lines[i + 1..] {
                match line.trim_start().strip_prefix("/// ") {
                    Some(more) => promise = format!("{promise} {more}"),
                    None => break,
                }
            }
            let from: usize = lines[..i].iter().map(|line| line.len() + 1).sum();
            found.push(Promising { line: i + 1, promise, body: body(&self.code[from..]) });
        }
        found
    }

    fn line_of(&self, at: usize) -> usize {
        1 + self.code[..at].matches('\n').count()
    }
}

/// The blocks of a Markdown page that are marked as `language`, each with its line.
pub(crate) fn fenced(text: &str, language: &str) -> Vec<(usize, String)> {
    let fence = format!("```{language}");
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (line, n) in text.lines().zip(1..) {
        // Also within a quotation.
        let line = line.strip_prefix("> ").unwrap_or(line);
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, block)) => *block += &format!("{line}\n"),
            None if line == fence => open = Some((n, String::new())),
            None => {}
        }
    }
    blocks
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|part| part == word)
}

/// The body of the first function in `code`; empty when it is declared without one.
fn body(code: &str) -> String {
    let Some(at) = code.find("fn ") else { return String::new() };
    let code = &code[at..];
    let (Some(open), end) = (code.find('{'), code.find(';').unwrap_or(usize::MAX)) else { return String::new() };
    if end < open && !code[..open].contains('[') {
        return String::new();
    }
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return code[open..=open + at].to_owned();
        }
    }
    panic!("a function without an end")
}

/// The paths of `a::{b, c::d}` and where the rest begins.
fn tree(code: &str) -> (Vec<Vec<String>>, &str) {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        let mut paths = Vec::new();
        loop {
            let (more, after) = tree(rest);
            paths.extend(more);
            let after = after.trim_start();
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => return (paths, after.strip_prefix('}').unwrap_or(after)),
            }
        }
    }
    let end = code.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(code.len());
    let (name, rest) = code.split_at(end);
    if name.is_empty() {
        return (Vec::new(), rest);
    }
    let (below, rest) = match rest.strip_prefix("::") {
        Some(rest) => tree(rest),
        None => (Vec::new(), rest),
    };
    let below = if below.is_empty() { vec![Vec::new()] } else { below };
    (below.into_iter().map(|path| [vec![name.to_owned()], path].concat()).collect(), rest)
}

/// The text with comments, texts and characters replaced by spaces.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let n_bytes = literal(rest, code.chars().next_back()).unwrap_or(0);
        if n_bytes == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        // Byte for byte, so that places in the code are places in the text.
        code.extend(rest[..n_bytes].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        rest = &rest[n_bytes..];
    }
    code
}

/// How many bytes at the start are a comment, a text or a character, where they are one.
fn literal(rest: &str, before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let until = |start: usize, end: &str| Some(start + rest[start..].find(end)? + end.len());
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    let hashes = rest.strip_prefix('r').map(|after| after.chars().take_while(|c| *c == '#').count());
    if let (Some(n), false) = (hashes.filter(|n| rest[1 + n..].starts_with('"')), in_word) {
        return until(n + 2, &format!("\"{}", "#".repeat(n)));
    }
    let escaped_until = |quote: char| {
        let mut escaped = false;
        let end = rest[1..].find(|c| {
            let found = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            found
        });
        end.map(|end| end + 2)
    };
    match rest.chars().next()? {
        '"' => escaped_until('"'),
        // A character, not a lifetime: closed after one character or an escape.
        '\'' if rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'') => escaped_until('\''),
        _ => None,
    }
}
