//! Messages word for word, and any text at all.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Signal {
    #[default]
    Sine,
    Eeg,
    Noise,
    Counter,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Source {
    signal: Signal,
    n_channels: usize,
    channels: Option<Vec<String>>,
    rate_hz: f64,
    speed: MaxOr<f64>,
    #[serde(rename = "loop")]
    looped: bool,
}

impl Default for Source {
    fn default() -> Source {
        let signal = Signal::Eeg;
        Source { signal, n_channels: 32, channels: None, rate_hz: 4000.0, speed: MaxOr::Value(1.0), looped: false }
    }
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Acquire {
    block_frames: AutoOr<u32>,
    core: AutoOr<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Chain {
    from: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DcBlock {
    corner_hz: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HighPass {
    order: u8,
    corner_hz: f64,
}

const STAGES: [&str; 4] = ["dc_block", "high_pass", "low_pass", "notch"];

/// Reads a whole configuration as the daemon would, with a check of a range and one of a stage.
fn read(text: &str) -> (Vec<String>, Option<(Source, Acquire)>, Mistakes) {
    let document = match Document::parse("rig3.toml", text) {
        Ok(document) => document,
        Err(mistakes) => return (Vec::new(), None, mistakes),
    };
    let mut mistakes = Mistakes::new("rig3.toml");
    let mut root = document.root();
    let mut table = root.section("source", &mut mistakes);
    let kind = table.choose("source", &["synthetic", "replay"], |name| name, Some("synthetic"), &mut mistakes);
    let source = kind.and_then(|_| table.read::<Source>(&mut mistakes));
    let rate_hz = source.as_ref().map_or(4000.0, |source| source.rate_hz);
    if !(0.0 < rate_hz && rate_hz < f64::INFINITY) {
        table.refuse(&mut mistakes, "rate_hz", format_args!("rate_hz = {rate_hz} must be above 0"));
    }
    let acquire = root.section("acquire", &mut mistakes).read::<Acquire>(&mut mistakes);
    let mut names = Vec::new();
    for (name, mut chain) in root.named("chain", &mut mistakes) {
        for mut stage in chain.list("stage", &mut mistakes) {
            let corner_hz = match stage.choose("stage", &STAGES, |name| name, None, &mut mistakes) {
                None => continue,
                Some(&"dc_block") => stage.read::<DcBlock>(&mut mistakes).map(|stage| stage.corner_hz),
                Some(_) => stage.read::<HighPass>(&mut mistakes).map(|stage| stage.corner_hz),
            };
            let half_hz = rate_hz / 2.0;
            if let Some(corner_hz) = corner_hz.filter(|&corner_hz| corner_hz >= half_hz) {
                let text = format!("corner_hz = {corner_hz} must be below half the rate, {half_hz}");
                stage.refuse_error(&mut mistakes, text);
            }
        }
        chain.read::<Chain>(&mut mistakes);
        names.push(name);
    }
    root.finish(&mut mistakes);
    (names, source.zip(acquire), mistakes)
}

/// Asserts the messages of `text`, without the file's name and the last line.
#[track_caller]
fn says(text: &str, expected: &[&str]) {
    let mistakes = read(text).2.to_string();
    let lines: Vec<_> = mistakes.lines().filter_map(|line| line.strip_prefix("rig3.toml:")).collect();
    assert_eq!(lines, expected, "in\n{text}");
}

#[test]
fn the_messages_of_the_house_rules() {
    let text = "[source]\nrate_hz = 4000\n[chain.live]\n\n[[chain.live.stage]]\nkind = \"dc_block\"\ncorner = 0.5\n\
                [[chain.live.stage]]\nkind = \"notsh\"\n[[chain.live.stage]]\n\nkind = \"low_pass\"\norder = 4\n\
                corner_hz = 2500\n";
    let expected = "rig3.toml:7: dc_block: unknown field `corner`, expected `corner_hz`\n\
                    rig3.toml:9: no stage is called `notsh`; did you mean `notch`? \
                    known: dc_block, high_pass, low_pass, notch\n\
                    rig3.toml:14: low_pass: corner_hz = 2500 must be below half the rate, 2000\n\
                    3 mistakes, nothing was started";
    assert_eq!(read(text).2.to_string(), expected);
}

#[test]
fn a_good_file_has_no_mistakes_and_keeps_its_order() {
    let text = "\u{feff}[source]\r\nkind = \"synthetic\"\r\nrate_hz = 4_000\r\nn_channels = 0x20\r\nspeed = \"max\"\r\n\
                channels = ['a', 'b']\r\n[chain.zeta]\r\n[[chain.live.stage]]\r\nkind = 'notch'\r\n\
                [chain.alpha]\r\nfrom = 'raw'\r\n[acquire]\r\nblock_frames = 40\r\ncore = 'auto'\r\n";
    let (names, values, mistakes) = read(text);
    assert_eq!(mistakes.to_string(), "");
    assert!(mistakes.is_empty());
    assert_eq!(names, ["zeta", "live", "alpha"]);
    let (source, acquire) = values.expect("no mistakes");
    let channels = Some(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(source, Source { channels, speed: MaxOr::Max, ..Source::default() });
    assert_eq!(acquire, Acquire { block_frames: AutoOr::Value(40), core: AutoOr::Auto });
}

#[test]
fn an_empty_file_is_all_defaults() {
    let (names, values, mistakes) = read("");
    assert_eq!((names.len(), mistakes.len()), (0, 0));
    assert_eq!(values, Some((Source::default(), Acquire::default())));
}

#[test]
fn every_wrong_value_of_a_table_is_named() {
    let text = "[source]\nsignal = \"sinus\"\nn_channels = -3\nchannels = [1, \"b\"]\nrate_hz = \"fast\"\nspeed = \"fast\"\n\
                loop = \"yes\"\nrate = 5\n[acquire]\nblock_frames = 1.5\ncore = -1\n";
    says(
        text,
        &[
            "2: synthetic: signal = \"sinus\" must be \"sine\", \"eeg\", \"noise\" or \"counter\"; did you mean \"sine\"?",
            "3: synthetic: n_channels = -3 must be a whole number, 0 or more",
            "4: synthetic: 1 in channels must be text in quotes",
            "5: synthetic: rate_hz = \"fast\" must be a number",
            "6: synthetic: speed = \"fast\" must be \"max\" or a number",
            "7: synthetic: loop = \"yes\" must be true or false",
            "8: synthetic: unknown field `rate`, expected one of `signal`, `n_channels`, `channels`, `rate_hz`, `speed` \
             or `loop`; did you mean `rate_hz`?",
            "10: acquire: block_frames = 1.5 must be \"auto\" or a whole number",
            "11: acquire: core = -1 must be \"auto\" or a whole number",
        ],
    );
}

#[test]
fn numbers_that_are_none_reach_the_range_checks() {
    says("[source]\nrate_hz = nan", &["2: synthetic: rate_hz = NaN must be above 0"]);
    says("[source]\nrate_hz = -inf", &["2: synthetic: rate_hz = -inf must be above 0"]);
    says("[source]\nrate_hz = 1e999", &["2: synthetic: rate_hz = 1e999 is too large"]);
    says(
        "[source]\nrate_hz = 99999999999999999999\nn_channels = 1_000_000_000_000_000_000_000_000_000_000_000_000_000",
        &[
            "2: synthetic: rate_hz = 99999999999999999999 is too large",
            "3: synthetic: n_channels = 1_000_000_000_000_000_000_000_000_000_000_000_000_000 is too large",
        ],
    );
}

#[test]
fn what_nobody_asked_for() {
    let text = "[recoder]\ndir = 1\n[chain.live]\nform = 'raw'\n[[chain.live.stages]]\nkind = 'notch'\n[[foo]]\n";
    says(
        text,
        &[
            "1: unknown section `recoder`; known: source, acquire, chain",
            "4: chain.live: unknown field `form`, expected `from` or `stage`; did you mean `from`?",
            "5: chain.live: unknown field `stages`, expected `from` or `stage`; did you mean `stage`?",
            "7: unknown section `foo`; known: source, acquire, chain",
        ],
    );
    says("acquir = 1", &["1: unknown key `acquir`; did you mean `acquire`? known: source, acquire, chain"]);
}

#[test]
fn tables_that_are_none_and_kinds_that_are_none() {
    says("source = 5", &["1: source = 5 must be a table, [source]"]);
    says("[[source]]", &["1: source (a list of tables) must be a table, [source]"]);
    says("[chain]\nlive = 'x'", &["2: chain: live = 'x' must be a table, [chain.live]"]);
    says("[chain.live]\nstage = 5", &["2: chain.live: stage = 5 must be a list of tables, [[chain.live.stage]]"]);
    says("[chain.live]\nstage = [\n 5]", &["3: chain.live: 5 in stage must be a table, [[chain.live.stage]]"]);
    says(
        "[chain.live.stage]\nkind = 'notch'",
        &["1: chain.live: [chain.live.stage] must be written [[chain.live.stage]]: it is a list"],
    );
    says(
        "[[chain.live.stage]]\n[[chain.live.stage]]\nkind = 3",
        &[
            "1: chain.live.stage: `kind` is missing: which stage is it? known: dc_block, high_pass, low_pass, notch",
            "3: chain.live.stage: kind = 3 must be the name of a stage: dc_block, high_pass, low_pass, notch",
        ],
    );
    says(
        "[source]\nkind = 'replai'",
        &["2: no source is called `replai`; did you mean `replay`? known: synthetic, replay"],
    );
}

#[test]
fn lines_are_right_in_every_way_to_write_a_table() {
    says(
        "\u{feff}x = 1\r\n\tsource.rate_hz\t=\t'a'\r\n",
        &["1: unknown key `x`; known: source, acquire, chain", "2: synthetic: rate_hz = 'a' must be a number"],
    );
    says("\n\nsource = { rate_hz = 4000,\n  loop = 1 }", &["4: synthetic: loop = 1 must be true or false"]);
    says(
        "chain.live.stage = [\n  { kind = 'dc_block', corner_hz = 'x' },\n  { kind = 'dc_block' },\n]",
        &["2: dc_block: corner_hz = 'x' must be a number", "3: dc_block: `corner_hz` is missing"],
    );
    says("[source]\nchannels = [\n  'a',\n  2,\n]", &["4: synthetic: 2 in channels must be text in quotes"]);
    says("[source]\nrate_hz.x = 1", &["2: synthetic: rate_hz (a table) must be a number"]);
}

#[test]
fn what_is_not_toml_is_one_mistake_with_its_line() {
    for (text, expected) in [
        ("[source]\nrate_hz = 1\nrate_hz = 2", "3: duplicate key `rate_hz`"),
        ("[source]\n\n[source]", "3: duplicate key `source`"),
        ("a = 'x", "1: invalid literal string, expected `'`"),
        ("\n[source\n", "2: unclosed table, expected `]`"),
        ("x =\n", "1: string values must be quoted, expected literal string"),
        ("x = [1,\n\n", "1: unclosed array, expected `]`"),
        ("a\n", "1: key with no value, expected `=`"),
    ] {
        let mistakes = read(text).2.to_string();
        assert_eq!(mistakes, format!("rig3.toml:{expected}\n1 mistake, nothing was started"), "in {text:?}");
    }
}

#[test]
fn a_name_cannot_command_the_terminal() {
    says(r#""\u001b[2J" = 1"#, &[r"1: unknown key `\u{1b}[2J`; known: source, acquire, chain"]);
    says(
        "[source]\n\"a`, expected `b\" = 1\n",
        &[
            "2: synthetic: unknown field `a`, expected `b`, expected one of `signal`, `n_channels`, `channels`, `rate_hz`, \
         `speed` or `loop`",
        ],
    );
}

/// Text that is nearly a configuration: pieces of one, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "[source]",
            "[chain.live]",
            "[[chain.live.stage]]",
            "chain.a.stage",
            "source",
            "kind",
            "rate_hz",
            "loop",
            ".",
            "=",
            " = ",
            "\n",
            "\r\n",
            "\t",
            "1",
            "1e400",
            "nan",
            "'notch'",
            "\"replay\"",
            "\"\"\"",
            "[",
            "]",
            "{",
            "}",
            ",",
            "#",
            "é",
            "\u{feff}",
            "[[",
            "]]",
            "1979-05-27",
            "true",
            "\\",
            "\r",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_panics_and_every_line_is_in_the_file(text in prop_oneof![pieces(), any::<String>()]) {
        let n_lines = text.split('\n').count().max(1);
        for message in read(&text).2.to_string().lines().filter_map(|line| line.strip_prefix("rig3.toml:")) {
            let line: usize = message.split(':').next().unwrap_or("").parse().expect("a line number");
            prop_assert!((1..=n_lines).contains(&line), "{message} in {n_lines} lines of {text:?}");
        }
    }
}
