//! Edited templates: what is accepted renders, and what is refused says where.

use proptest::prelude::*;

use super::*;
use crate::render::write;
use lockstep_domain::Secret;

fn head() -> EmailBranding {
    EmailBranding {
        shop: "Lockstep".into(),
        front_url: "https://shop.example".into(),
        public_url: "https://shop.example".into(),
        logo: None,
    }
}

fn checked(name: &str, content: &str) -> Result<Source, SourceError> {
    let source = Source {
        subject: "Hello".into(),
        content: content.into(),
    };
    check(name, &source, Language::English, &head())
}

fn refusal(name: &str, content: &str) -> String {
    match checked(name, content) {
        Ok(source) => panic!("accepted: {source:?}"),
        Err(error) => error.to_string(),
    }
}

/// The same HTML but for white space.
fn squeezed(html: &str) -> String {
    html::clean(html)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace("> <", "><")
}

#[test]
fn shipped_templates_are_the_shipped_emails() {
    for language in Language::ALL {
        for name in EmailTemplate::KINDS {
            let source = shipped(name, language, &head()).unwrap();
            assert_eq!(check(name, &source, language, &head()).as_ref(), Ok(&source), "{name}");
            for is_whole in [true, false] {
                let email = values::example(name, &Facts::usual(), is_whole).unwrap();
                assert_eq!(email.kind(), *name);
                let (plain, edited) = (
                    write(&email, language, &head()).unwrap(),
                    render(&email, &source, language, &head()).unwrap(),
                );
                assert_eq!(edited.subject, plain.subject, "{name}");
                assert_eq!(edited.text, plain.text, "{name}");
                assert_eq!(squeezed(&edited.html), squeezed(&plain.html), "{name}");
            }
        }
    }
}

#[test]
fn every_variable_of_a_template_has_a_value_in_its_example() {
    for name in EmailTemplate::KINDS {
        let email = values::example(name, &Facts::usual(), true).unwrap();
        let values = values::values(&email, Language::English, &head()).unwrap();
        for variable in variables(name).unwrap() {
            let value = values.get(variable.name).is_some_and(|value| !value.is_empty());
            assert!(value, "{name}: {}", variable.name);
        }
        assert!(!about(name).is_empty(), "{name}");
    }
    assert!(variables("spam").is_none() && shipped("spam", Language::English, &head()).is_none());
}

#[test]
fn refusals_say_what_is_wrong_and_where() {
    const LINK: &str = "<a href=\"{{link}}\">Go</a>";
    for (content, why) in [
        (
            "<p>\n {{lnk}}</p>",
            "line 2, column 2: {{lnk}} is no variable of this e-mail",
        ),
        ("é{{code}}", "line 1, column 2: {{code}} is no variable of this e-mail"),
        ("{{link", "line 1, column 1: {{ is not closed"),
        ("{{ }}", "no placeholder"),
        ("{{{link}}}", "no placeholder"),
        ("{{##link}}", "no placeholder"),
        ("{{#link}}x", "line 1, column 1: {{#link}} is not closed"),
        ("x{{/link}}", "line 1, column 2: {{/link}} closes nothing"),
        (
            "{{#link}}{{#minutes}}{{/link}}",
            "{{#minutes}} is to be closed before {{/link}}",
        ),
        ("<p>{{#link}}</p>{{/link}}", "{{#link}} is to be closed before </p>"),
        ("{{#link}}<p>{{/link}}</p>", "stands in another element"),
        (
            "<p>one\n<b>two</p>",
            "line 2, column 7: <b> is to be closed before </p>",
        ),
        ("<p>one", "line 1, column 1: <p> is not closed"),
        ("one</p>", "line 1, column 4: </p> closes nothing"),
        ("<script>x</script>", "<script> is not possible"),
        ("<!doctype html>", "is not possible"),
        ("<!-- x", "a comment is not closed"),
        ("<p class=\"x", "the tag <p is not closed"),
        (
            "<table>{{#link}}<tr><td>x</td></tr>{{/link}}</table>",
            "within its cells only",
        ),
        // A code or a link goes nowhere but to its reader.
        (
            "<img src=\"https://evil.example/?{{link}}\">",
            "within a tag only a link",
        ),
        (
            "<a href=\"https://evil.example/?{{link}}\">x</a>",
            "within a tag only a link",
        ),
        ("<a href=\"{{link}}&amp;x\">x</a>", "within a tag only a link"),
        ("<a href={{link}}>x</a>", "within a tag only a link"),
        ("<a href=\"{{minutes}}\">x</a>", "within a tag only a link"),
        ("<p title=\"{{link}}\">x</p>", "within a tag only a link"),
        (
            "<p>Hello</p>",
            "{{link}} is missing: without it this e-mail is of no use",
        ),
        // Text that looks like a link but is none.
        ("<p>{{link}}</p>", "{{link}} is missing"),
        (
            "{{^minutes}}<a href=\"{{link}}\">Go</a>{{/minutes}}",
            "{{link}} is missing",
        ),
        ("a\u{7}b", "line 1, column 2: this control character"),
    ] {
        let error = refusal("reset", content);
        assert!(error.contains(why), "{content:?}: {error}");
        assert!(error.chars().count() <= 140, "{error}");
    }
    assert!(checked("reset", LINK).is_ok());
    // The keys, of which there may be none in a section.
    assert!(refusal("keys-ready", LINK).contains("{{items}} is missing"));
    assert!(
        refusal(
            "keys-ready",
            &format!("{LINK}{{{{#nickname}}}}{{{{items}}}}{{{{/nickname}}}}")
        )
        .contains("{{items}}")
    );
    assert!(checked("keys-ready", &format!("{LINK}{{{{items}}}}")).is_ok());
    // A table ends a paragraph, so the section would begin within it and end outside.
    let nested = format!("{LINK}<p>{{{{#minutes}}}}<table><tr><td>x</td></tr></table>{{{{/minutes}}}}</p>");
    assert!(
        refusal("reset", &nested).contains("HTML does not allow"),
        "{}",
        refusal("reset", &nested)
    );
    for (subject, why) in [
        ("", "one line"),
        ("a\nb", "one line"),
        ("{{link}}", "not possible in a subject"),
        ("{{code}}", "no variable"),
        ("{{nickname", "not closed"),
    ] {
        let source = Source {
            subject: subject.into(),
            content: LINK.into(),
        };
        let error = check("reset", &source, Language::English, &head()).unwrap_err();
        assert!(
            error.part() == "subject" && error.to_string().contains(why),
            "{subject:?}: {error}"
        );
    }
}

