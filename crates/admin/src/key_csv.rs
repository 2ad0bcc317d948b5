//! The lines of a CSV file of keys, read as the file arrives: a game (id or slug), a key, and what the key cost.
//!
//! The separator is the first comma, semicolon or tab of the file. A first line that names its columns decides their
//! order; without one it is game, key, cost. A key of several lines stands in quotes.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use lockstep_domain::Money;
use lockstep_domain::admin::RefusedLine;
use lockstep_domain::key_text::KeyText;
use lockstep_domain::slug::is_slug;
use lockstep_store::admin::key_import::GameRef;
use uuid::Uuid;

/// Maximum length of a line in bytes, after quotes are removed.
pub(crate) const MAX_LINE: usize = 8 * 1024;
/// Columns of a line at most.
const MAX_COLUMNS: usize = 64;

/// A line with a key.
pub(crate) struct KeyLine {
    /// Its number, from 1.
    pub(crate) line: u64,
    pub(crate) game: GameRef,
    pub(crate) key: KeyText,
    pub(crate) cost: Option<Money>,
}

/// Why a file cannot be read on. It never holds what the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsvFault {
    /// A quotation mark that is not closed by the end of the file: what follows it would be one key.
    #[error("A quotation mark opens before line {0} and is not closed.")]
    Quote(u64),
    /// A line longer than 8 KiB.
    #[error("Line {0} is longer than 8,192 bytes. A quotation mark may be missing.")]
    LineTooLong(u64),
    /// More columns than any table of keys has.
    #[error("Line {0} has too many columns.")]
    TooManyColumns(u64),
    /// A heading without the needed columns.
    #[error("The heading names no column for the game. Name the columns game, key and cost.")]
    Heading,
    /// UTF-16 or another encoding.
    #[error("The file is not UTF-8. Save it as CSV UTF-8.")]
    Encoding,
}

/// Positions of the columns.
#[derive(Debug, Clone, Copy)]
struct Columns {
    game: usize,
    key: usize,
    cost: usize,
    /// Number of columns: those of the heading, whose other names are ignored, or game, key and cost.
    width: usize,
}

/// Reads lines from the parts of a file.
pub(crate) struct KeyLines {
    /// What came before the first separator.
    head: Vec<u8>,
    reader: Option<Reader>,
    output: Vec<u8>,
    output_len: usize,
    ends: [usize; MAX_COLUMNS],
    ends_len: usize,
    /// Ends of lines in what was read.
    newlines: u64,
    /// Quotation marks of the line that is read.
    quotes: u64,
    separator: u8,
    columns: Option<Columns>,
}

impl KeyLines {
    pub(crate) fn new() -> Self {
        Self {
            head: Vec::new(),
            reader: None,
            output: vec![0; MAX_LINE],
            output_len: 0,
            ends: [0; MAX_COLUMNS],
            ends_len: 0,
            newlines: 0,
            quotes: 0,
            separator: b',',
            columns: None,
        }
    }

    /// Reads a part of the file and passes its lines on, good ones and refused ones.
    pub(crate) fn push(&mut self, part: &[u8], lines: &mut Vec<Result<KeyLine, RefusedLine>>) -> Result<(), CsvFault> {
        if part.is_empty() {
            return Ok(());
        }
        if self.reader.is_some() {
            return self.read(part, lines);
        }
        self.head.extend_from_slice(part);
        let separator = self
            .head
            .iter()
            .copied()
            .find(|byte| matches!(byte, b',' | b';' | b'\t'));
        if separator.is_none() && self.head.len() <= MAX_LINE {
            return Ok(());
        }
        self.begin(separator, lines)
    }

    /// Reads the last line, which may have no end.
    pub(crate) fn end(&mut self, lines: &mut Vec<Result<KeyLine, RefusedLine>>) -> Result<(), CsvFault> {
        if self.reader.is_none() {
            self.begin(None, lines)?;
        }
        self.read(&[], lines)
    }

