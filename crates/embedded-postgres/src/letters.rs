//! How a new cluster comes to know the letters of all languages, which lower-casing, searching and trigrams need.
//!
//! Best is the locale `C.UTF-8` of the C library, which also sorts by code point, the same on every machine. Where it
//! is missing, the character class of another UTF-8 locale does as well. Where there is none at all, PostgreSQL's own
//! knowledge has to do: the provider `builtin` of version 17 and later, ICU before. `pg_trgm` takes its letters from
//! the C library even then (seen with 15.18 and 18.6): likeness of words that are not in ASCII is not found.

use std::process::{Command, Stdio};

/// One way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letters {
    /// What `initdb` is told.
    pub(crate) arguments: Vec<String>,
    /// What the shop does without, in words.
    pub(crate) lacks: Option<&'static str>,
}

impl Letters {
    /// A locale of the C library, for everything.
    pub(crate) fn of_locale(name: &str) -> Self {
        Self {
            arguments: vec![format!("--locale={name}")],
            lacks: None,
        }
    }
}

/// The ways for a version of PostgreSQL, best first. `listed` names a UTF-8 locale that the machine has; it is only
/// asked when the first way was no way.
pub(crate) fn choices(major: u32, listed: impl FnOnce() -> Option<String>) -> impl Iterator<Item = Letters> {
    let own = |options: [&str; 2]| Letters {
        arguments: std::iter::once("--locale=C")
            .chain(options)
            .map(str::to_owned)
            .collect(),
        lacks: Some(
            "misspelt titles in letters other than a to z are not found; install one and create a new data folder",
        ),
    };
    let other = std::iter::once_with(listed).flatten().map(|name| Letters {
        arguments: vec!["--locale=C".to_owned(), format!("--lc-ctype={name}")],
        lacks: None,
    });
    let last = if major >= 17 {
        own(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"])
    } else {
        own(["--locale-provider=icu", "--icu-locale=und"])
    };
    std::iter::once(Letters::of_locale("C.UTF-8"))
        .chain(other)
        .chain([last])
}

/// Whether `initdb` failed because the machine lacks the way that it was told.
pub(crate) fn is_missing(said: impl Fn(&str) -> bool) -> bool {
    said("invalid locale") || said("ICU is not supported in this build")
}

/// A UTF-8 locale of this machine, if it has one.
pub(crate) fn locale_of_this_machine() -> Option<String> {
    let listed = Command::new("locale").arg("-a").stdin(Stdio::null()).output().ok()?;
    utf8_locale(&String::from_utf8_lossy(&listed.stdout))
}

/// Of what `locale -a` prints, the one to take: rather `C` than English than any other, so that the choice is the same
/// on machines that have the same.
fn utf8_locale(listed: &str) -> Option<String> {
    let utf8 = listed.lines().map(str::trim).filter(|name| {
        let encoding = name.split('@').next().and_then(|name| name.split_once('.'));
        encoding.is_some_and(|(_, encoding)| {
            encoding.eq_ignore_ascii_case("utf8") || encoding.eq_ignore_ascii_case("utf-8")
        })
    });
    utf8.min_by_key(|name| (!name.starts_with("C."), !name.starts_with("en_"), (*name).to_owned()))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(major: u32, listed: Option<&str>) -> Vec<String> {
        choices(major, || listed.map(str::to_owned))
            .map(|letters| letters.arguments.join(" "))
            .collect()
    }

    #[test]
    fn each_version_is_told_what_it_understands_and_never_the_locale_c_alone() {
        let icu = "--locale=C --locale-provider=icu --icu-locale=und";
        let builtin = "--locale=C --locale-provider=builtin --builtin-locale=C.UTF-8";
        for (major, own) in [(15, icu), (16, icu), (17, builtin), (18, builtin), (19, builtin)] {
            assert_eq!(arguments(major, None), ["--locale=C.UTF-8", own]);
            assert_eq!(
                arguments(major, Some("de_DE.utf8")),
                ["--locale=C.UTF-8", "--locale=C --lc-ctype=de_DE.utf8", own]
            );
        }
    }

    #[test]
    fn the_machine_is_asked_only_when_the_usual_locale_is_missing() {
        let mut choices = choices(15, || panic!("asked"));
        assert_eq!(choices.next(), Some(Letters::of_locale("C.UTF-8")));
    }

    #[test]
    fn of_the_locales_of_a_machine_one_in_utf_8_is_taken() {
        for (listed, taken) in [
            ("C\nC.utf8\nPOSIX\nen_US.utf8\n", Some("C.utf8")),
            ("C\nPOSIX\nde_DE.utf8\nen_GB.UTF-8\nen_US.UTF-8\n", Some("en_GB.UTF-8")),
            (
                "C\nde_DE\nde_DE.iso88591\nde_DE@euro\nsr_RS.utf8@latin\n",
                Some("sr_RS.utf8@latin"),
            ),
            ("C\nPOSIX\nen_US.iso88591\n", None),
            ("", None),
        ] {
            assert_eq!(utf8_locale(listed).as_deref(), taken, "{listed}");
        }
    }
}
