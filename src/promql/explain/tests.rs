use super::super::SelectorError;
use super::*;

/// Column and a part of the reason, for what people type.
#[test]
fn the_place_is_found_and_the_cause_is_named() {
    for (text, column, part) in [
        ("", 1, "there is no selector"),
        ("  # why", 8, "there is no selector"),
        ("5xx_total", 1, "found `5xx_total`, where a metric's name belongs"),
        ("é", 1, "found `é`, where a metric's name belongs"),
        ("on", 1, "`on` is a word of PromQL"),
        ("http-requests", 5, "found `-`: a metric's name has letters"),
        ("naïve_total", 3, "found `ï`: a metric's name has letters"),
        ("a b", 3, "found `b` after the metric's name"),
        ("rate(a", 5, "`rate(` calls a function"),
        ("a[", 2, "give no range"),
        ("a}", 2, "no brace is open"),
        ("code=~\"5..\"", 5, "write code{label=\"value\"}"),
        ("a{", 3, "the brace that opens in column 2 is not closed"),
        (r#"a{b="c""#, 8, "the brace that opens in column 2 is not closed"),
        (r#"a{b="c",,}"#, 9, "found `,`, where a label's name belongs"),
        ("a{b}", 4, "found `}`, where =, !=, =~ or !~ belongs after `b`"),
        (r#"a{b=="c"}"#, 4, "equality has one `=`"),
        (r#"a{b= ="c"}"#, 6, "equality has one `=`"),
        (r#"a{b~="c"}"#, 4, "matched by `=~`"),
        (r#"a{b= ~"c"}"#, 6, "`=~` is one word"),
        (r#"a{b:"c"}"#, 4, "write `=`"),
        ("a{b=5..}", 5, r#"found `5`, where a value in quotes belongs: write "5..""#),
        ("a{é=\"c\"}", 3, "found `é`, where a label's name belongs"),
        ("a{b=“c”}", 5, "use straight quotes"),
        (r#"a{b="c}"#, 5, "the quote that opens here is not closed: add `\"`"),
        ("a{b=`c}", 5, "the quote that opens here is not closed: add a backtick"),
        (r#"a{b="é\d"}"#, 7, r"\d is not an escape sequence"),
        (r"a{b=`\d`}", 6, "not even between backticks"),
        ("a{b=\"c\nd\"}", 7, "a line ends inside quotes"),
        (r#"a{b="c" d="e"}"#, 9, "found `d`, where a comma"),
        (r#"a{b="c"} d"#, 10, "found `d` after the selector's end"),
        (r#"a{b="é",c=~"x(y"}"#, 12, "is wrong at its character 2: unclosed group"),
        (r#"a{b=~"x\\q"}"#, 6, "is wrong at its character 2: unrecognized escape sequence"),
        (r#"a{b=~"\\p{No}\\p{Nobody}"}"#, 6, "is wrong at its character 7: Unicode property not found"),
        (r#"a{b=~"x{60000}{60}"}"#, 6, "is too large"),
        ("a offset 5m", 3, "found `offset` after the metric's name"),
        ("{job=\"x\"}", 1, "found `{`, where a metric's name belongs"),
        (r#"a{__name__="b"}"#, 3, "stands before the braces already"),
        (r#"a{b="c" or }"#, 9, "where a comma"),
    ] {
        let (found, reason) = explain(text, "the parser's words");
        assert!(reason.contains(part), "{text}: {reason}");
        assert_eq!(found, column, "{text}: {reason}");
        assert!(Selector::parse(text).is_err(), "{text}");
    }
}

/// For every text that is refused for its form, the reader itself finds the place.
#[test]
fn whatever_is_no_selector_has_a_place_within_the_text() {
    let pieces = [
        "a",
        "on",
        "inf",
        "{",
        "}",
        "\"",
        "'",
        "`",
        "\\",
        "é",
        "=",
        "==",
        "!~",
        "=~",
        ",",
        "[5m]",
        "(",
        ")",
        " ",
        "\n",
        "#",
        "@",
        "-",
        "or ",
        "or",
        "\\x41",
        "\\u0",
        "\\07",
        "\\777",
        "\\ud800",
        "😀",
        "b=\"c\"",
        "b=~\"",
        "(?",
        "*",
        "{2,1}",
        "[",
        "^",
        "offset",
        "1e9",
        ":",
        "\"\"",
        "__name__=\"x\"",
        "\u{b}",
        "\u{a0}",
        "\t",
    ];
    let mut state = 3_u64;
    let mut draw = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let mut refused = 0;
    for round in 0..1_000 {
        let mut text = String::from(["", "a{", "a{b=\"", "a{b=~\""][round % 4]);
        for _ in 0..draw(9) {
            text.push_str(pieces[draw(pieces.len())]);
        }
        text.push_str(["", "\"}", "}"][draw(3)]);
        if let Err(SelectorError::Syntax { column, reason } | SelectorError::Shape { column, reason }) =
            Selector::parse(&text)
        {
            let (before, _) = fault(&text).unwrap_or_else(|| panic!("{text:?} is refused: {reason}"));
            assert_eq!(column, before + 1, "{text:?}");
            assert!(before <= text.chars().count(), "{text:?}: {before} {reason}");
            refused += 1;
        }
    }
    assert!(refused > 500, "the texts are not varied enough: {refused}");
}
