//! Files of keys: License Manager, WC Serial Numbers, and plain lists. The form is recognised from the heading and reported.
//!
//! The file is read twice: once for its form, once to bring it. A key is sealed as its line is read; what a spreadsheet, an
//! encryption or a limit of the other shop did to a key is refused with its line, never guessed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};
use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder};
use lockstep_domain::ids::KeyId;
use lockstep_domain::key_text::KeyText;
use lockstep_store::Store;
use lockstep_store::audit::By;
use lockstep_store::fulfilment::keys::{HASH, place};
use lockstep_store::imports::{self, Run, Source, StockKey};
use lockstep_vault::Keys;
use uuid::Uuid;

use crate::report::{Report, Row, Table};
use crate::{ImportError, own_id};

/// Keys of one transaction.
const BATCH: usize = 500;
/// License Manager's own import cut keys at this length.
const CUT_AT: usize = 1_000;
/// From this length on, a text of nothing but base64's characters is an encrypted key.
const ENCRYPTED_FROM: usize = 60;
/// So many keys of digits make a length usual.
const USUAL_FROM: usize = 5;

/// What a file is to do.
pub struct Request<'a> {
    /// The file.
    pub file: &'a Path,
    /// The game of all keys, by id or slug; else each line names its own.
    pub game: Option<&'a str>,
    /// Write nothing.
    pub dry_run: bool,
}

/// Where the keys go.
pub struct Target<'a> {
    /// This shop.
    pub store: &'a Store,
    /// What keys are sealed with.
    pub secrets: &'a Keys,
    /// Who imports.
    pub by: By,
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    LicenseManager,
    SerialNumbers,
    Plain,
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::LicenseManager => "License Manager for WooCommerce",
            Self::SerialNumbers => "WC Serial Numbers",
            Self::Plain => "a list, one key a line",
        }
    }
}

/// The columns of a file.
#[derive(Debug, Clone)]
struct Layout {
    form: Form,
    separator: u8,
    /// Lines end with CR and LF: the reader counts the LF with the next line.
    is_crlf: bool,
    has_heading: bool,
    key: usize,
    product: Option<usize>,
    order: Option<usize>,
    status: Option<usize>,
}

/// A line that was read.
struct Line {
    number: usize,
    key: String,
    product: Option<String>,
    /// It was sold in the other shop: it is stored as used.
    is_sold: bool,
}

/// Brings the keys of a file, as stock.
///
/// # Errors
/// [`ImportError`]; what was committed until then stays, and the next run brings the rest.
pub async fn run(target: &Target<'_>, request: &Request<'_>) -> Result<Report, ImportError> {
    let name = request.file.display().to_string();
    let wrong = |why: String| ImportError::File {
        file: name.clone(),
        why,
    };
    let mut file = File::open(request.file).map_err(|error| wrong(error.to_string()))?;
    let layout = layout(&mut file).map_err(&wrong)?;
    let lengths = lengths(&mut file, &layout).map_err(&wrong)?;
    let run = if request.dry_run {
        None
    } else {
        Some(imports::begin(target.store, Source::Keys, &target.by).await?)
    };
    let fixed = match request.game {
        Some(game) => Some(
            (imports::find_games(target.store, &[game.to_owned()])
                .await?
                .remove(game))
            .ok_or_else(|| wrong(format!("there is no game {game:?}; give --game its id or slug")))?,
        ),
        None => None,
    };
    if fixed.is_none() && layout.product.is_none() {
        return Err(wrong(
            "its lines name no game; give one with --game ID or --game SLUG".into(),
        ));
    }
    let mut work = Work {
        target,
        run,
        fixed,
        usual: usual(&lengths),
        seen: HashMap::new(),
        table: Table::default(),
        rows: Vec::new(),
    };
    let mut reader = reader(&mut file, &layout).map_err(&wrong)?;
    let mut record = ByteRecord::new();
    let mut batch = Vec::with_capacity(BATCH);
    while reader
        .read_byte_record(&mut record)
        .map_err(|error| wrong(error.to_string()))?
    {
        let Some(line) = work.line(&layout, &record) else {
            continue;
        };
        batch.push(line);
        if batch.len() == BATCH {
            work.bring(std::mem::take(&mut batch)).await?;
        }
    }
    work.bring(batch).await?;
    work.rows.sort_by_key(|row| row.line);
    let report = Report {
        run: run.map(|run| run.id),
        source: "keys".into(),
        dry_run: run.is_none(),
        notes: vec![format!(
            "Read as {}, columns apart by {}.",
            layout.form.name(),
            separator_name(&layout)
        )],
        lines: work.rows,
        tables: std::iter::once(("keys".to_owned(), work.table)).collect(),
        ..Report::default()
    };
    if let Some(run) = run {
        imports::end(target.store, run, &report.summary()).await?;
    }
    Ok(report)
}