    fn begin(&mut self, separator: Option<u8>, lines: &mut Vec<Result<KeyLine, RefusedLine>>) -> Result<(), CsvFault> {
        let head = std::mem::take(&mut self.head);
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            return Err(CsvFault::Encoding);
        }
        self.separator = separator.unwrap_or(b',');
        self.reader = Some(ReaderBuilder::new().delimiter(self.separator).build());
        if head.is_empty() {
            return Ok(());
        }
        self.read(&head, lines)
    }

    /// An empty `part` is the end of the file.
    fn read(&mut self, mut part: &[u8], lines: &mut Vec<Result<KeyLine, RefusedLine>>) -> Result<(), CsvFault> {
        let Some(mut reader) = self.reader.take() else {
            return Ok(());
        };
        let is_end = part.is_empty();
        loop {
            let (result, read, written, ended) = reader.read_record(
                part,
                self.output.get_mut(self.output_len..).unwrap_or_default(),
                self.ends.get_mut(self.ends_len..).unwrap_or_default(),
            );
            let (done, rest) = part.split_at_checked(read).unwrap_or((part, &[]));
            self.newlines += count(done, b'\n');
            self.quotes += count(done, b'"');
            part = rest;
            self.output_len += written;
            self.ends_len += ended;
            let current = self.newlines + 1;
            match result {
                ReadRecordResult::Record => {
                    if is_end && self.quotes % 2 == 1 {
                        return Err(CsvFault::Quote(current));
                    }
                    self.quotes = 0;
                    let inside = count(self.output.get(..self.output_len).unwrap_or_default(), b'\n');
                    let has_ended = done.last() == Some(&b'\n');
                    let line = (self.newlines + u64::from(!has_ended)).saturating_sub(inside);
                    self.take(line, lines)?;
                    (self.output_len, self.ends_len) = (0, 0);
                }
                ReadRecordResult::InputEmpty if is_end => {}
                ReadRecordResult::InputEmpty | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull => {
                    let inside = count(&self.output, b'\n');
                    return Err(CsvFault::LineTooLong(current.saturating_sub(inside)));
                }
                ReadRecordResult::OutputEndsFull => return Err(CsvFault::TooManyColumns(current)),
            }
        }
        self.reader = Some(reader);
        Ok(())
    }

    /// Takes the line that was read.
    fn take(&mut self, line: u64, lines: &mut Vec<Result<KeyLine, RefusedLine>>) -> Result<(), CsvFault> {
        let mut fields = Vec::with_capacity(self.ends_len);
        let mut start = 0;
        for end in self.ends.iter().take(self.ends_len) {
            let field = self.output.get(start..*end).unwrap_or_default();
            fields.push(std::str::from_utf8(field).map(str::trim));
            start = *end;
        }
        let Ok(fields) = fields.into_iter().collect::<Result<Vec<&str>, _>>() else {
            lines.push(Err(refused(
                line,
                "encoding",
                "The line is not UTF-8. Save the file as CSV UTF-8.",
            )));
            return Ok(());
        };
        if fields.iter().all(|field| field.is_empty()) {
            return Ok(());
        }
        let Some(columns) = self.columns else {
            let heading = heading(&fields)?;
            self.columns = Some(heading.unwrap_or(Columns {
                game: 0,
                key: 1,
                cost: 2,
                width: 3,
            }));
            return match heading {
                Some(_) => Ok(()),
                None => self.take(line, lines),
            };
        };
        // Two stray quotation marks would make one key of all lines between them.
        let separator = char::from(self.separator);
        let is_swallowed = |field: &&str| field.lines().skip(1).any(|line| line.contains(separator));
        if fields.iter().any(is_swallowed) {
            lines.push(Err(refused(
                line,
                "columns",
                "A key of several lines has a separator in a later one. Is a quotation mark missing? Add such a key by hand.",
            )));
            return Ok(());
        }
        lines.push(key_line(line, &fields, columns));
        Ok(())
    }
}

