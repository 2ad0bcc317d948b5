//! The text of a game key as staff give it: its bounds, and what a spreadsheet does to keys.

use std::fmt;

use crate::secret::Secret;

/// Maximum length of a key in bytes.
pub const MAX_BYTES: usize = 2_000;
/// Minimum length of a key in characters.
pub const MIN_CHARS: usize = 4;
/// Maximum number of lines of a key.
pub const MAX_LINES: usize = 20;

/// A key as it is stored: trimmed, with `\n` between its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyText(Secret);

/// Why a text is no key. It never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// There is none.
    Missing,
    /// Fewer than [`MIN_CHARS`] characters.
    TooShort,
    /// More than [`MAX_BYTES`] bytes.
    TooLong,
    /// More than [`MAX_LINES`] lines.
    TooManyLines,
    /// A control character, or one that nobody can see.
    Unseen,
    /// A masked key, as lists show it.
    Masked,
    /// A file that is not in base64.
    NotBase64,
    /// A file of more than 64 KiB.
    FileTooLong,
    /// A spreadsheet turned it into a number in scientific notation: digits are lost.
    Number,
    /// A spreadsheet's mark of a text, `'`, before it.
    Apostrophe,
    /// A formula.
    Formula,
    /// A spreadsheet's error, or a column that was too narrow.
    CellError,
}

impl KeyFault {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "required",
            Self::TooShort => "too_short",
            Self::TooLong | Self::FileTooLong => "too_long",
            Self::TooManyLines => "too_many_lines",
            Self::Unseen => "control_characters",
            Self::Masked => "masked",
            Self::NotBase64 => "not_base64",
            Self::Number | Self::Apostrophe | Self::Formula | Self::CellError => "spreadsheet",
        }
    }

    /// The reason, for people.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "The key is missing.",
            Self::TooShort => "A key has at least 4 characters.",
            Self::TooLong => "A key has at most 2,000 bytes.",
            Self::TooManyLines => "A key has at most 20 lines.",
            Self::Unseen => "A key has no control characters and no invisible ones.",
            Self::NotBase64 => "A key that is a file is given in base64.",
            Self::FileTooLong => "A key that is a file has at most 64 KiB.",
            Self::Masked => "This is a masked key. Enter the whole key, or leave it as it was shown.",
            Self::Number => {
                "A spreadsheet turned this key into a number and lost digits. Format the column as text and enter it again."
            }
            Self::Apostrophe => "The apostrophe before this key is a spreadsheet's mark of a text. Remove it.",
            Self::Formula => "This is a formula of a spreadsheet. Save the column as text.",
            Self::CellError => {
                "This is an error that a spreadsheet shows in place of the key. Save the column as text."
            }
        }
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl KeyText {
    /// Checks a key and brings it into its stored form.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn new(text: &str) -> Result<Self, KeyFault> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyFault::Missing);
        }
        if text.len() > MAX_BYTES {
            return Err(KeyFault::TooLong);
        }
        if text.chars().any(is_unseen) {
            return Err(KeyFault::Unseen);
        }
        let lines: Vec<&str> = text.split('\n').map(str::trim_end).collect();
        if lines.iter().any(|line| line.contains('\r')) {
            return Err(KeyFault::Unseen);
        }
        if lines.len() > MAX_LINES {
            return Err(KeyFault::TooManyLines);
        }
        if text.contains('•') {
            return Err(KeyFault::Masked);
        }
        spreadsheet_fault(text).map_or(Ok(()), Err)?;
        if text.chars().nth(MIN_CHARS - 1).is_none() {
            return Err(KeyFault::TooShort);
        }
        Ok(Self(Secret::new(lines.join("\n"))))
    }

    /// The key.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Control characters except the ends of lines and tabs, and characters without any width, which come with copied text.
fn is_unseen(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fffd}')
}

fn spreadsheet_fault(text: &str) -> Option<KeyFault> {
    if text.starts_with(['\'', '’']) {
        return Some(KeyFault::Apostrophe);
    }
    if text.starts_with('=') {
        return Some(KeyFault::Formula);
    }
    if text.starts_with('#')
        && (text.ends_with(['!', '?']) || text == "#N/A" || text == "#NV" || text.chars().all(|c| c == '#'))
    {
        return Some(KeyFault::CellError);
    }
    is_scientific(text).then_some(KeyFault::Number)
}

/// Whether this is a number such as `1.23457E+15` or `1,23457E+15`.
fn is_scientific(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let Some((number, exponent)) = text.split_once(['E', 'e']) else {
        return false;
    };
    let Some(exponent) = exponent.strip_prefix(['+', '-']) else {
        return false;
    };
    let number = number.strip_prefix('-').unwrap_or(number);
    let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, "0"));
    digits(exponent) && digits(whole) && digits(fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_trimmed_and_their_lines_kept() {
        for (given, stored) in [
            ("  ABCD-EFGH \r\n", "ABCD-EFGH"),
            ("user: ada  \r\npassword: 1234", "user: ada\npassword: 1234"),
            ("1234567890123456", "1234567890123456"),
            ("1E+2X", "1E+2X"),
            ("E+12-ABCD", "E+12-ABCD"),
            ("12E34-56789", "12E34-56789"),
            ("#ABCD-1234", "#ABCD-1234"),
        ] {
            assert_eq!(KeyText::new(given).unwrap().expose(), stored);
        }
    }

    #[test]
    fn each_fault_is_named() {
        let long = "x".repeat(MAX_BYTES + 1);
        let lines = "abcd\n".repeat(MAX_LINES + 1);
        for (text, fault) in [
            ("", KeyFault::Missing),
            (" \n ", KeyFault::Missing),
            ("ABC", KeyFault::TooShort),
            (&long, KeyFault::TooLong),
            (&lines, KeyFault::TooManyLines),
            ("ABCD\0EFGH", KeyFault::Unseen),
            ("ABCD\u{200b}EFGH", KeyFault::Unseen),
            ("ABCD\rEFGH", KeyFault::Unseen),
            ("••••••••LMNO", KeyFault::Masked),
            ("1.23457E+15", KeyFault::Number),
            ("1,23457E+15", KeyFault::Number),
            ("9e+99", KeyFault::Number),
            ("-1.5E-3", KeyFault::Number),
            ("'1234567890123456", KeyFault::Apostrophe),
            ("=\"ABCD-EFGH\"", KeyFault::Formula),
            ("#N/A", KeyFault::CellError),
            ("#REF!", KeyFault::CellError),
            ("#NAME?", KeyFault::CellError),
            ("########", KeyFault::CellError),
        ] {
            assert_eq!(KeyText::new(text), Err(fault), "{text}");
            assert!(fault.reason().len() <= 140 && fault.reason().ends_with('.'));
        }
    }

    proptest! {
        #[test]
        fn a_stored_key_stays_as_it_is(text in "\\PC{0,60}(\n\\PC{0,60}){0,4}") {
            if let Ok(key) = KeyText::new(&text) {
                prop_assert_eq!(&KeyText::new(key.expose()).unwrap(), &key);
            }
        }
    }
}