fn separator_name(layout: &Layout) -> &'static str {
    match layout.separator {
        b';' => "semicolons",
        b'\t' => "tabs",
        _ => "commas",
    }
}

/// The work on a file.
struct Work<'a> {
    target: &'a Target<'a>,
    run: Option<Run>,
    fixed: Option<Uuid>,
    /// The usual length of keys that are digits.
    usual: Option<usize>,
    /// The line of each key of this file, by its hash.
    seen: HashMap<[u8; 32], usize>,
    table: Table,
    rows: Vec<Row>,
}

impl Work<'_> {
    fn refuse(&mut self, line: usize, reason: impl Into<String>, cure: &str) {
        self.table.refused += 1;
        self.rows.push(Row {
            line,
            outcome: "refused",
            reason: reason.into(),
            cure: cure.to_owned(),
        });
    }

    fn duplicate(&mut self, line: usize, reason: String) {
        self.table.duplicates += 1;
        self.rows.push(Row {
            line,
            outcome: "duplicate",
            reason,
            cure: "None is needed: it is stored once.".into(),
        });
    }

    /// The line of a record; `None` if it is empty or refused.
    fn line(&mut self, layout: &Layout, record: &ByteRecord) -> Option<Line> {
        let number = record.position().map_or(0, |position| {
            let line = usize::try_from(position.line()).unwrap_or_default();
            line + usize::from(layout.is_crlf && position.byte() > 0)
        });
        if record.iter().all(<[u8]>::is_empty) {
            return None;
        }
        self.table.rows += 1;
        let whole: Result<Vec<&str>, _> = record.iter().map(std::str::from_utf8).collect();
        let Ok(columns) = whole else {
            self.refuse(
                number,
                "The line is not UTF-8.",
                "Save the file as CSV UTF-8 and import it again.",
            );
            return None;
        };
        let column = |at: Option<usize>| {
            at.and_then(|at| columns.get(at))
                .map(|text| text.trim())
                .filter(|text| !text.is_empty())
        };
        let key = columns.get(layout.key).copied().unwrap_or_default();
        if let Some((reason, cure)) = damage(key, self.usual) {
            self.refuse(number, reason, cure);
            return None;
        }
        let is_sold = column(layout.order).is_some_and(|order| order != "0" && !order.eq_ignore_ascii_case("null"))
            || column(layout.status).is_some_and(|status| {
                let status = status.to_ascii_lowercase();
                matches!(
                    status.as_str(),
                    "sold" | "delivered" | "redeemed" | "used" | "expired" | "cancelled" | "failed" | "revoked"
                ) || (layout.form == Form::LicenseManager && matches!(status.as_str(), "1" | "2"))
            });
        Some(Line {
            number,
            key: key.to_owned(),
            product: column(layout.product).map(str::to_owned),
            is_sold,
        })
    }

    async fn bring(&mut self, lines: Vec<Line>) -> Result<(), ImportError> {
        let products: Vec<String> = lines.iter().filter_map(|line| line.product.clone()).collect();
        let games = if self.fixed.is_some() {
            HashMap::new()
        } else {
            imports::find_games(self.target.store, &products).await?
        };
        let mut keys = Vec::with_capacity(lines.len());
        let mut numbers = HashMap::new();
        for line in lines {
            let Ok(text) = KeyText::new(&line.key) else { continue };
            let game = self.fixed.or_else(|| games.get(line.product.as_deref()?).copied());
            let Some(game) = game else {
                let product = line.product.unwrap_or_default();
                self.refuse(
                    line.number,
                    format!("No game is known as {product:?}."),
                    "Import the products first, or give --game.",
                );
                continue;
            };
            let hashes: Vec<[u8; 32]> = self.target.secrets.hashes(HASH, &[text.expose().as_bytes()]).collect();
            let Some(first) = hashes.first().copied() else { continue };
            if let Some(before) = self.seen.get(&first) {
                self.duplicate(line.number, format!("The same key is on line {before}."));
                continue;
            }
            self.seen.insert(first, line.number);
            let foreign_id = hex::encode(first);
            let id = own_id("keys", "key", &foreign_id);
            numbers.insert(foreign_id.clone(), line.number);
            keys.push(StockKey {
                foreign_id,
                id,
                game_id: game,
                sealed: hex::encode(self.target.secrets.seal(&place(KeyId(id)), text.expose().as_bytes())),
                hashes: hashes.into_iter().map(hex::encode).collect(),
                activated: line.is_sold,
                activation_date: None,
                created_at: None,
            });
        }
        let all: Vec<Vec<String>> = keys.iter().map(|key| key.hashes.clone()).collect();
        let owners = imports::owners_of_keys(self.target.store, &all.concat()).await?;
        let new = match self.run {
            Some(run) => imports::put_keys(self.target.store, run, &keys).await?,
            None => keys
                .iter()
                .filter(|key| !key.hashes.iter().any(|hash| owners.contains_key(hash)))
                .map(|key| key.foreign_id.clone())
                .collect(),
        };
        self.table.taken += new.len() as u64;
        for key in keys.iter().filter(|key| !new.contains(&key.foreign_id)) {
            let owner = key.hashes.iter().find_map(|hash| owners.get(hash));
            let why = match owner {
                Some(Some(order)) => format!("Order {order} owns this key."),
                Some(None) => "This key is in stock already.".to_owned(),
                None => "This key was brought before.".to_owned(),
            };
            self.duplicate(numbers.get(&key.foreign_id).copied().unwrap_or_default(), why);
        }
        Ok(())
    }
}

