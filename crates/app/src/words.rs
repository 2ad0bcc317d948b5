//! Sentences that the command line prints in English, and the console shows in the language of its reader. Their texts are
//! in `crates/page/messages/*/doctor.txt`.

use lockstep_domain::language::Sentence;
use lockstep_page::i18n::Language;

/// A [`Sentence`] out of its key and values: anything that can be displayed, or another sentence.
macro_rules! say {
    ($key:literal $(, $value:expr)* $(,)?) => {
        lockstep_domain::language::Sentence::new($key, vec![$(lockstep_domain::language::Value::from(&$value)),*])
    };
}
pub(crate) use say;

/// The sentence as the command line prints it.
pub(crate) fn english(sentence: &Sentence) -> String {
    Language::ENGLISH.tell(sentence)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Every quoted `doctor.…` in the sources below `folder`, without tests.
    fn quoted(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                quoted(&path, found);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let source = source.split("mod tests {").next().unwrap();
            for (at, _) in source.match_indices("\"doctor.") {
                found.insert(source[at + 1..].chars().take_while(|letter| *letter != '"').collect());
            }
        }
    }

    /// That both languages have the same texts and placeholders is a test of `lockstep-page`.
    #[test]
    fn every_finding_has_a_text_and_every_text_is_used() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut used = BTreeSet::new();
        quoted(&root.join("src"), &mut used);
        // Statements of the database and metrics are named alike.
        let file = include_str!("../../page/messages/en/doctor.txt");
        let texts: BTreeSet<String> = lockstep_domain::language::lines(&[file])
            .map(|(key, _)| key.to_owned())
            .filter(|key| !key.starts_with("doctor.what."))
            .collect();
        used.remove("doctor.sealed");
        assert_eq!(used, texts);
    }

    /// `say!` gets as many values as its text has placeholders.
    #[test]
    fn every_placeholder_gets_a_value() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut folders, mut looked_at) = (vec![root], 0);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let source = std::fs::read_to_string(&path).unwrap();
                for (at, _) in source.match_indices("say!(") {
                    let call = arguments(&source[at + "say!(".len()..]);
                    let Some(key) = call[0].trim().strip_prefix('"').and_then(|key| key.strip_suffix('"')) else {
                        continue;
                    };
                    let text = Language::ENGLISH.find(key).unwrap_or_default();
                    assert_eq!(
                        text.matches("{}").count(),
                        call.len() - 1,
                        "{key} in {}",
                        path.display()
                    );
                    looked_at += 1;
                }
            }
        }
        assert!(looked_at > 80, "{looked_at}");
    }

    /// What stands between the commas of a macro's call, up to its closing parenthesis.
    fn arguments(source: &str) -> Vec<String> {
        let (mut depth, mut in_text) = (0, false);
        let mut found = vec![String::new()];
        for letter in source.chars() {
            in_text ^= letter == '"';
            match letter {
                ')' if !in_text && depth == 0 => break,
                '(' | '[' if !in_text => depth += 1,
                ')' | ']' if !in_text => depth -= 1,
                ',' if !in_text && depth == 0 => {
                    found.push(String::new());
                    continue;
                }
                _ => {}
            }
            if let Some(last) = found.last_mut() {
                last.push(letter);
            }
        }
        found.retain(|argument| !argument.trim().is_empty());
        found
    }
}