#[test]
fn titles_in_subjects_inject_no_headers() {
    let source = Source {
        subject: "{{title}} {{price}}".into(),
        content: "<a href=\"{{link}}\">Go</a>".into(),
    };
    let email = EmailTemplate::BackInStock {
        nickname: "Ada".into(),
        title: "Portal\r\nBcc: evil@example.org".into(),
        slug: "portal".into(),
        price: values::cents(999),
    };
    let written = render(&email, &source, Language::English, &head()).unwrap();
    assert!(!written.subject.contains(char::is_control), "{:?}", written.subject);
}

/// A reset with a name that would run a script, and a link of its own.
fn reset() -> EmailTemplate {
    EmailTemplate::Reset {
        nickname: "\"><script>alert(1)</script>{{minutes}}".into(),
        token: Secret::new("t0k3n"),
        minutes: 30,
    }
}

const RESET_URL: &str = "https://shop.example/reset-password?token=t0k3n";

/// What every accepted text does: it renders, shows the link, and runs nothing.
fn renders(source: &Source) {
    let written = render(&reset(), source, Language::English, &head()).unwrap();
    assert!(
        written.html.contains(&format!("href=\"{RESET_URL}\"")),
        "{source:?}: {}",
        written.html
    );
    assert!(written.text.contains(RESET_URL), "{source:?}: {}", written.text);
    let html = written.html.to_lowercase();
    for bad in ["<script", "<iframe", "onerror=", "javascript:", "url("] {
        assert!(!html.contains(bad), "{bad} in {html}");
    }
    assert!(!html.contains("{{link") && !html.contains("{{#"), "{html}");
    let again = check("reset", source, Language::English, &head());
    assert_eq!(again.as_ref(), Ok(source), "checking twice changes nothing");
}

/// A template as a list of tokens; those that close something are marked.
fn tokens(depth: u32) -> BoxedStrategy<Vec<(String, bool)>> {
    let leaf = prop_oneof![
        "[a-zé <&;]{0,8}".prop_map(|text| text.replace('<', "&lt;")),
        Just("{{greeting}}".to_owned()),
        Just("{{minutes}}".to_owned()),
        Just("<br>".to_owned()),
        Just("<img src=\"https://a.example/x.png\" onerror=\"alert(1)\">".to_owned()),
    ]
    .prop_map(|text| vec![(text, false)]);
    leaf.prop_recursive(depth, 24, 4, |inner| {
        let wrapped = prop_oneof![
            Just(("<div style=\"color:red\">", "</div>")),
            Just(("<b>", "</b>")),
            Just(("<table><tr><td>", "</td></tr></table>")),
            Just(("{{#minutes}}", "{{/minutes}}")),
            Just(("{{^nickname}}", "{{/nickname}}")),
        ];
        (wrapped, prop::collection::vec(inner, 0..4)).prop_map(|((open, close), inside)| {
            let mut all = vec![(open.to_owned(), false)];
            all.extend(inside.into_iter().flatten());
            all.push((close.to_owned(), true));
            all
        })
    })
    .boxed()
}

fn joined<'t>(tokens: impl Iterator<Item = &'t (String, bool)>) -> String {
    tokens.map(|(text, _)| text.as_str()).collect::<String>() + "<p><a href='{{link}}'>Go</a></p>"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A well-formed text with its link is accepted and renders; without one of its ends it is refused.
    #[test]
    fn what_is_accepted_renders_and_what_would_not_is_refused(
        tokens in tokens(4),
        which in any::<prop::sample::Index>(),
    ) {
        let source = checked("reset", &joined(tokens.iter())).map_err(|error| TestCaseError::fail(error.to_string()))?;
        renders(&source);
        let ends: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].1).collect();
        if !ends.is_empty() {
            let gone = *which.get(&ends);
            let broken = tokens.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, token)| token);
            prop_assert!(checked("reset", &joined(broken)).is_err());
        }
    }

    /// Whatever is typed: it is refused, or it renders. Nothing panics.
    #[test]
    fn anything_is_refused_or_renders(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{{link}}", "{{#link}}", "{{/link}}", "{{^code}}", "{{", "}}", "<a href=\"{{link}}\">", "</a>", "<a href='", "<b>",
            "</b>", "<script>", "<svg onload=alert(1)>", "<img src=x onerror=alert(1)>", "<p style=\"background:url(x)\">", "</p>",
            "<", ">", "\"", "'", "&", "&lt;script&gt;", "\u{e000}0\u{e001}", "é", "\0", "<!--", "-->", "<table>", "</table>", "<td>",
            "<a href=\"javascript:alert(1)\">", "{{items}}", "{{greeting}}", "\n",
        ]), 0..10),
        has_link in any::<bool>(),
    ) {
        let text = pieces.concat() + if has_link { "<a href=\"{{link}}\">Go</a>" } else { "" };
        if let Ok(source) = checked("reset", &text) {
            renders(&source);
        }
    }
}