/// What happened to a key on its way, with the cure.
fn damage(text: &str, usual: Option<usize>) -> Option<(String, &'static str)> {
    const AGAIN: &str = "Export the keys again without opening the file in a spreadsheet.";
    let text = text.trim();
    if text.len() >= CUT_AT && text.chars().count() == CUT_AT {
        return Some((
            "The key has exactly 1,000 characters: the other shop's import has cut it.".into(),
            "Enter it from its source.",
        ));
    }
    if text.len() >= ENCRYPTED_FROM
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    {
        return Some((
            "The key is encrypted.".into(),
            "Export again on the shop's own server, where the plugin's secret file is, so that keys are in clear.",
        ));
    }
    if let Err(fault) = KeyText::new(text) {
        let cure = match fault.code() {
            "spreadsheet" => AGAIN,
            _ => "Correct the line and import the file again.",
        };
        return Some((fault.reason().to_owned(), cure));
    }
    if is_date(text) {
        return Some(("This is a date: a spreadsheet has changed the key.".into(), AGAIN));
    }
    let is_digits = text.bytes().all(|b| b.is_ascii_digit());
    if is_digits && usual.is_some_and(|usual| text.len() < usual) {
        return Some((
            "The key has fewer digits than the others: leading zeros may be lost.".into(),
            AGAIN,
        ));
    }
    None
}

/// Whether a text has the form in which spreadsheets write dates: `Mar-24`, `1-Mar-24`, `01.03.2024`, `2024-03-01`.
fn is_date(text: &str) -> bool {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let parts: Vec<&str> = text
        .split(['-', '.', '/', ' '])
        .filter(|part| !part.is_empty())
        .collect();
    let number = |part: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let month = |part: &str| {
        part.get(..3)
            .is_some_and(|head| MONTHS.contains(&head.to_ascii_lowercase().as_str()))
            && part.len() <= 4
    };
    match parts.as_slice() {
        [a, b] => (month(a) && number(b, 2..=4)) || (number(a, 1..=2) && month(b)),
        [a, b, c] => {
            (number(a, 1..=2) && (month(b) || number(b, 1..=2)) && (number(c, 2..=2) || number(c, 4..=4)))
                || (number(a, 4..=4) && number(b, 2..=2) && number(c, 2..=2))
        }
        _ => false,
    }
}