fn count(bytes: &[u8], wanted: u8) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == wanted)).sum()
}

fn refused(line: u64, code: &'static str, reason: &str) -> RefusedLine {
    RefusedLine {
        line,
        code,
        reason: reason.to_owned(),
        order_id: None,
        first_line: None,
    }
}

/// The columns that a heading names; `None` if this is a line with a key.
fn heading(fields: &[&str]) -> Result<Option<Columns>, CsvFault> {
    let position = |names: &[&str]| {
        fields
            .iter()
            .position(|field| names.contains(&field.to_lowercase().replace(['_', '-', ' '], "").as_str()))
    };
    let Some(key) = position(&["key", "gamekey", "keys", "code"]) else {
        return Ok(None);
    };
    let game = position(&["game", "gameid", "slug", "gameslug", "gameidorslug"]).ok_or(CsvFault::Heading)?;
    Ok(Some(Columns {
        game,
        key,
        cost: position(&["cost", "price", "purchaseprice"]).unwrap_or(usize::MAX),
        width: fields.len(),
    }))
}

fn key_line(line: u64, fields: &[&str], columns: Columns) -> Result<KeyLine, RefusedLine> {
    let field = |column: usize| fields.get(column).copied().unwrap_or_default();
    if fields.iter().skip(columns.width).any(|field| !field.is_empty()) {
        let reason = "The line has more columns than the heading, or than game, key and cost. A key with a separator stands in quotes.";
        return Err(refused(line, "columns", reason));
    }
    let game = field(columns.game);
    let game = match game.parse::<Uuid>() {
        Ok(id) => GameRef::Id(id.into()),
        Err(_) if is_slug(game) => GameRef::Slug(game.to_owned()),
        Err(_) => return Err(refused(line, "no_such_game", "There is no game with this id or slug.")),
    };
    let key = KeyText::new(field(columns.key)).map_err(|fault| refused(line, fault.code(), fault.reason()))?;
    let cost = match field(columns.cost) {
        "" => None,
        text => Some(
            text.replace(',', ".")
                .parse::<Money>()
                .ok()
                .filter(|cost| *cost >= Money::ZERO)
                .ok_or_else(|| refused(line, "cost", "The cost is an amount in EUR, such as 12.50, or empty."))?,
        ),
    };
    Ok(KeyLine { line, game, key, cost })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read = Vec<(u64, Result<(String, String, Option<String>), &'static str>)>;

    fn read(parts: &[&[u8]]) -> Result<Read, CsvFault> {
        let (mut reader, mut lines) = (KeyLines::new(), Vec::new());
        for part in parts {
            reader.push(part, &mut lines)?;
        }
        reader.end(&mut lines)?;
        let told = |line: Result<KeyLine, RefusedLine>| match line {
            Ok(line) => {
                let game = match line.game {
                    GameRef::Id(id) => id.to_string(),
                    GameRef::Slug(slug) => slug,
                };
                let cost = line.cost.map(|cost| cost.to_string());
                (line.line, Ok((game, line.key.expose().to_owned(), cost)))
            }
            Err(line) => (line.line, Err(line.code)),
        };
        Ok(lines.into_iter().map(told).collect())
    }

    fn line(number: u64, game: &str, key: &str, cost: Option<&str>) -> Read {
        vec![(number, Ok((game.to_owned(), key.to_owned(), cost.map(str::to_owned))))]
    }

    #[test]
    fn separators_headings_and_costs_are_recognised() {
        for (file, number, cost) in [
            ("portal,ABCD-EFGH", 1, None),
            ("\u{feff}portal;ABCD-EFGH;12,50\r\n", 1, Some("12.50")),
            ("portal\tABCD-EFGH\t0", 1, Some("0.00")),
            ("Key,Game ID\nABCD-EFGH,portal\n", 2, None),
            ("note,key,slug,cost\r\n\r\nx,ABCD-EFGH,portal,3\r\n", 3, Some("3.00")),
            ("\n\nportal, ABCD-EFGH ,,\n", 3, None),
        ] {
            assert_eq!(
                read(&[file.as_bytes()]),
                Ok(line(number, "portal", "ABCD-EFGH", cost)),
                "{file}"
            );
        }
        assert_eq!(
            read(&[b"portal,\"user: ada\r\npassword: \"\"x\"\"\"\nportal,1234-5678\n"]),
            Ok([
                line(1, "portal", "user: ada\npassword: \"x\"", None),
                line(3, "portal", "1234-5678", None)
            ]
            .concat())
        );
    }

    #[test]
    fn each_refused_line_has_its_number_and_a_code() {
        let file = "portal,ABCD-EFGH\nPortal 2!,ABCD\nportal\nportal,1.23457E+15\nportal,ABC,DEF\nportal,A,B,C\n";
        let codes: Vec<(u64, &str)> = read(&[file.as_bytes()])
            .unwrap()
            .into_iter()
            .filter_map(|(line, read)| Some((line, read.err()?)))
            .collect();
        assert_eq!(
            codes,
            [
                (2, "no_such_game"),
                (3, "required"),
                (4, "spreadsheet"),
                (5, "too_short"),
                (6, "columns")
            ]
        );
        assert_eq!(read(&[b"portal,AB\xff"]), Ok(vec![(1, Err("encoding"))]));
        assert_eq!(read(&[b"portal,ABCD,-1"]), Ok(vec![(1, Err("cost"))]));
        assert_eq!(read(&[b"\xff\xfep\0o\0"]), Err(CsvFault::Encoding));
        assert_eq!(read(&[b"key,cost\nABCD,1"]), Err(CsvFault::Heading));
        assert_eq!(read(&[b""]), Ok(vec![]));
        let long = format!("portal,ABCD\nportal,\"{}", "x\n".repeat(MAX_LINE));
        assert_eq!(read(&[long.as_bytes()]), Err(CsvFault::LineTooLong(2)));
        let wide = format!("portal,ABCD\n{}", ",".repeat(100));
        assert_eq!(read(&[wide.as_bytes()]), Err(CsvFault::TooManyColumns(2)));
        let headless = "x".repeat(3 * MAX_LINE);
        assert_eq!(read(&[headless.as_bytes()]), Err(CsvFault::LineTooLong(1)));
    }

    #[test]
    fn a_quotation_mark_that_is_not_closed_makes_no_key_of_several_lines() {
        for end in ["", "\n"] {
            let file = format!("portal,\"AAAA-1111\nportal,BBBB-2222\nportal,CCCC-3333{end}");
            assert!(matches!(read(&[file.as_bytes()]), Err(CsvFault::Quote(_))), "{file}");
        }
        let between = "portal,\"AAAA-1111\nportal,BBBB-2222\nportal,\"CCCC-3333\nportal,DDDD-4444\n";
        let read_between = read(&[between.as_bytes()]).unwrap();
        assert_eq!(read_between[0].1, Err("columns"));
        assert_eq!(read_between[1..], line(4, "portal", "DDDD-4444", None)[..]);
    }

    #[test]
    fn a_key_with_an_unquoted_separator_is_not_cut_short() {
        assert_eq!(
            read(&[b"game,key\nportal,user:pass,word\nportal,ABCD-EFGH\n"]),
            Ok([vec![(2, Err("columns"))], line(3, "portal", "ABCD-EFGH", None)].concat())
        );
    }

    proptest! {
        #[test]
        fn cuts_in_the_stream_change_nothing(
            lines in prop::collection::vec("(portal,[A-Z0-9\"é]{0,9}(,[0-9]{0,2})?)?\r?\n", 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let file = lines.concat().into_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(file.len() + 1)).collect();
            at.extend([0, file.len()]);
            at.sort_unstable();
            let parts: Vec<&[u8]> = at.windows(2).map(|two| &file[two[0]..two[1]]).collect();
            prop_assert_eq!(read(&parts), read(&[&file]));
        }
    }
}
