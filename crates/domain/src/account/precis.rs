//! Which characters a new password may have: those of the `FreeformClass` of the PRECIS framework (RFC 8264, sections 4.3 and
//! 8), on which the profile `OpaqueString` (RFC 8265, section 4.2) is built.
//!
//! Invisible characters are not among them, unless their neighbours call for them: a password that holds one cannot be typed
//! again from what its owner sees. Nor are those that Unicode has not assigned: a later version may compose them otherwise.
//!
//! The properties come from ICU4X, which follows Unicode. (The crate `precis-core` 0.2 has those of Unicode 6.3, of the year
//! 2013, and takes every character since then for unassigned: all newer emoji, the sign of the rouble.)

use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup, HangulSyllableType,
    JoiningType, Script,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The general categories of the class, without the characters that other rules decide about.
const ALLOWED: GeneralCategoryGroup = GeneralCategoryGroup::Letter
    .union(GeneralCategoryGroup::Mark)
    .union(GeneralCategoryGroup::Number)
    .union(GeneralCategoryGroup::Symbol)
    .union(GeneralCategoryGroup::Punctuation)
    .union(GeneralCategoryGroup::SpaceSeparator);

/// Whether a text in its normal form consists of nothing but characters of the class.
pub(super) fn is_free_form(text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    (0..text.len()).all(|at| allows(&text, at))
}

fn allows(text: &[char], at: usize) -> bool {
    let (before, rest) = text.split_at(at);
    let Some((&c, after)) = rest.split_first() else {
        return true;
    };
    let script = CodePointMapData::<Script>::new();
    match c {
        // What depends on its neighbours (RFC 5892, appendix A).
        '\u{200c}' => follows_virama(before) || joins(before, after),
        '\u{200d}' => follows_virama(before),
        '\u{b7}' => before.last() == Some(&'l') && after.first() == Some(&'l'),
        '\u{375}' => after.first().is_some_and(|next| script.get(*next) == Script::Greek),
        '\u{5f3}' | '\u{5f4}' => before.last().is_some_and(|last| script.get(*last) == Script::Hebrew),
        '\u{30fb}' => text
            .iter()
            .any(|one| [Script::Hiragana, Script::Katakana, Script::Han].contains(&script.get(*one))),
        '\u{660}'..='\u{669}' => !text.iter().any(|one| ('\u{6f0}'..='\u{6f9}').contains(one)),
        '\u{6f0}'..='\u{6f9}' => !text.iter().any(|one| ('\u{660}'..='\u{669}').contains(one)),
        // Exceptions (RFC 8264, section 9.6): allowed ones fall under the categories anyway.
        '\u{640}' | '\u{7fa}' | '\u{302e}' | '\u{302f}' | '\u{3031}'..='\u{3035}' | '\u{303b}' => false,
        _ => is_in_class(c),
    }
}

fn is_in_class(c: char) -> bool {
    let jamo = [
        HangulSyllableType::LeadingJamo,
        HangulSyllableType::VowelJamo,
        HangulSyllableType::TrailingJamo,
    ];
    ALLOWED.contains(CodePointMapData::<GeneralCategory>::new().get(c))
        && !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        && !jamo.contains(&CodePointMapData::<HangulSyllableType>::new().get(c))
}

fn follows_virama(before: &[char]) -> bool {
    before.last().is_some_and(|last| {
        CodePointMapData::<CanonicalCombiningClass>::new().get(*last) == CanonicalCombiningClass::Virama
    })
}

/// Whether the letters on both sides would join (Arabic and the like), with marks that do not matter for it in between.
fn joins(before: &[char], after: &[char]) -> bool {
    let joining = CodePointMapData::<JoiningType>::new();
    let matters = |kind: &JoiningType| *kind != JoiningType::Transparent;
    let left = before.iter().rev().map(|c| joining.get(*c)).find(matters);
    let right = after.iter().map(|c| joining.get(*c)).find(matters);
    let left_joins = matches!(left, Some(JoiningType::LeftJoining | JoiningType::DualJoining));
    let right_joins = matches!(right, Some(JoiningType::RightJoining | JoiningType::DualJoining));
    left_joins && right_joins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_signs_spaces_and_emoji_of_all_times_are_allowed() {
        for text in [
            "Correct7Horse",
            " \"!#~",
            "Zürich ß ς",
            "пароль密码パスワード",
            "한글",
            "€₽₿",
            "🐒🦄🫩",
            "ǅ ² Ⅷ ﬁ Ａ",
            "e\u{301}\u{20dd}",
        ] {
            assert!(is_free_form(text), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_seen_or_is_not_assigned_is_not() {
        for c in [
            '\u{0}',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{600}',
            '\u{200b}',
            '\u{200e}',
            '\u{2028}',
            '\u{2060}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{3164}',
            '\u{1100}',
            '\u{1161}',
            '\u{11a8}',
            '\u{378}',
            '\u{e000}',
            '\u{fdd0}',
            '\u{ffff}',
            '\u{e0001}',
            '\u{10ffff}',
            '\u{640}',
            '\u{3031}',
        ] {
            assert!(!is_free_form(&format!("a{c}b")), "{:x}", u32::from(c));
        }
    }

    #[test]
    fn some_depend_on_their_neighbours() {
        for (text, is_allowed) in [
            ("col\u{b7}lecci\u{f3}", true),
            ("a\u{b7}b", false),
            ("\u{375}\u{3b1}", true),
            ("\u{375}a", false),
            ("\u{5d0}\u{5f3}", true),
            ("a\u{5f4}", false),
            ("\u{30a2}\u{30fb}", true),
            ("a\u{30fb}b", false),
            ("\u{661}\u{662}", true),
            ("\u{6f1}\u{6f2}", true),
            ("\u{661}\u{6f2}", false),
            // A virama, and letters that join across marks.
            ("\u{915}\u{94d}\u{200d}\u{937}", true),
            ("\u{915}\u{94d}\u{200c}\u{937}", true),
            ("\u{628}\u{64e}\u{200c}\u{64e}\u{628}", true),
            ("a\u{200c}b", false),
            ("\u{628}\u{200d}\u{628}", false),
            ("\u{1f468}\u{200d}\u{1f469}", false),
        ] {
            assert_eq!(is_free_form(text), is_allowed, "{text}");
        }
    }
}