/// The form of a file, from its first line.
fn layout(file: &mut File) -> Result<Layout, String> {
    let mut head = vec![0; 8 * 1024];
    let mut many = 0;
    while let Some(rest) = head.get_mut(many..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).map_err(|error| error.to_string())? {
            0 => break,
            more => many += more,
        }
    }
    head.truncate(many);
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) || head.contains(&0) {
        return Err("the file is UTF-16; save it as CSV UTF-8".into());
    }
    let head = head.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(&head);
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_crlf = first.ends_with(b"\r");
    let first = String::from_utf8_lossy(first).trim().to_owned();
    let separator = [',', ';', '\t']
        .into_iter()
        .max_by_key(|separator| first.matches(*separator).count())
        .filter(|separator| first.contains(*separator));
    let names: Vec<String> = match separator {
        Some(separator) => first.split(separator).map(heading).collect(),
        None => vec![heading(&first)],
    };
    let at = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let form = if at(&["license_key"]).is_some() {
        Form::LicenseManager
    } else if at(&["serial_key"]).is_some() {
        Form::SerialNumbers
    } else {
        Form::Plain
    };
    let key = at(&["license_key", "serial_key"]);
    let is_list_heading = form == Form::Plain && names.len() == 1 && at(&["key", "keys", "code", "codes"]).is_some();
    if form == Form::Plain && names.len() > 1 && at(&["key", "game", "product_id"]).is_some() {
        return Err(
            "its columns are none of License Manager or WC Serial Numbers; import game, key, cost in the console"
                .into(),
        );
    }
    Ok(Layout {
        form,
        separator: separator
            .filter(|_| form != Form::Plain)
            .map_or(b',', |separator| u8::try_from(separator).unwrap_or(b',')),
        is_crlf,
        has_heading: form != Form::Plain || is_list_heading,
        key: key.unwrap_or(0),
        product: at(&["product_id"]).filter(|_| form != Form::Plain),
        order: at(&["order_id"]).filter(|_| form != Form::Plain),
        status: at(&["status"]).filter(|_| form != Form::Plain),
    })
}

fn heading(text: &str) -> String {
    text.trim().trim_matches('"').trim().to_lowercase().replace(' ', "_")
}

fn reader<'f>(file: &'f mut File, layout: &Layout) -> Result<Reader<BufReader<&'f mut File>>, String> {
    file.rewind().map_err(|error| error.to_string())?;
    let mut mark = [0; 3];
    let is_marked = file.read_exact(&mut mark).is_ok() && mark == [0xef, 0xbb, 0xbf];
    if !is_marked {
        file.rewind().map_err(|error| error.to_string())?;
    }
    let is_list = layout.form == Form::Plain;
    Ok(ReaderBuilder::new()
        // A list has no columns: its lines are keys, whatever is in them.
        .delimiter(if is_list { b'\x1f' } else { layout.separator })
        .quoting(!is_list)
        .has_headers(layout.has_heading)
        .flexible(true)
        .from_reader(BufReader::new(file)))
}

/// How many keys of digits there are of each length.
fn lengths(file: &mut File, layout: &Layout) -> Result<HashMap<usize, usize>, String> {
    let mut reader = reader(file, layout)?;
    let mut record = ByteRecord::new();
    let mut lengths = HashMap::new();
    while reader
        .read_byte_record(&mut record)
        .map_err(|error| error.to_string())?
    {
        if let Some(key) = record.get(layout.key).map(<[u8]>::trim_ascii)
            && !key.is_empty()
            && key.iter().all(u8::is_ascii_digit)
        {
            *lengths.entry(key.len()).or_default() += 1;
        }
    }
    Ok(lengths)
}

/// The length that at least four fifths of the keys of digits have.
fn usual(lengths: &HashMap<usize, usize>) -> Option<usize> {
    let all: usize = lengths.values().sum();
    lengths
        .iter()
        .find(|(_, many)| **many >= USUAL_FROM && **many * 5 >= all * 4)
        .map(|(length, _)| *length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_did_is_seen_and_ordinary_keys_are_not_suspected() {
        for bad in [
            "1.23E+15",
            "1,23E+15",
            "#NAME?",
            "Mar-24",
            "MAR-2024",
            "1-Mar-24",
            "01.03.2024",
            "2024-03-01",
            "3/1/2024",
            "123456",
        ] {
            assert!(damage(bad, Some(8)).is_some(), "{bad}");
        }
        for good in [
            "AAAAA-BBBBB-CCCCC",
            "12345678",
            "MARCH-2024-XY",
            "AB-12-CD",
            "ABCD",
            "user: ada\npassword: x",
        ] {
            assert_eq!(damage(good, Some(8)), None, "{good}");
        }
        let cut = "x-".repeat(500);
        assert!(damage(&cut, None).unwrap().0.contains("1,000"));
        assert!(damage(&"ab12".repeat(30), None).unwrap().0.contains("encrypted"));
    }

    #[test]
    fn a_length_is_usual_when_nearly_all_keys_of_digits_have_it() {
        assert_eq!(usual(&HashMap::from([(12, 9), (11, 1)])), Some(12));
        assert_eq!(usual(&HashMap::from([(12, 5), (11, 5)])), None);
        assert_eq!(usual(&HashMap::from([(12, 3)])), None);
    }
}
