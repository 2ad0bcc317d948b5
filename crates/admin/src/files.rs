//! Lists of staff as CSV files, which are made while they are read.
//!
//! A task of its own reads the list through a cursor, a few hundred rows at a time, and sends one piece at a time: until the
//! reader takes it, nothing more is read. So a file takes a few hundred kilobytes of memory, whatever its length. It also
//! takes a database connection of its own and a snapshot; therefore few run at one time, a reader that takes nothing for [`STALL`] is
//! dropped, and so is one that is not finished after [`LONGEST`].
//!
//! The format is RFC 4180 in UTF-8, with a byte order mark: without one, Excel reads the file in the encoding of its
//! computer and shows `Ã¼` for `ü`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lockstep_auth::Admin;
use lockstep_store::admin::files::{self, Kind, List};
use lockstep_store::{Store, StoreError};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::BackOffice;

/// Maximum number of files that a process makes at one time.
pub(crate) const FILES_AT_ONCE: usize = 2;
/// How long a reader may take nothing before it is dropped. Less than PostgreSQL waits in a transaction.
const STALL: Duration = Duration::from_secs(20);
/// How long a reader may take for the whole file.
const LONGEST: Duration = Duration::from_mins(5);

/// Why a file was not begun.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// This process makes as many files as it may.
    #[error("other files are being made")]
    Busy,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a file ended early.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("its client disconnected")]
    ReaderGone,
    #[error("its client read nothing for {} s", STALL.as_secs())]
    ReaderStalled,
    #[error("it was not done after {} s", LONGEST.as_secs())]
    TooLong,
    #[error("a row could not be written: {0}")]
    Csv(#[from] csv::Error),
    #[error("the database: {0}")]
    Store(#[from] StoreError),
}

/// A file that is being made. Dropping it ends it.
#[derive(Debug)]
pub struct ListFile {
    pieces: mpsc::Receiver<Piece>,
    is_whole: bool,
}

#[derive(Debug)]
enum Piece {
    Some(Bytes),
    /// Everything was read.
    End,
}

/// The file is truncated; the response must be aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the list could not be read to its end")]
pub struct Truncated;

impl ListFile {
    /// The next bytes; `None` after the last ones.
    ///
    /// # Errors
    /// [`Truncated`], in place of the last bytes.
    pub async fn next(&mut self) -> Option<Result<Bytes, Truncated>> {
        if self.is_whole {
            return None;
        }
        match self.pieces.recv().await {
            Some(Piece::Some(bytes)) => Some(Ok(bytes)),
            Some(Piece::End) => {
                self.is_whole = true;
                None
            }
            None => Some(Err(Truncated)),
        }
    }
}

impl BackOffice {
    /// Begins a CSV file of `list`; with `is_empty`, of no row of it. Recorded in the audit log before the first byte.
    ///
    /// # Errors
    /// [`FileError`].
    #[tracing::instrument(name = "admin.file", skip_all)]
    pub async fn file(&self, by: &Admin, list: List, is_empty: bool) -> Result<ListFile, FileError> {
        let place = Arc::clone(&self.files).try_acquire_owned();
        let place = place.map_err(|_taken| FileError::Busy)?;
        files::record(&self.store, by.caller().user(), &list).await?;
        let (sender, pieces) = mpsc::channel(1);
        let store = self.store.clone();
        let writing = async move {
            let name = list.name();
            let written = tokio::time::timeout(LONGEST, write(&store, list, is_empty, &sender))
                .await
                .unwrap_or(Err(Ended::TooLong));
            drop(place);
            match written {
                Ok(()) => drop(tokio::time::timeout(STALL, sender.send(Piece::End)).await),
                Err(ended) => tracing::info!("a file of {name} was not read to its end: {ended}"),
            }
        };
        tokio::spawn(writing.in_current_span());
        Ok(ListFile {
            pieces,
            is_whole: false,
        })
    }
}

/// Sends the file, piece by piece.
async fn write(store: &Store, list: List, is_empty: bool, reader: &mpsc::Sender<Piece>) -> Result<(), Ended> {
    let columns = list.columns();
    let mut head = "\u{feff}".as_bytes().to_vec();
    head.extend(lines([columns.iter().map(|(name, _)| (*name).to_owned()).collect()])?);
    send(reader, head.into()).await?;
    if is_empty {
        return Ok(());
    }
    let reader = reader.clone();
    // Not one of those that shoppers' reads wait for.
    let own = store.apart(1);
    let read = own.read(move |tx| {
        Box::pin(async move {
            files::open(tx, &list).await?;
            loop {
                let rows = files::next(tx).await?;
                if rows.is_empty() {
                    return Ok::<_, Ended>(());
                }
                let rows = rows.into_iter().map(|row| cells(row, columns));
                send(&reader, lines(rows)?.into()).await?;
            }
        })
    });
    read.await.map(|_| ())
}

/// The cells of a row.
fn cells(row: Vec<Option<String>>, columns: &[(&str, Kind)]) -> Vec<String> {
    let cells = row.into_iter().map(Option::unwrap_or_default).zip(columns);
    cells
        .map(|(cell, (_, kind))| if *kind == Kind::Text { harmless(&cell) } else { cell })
        .collect()
}

/// Text that no spreadsheet program takes for a formula: what begins like one, behind blanks or not, gets an apostrophe
/// in front. So does what follows a semicolon, at which Excel splits lines in some languages.
fn harmless(text: &str) -> String {
    let begins_like_a_formula = |text: &str| {
        text.starts_with(['\t', '\r', '\n'])
            || (text.trim_start()).starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
    };
    let parts: Vec<String> = text
        .split(';')
        .map(|part| {
            if begins_like_a_formula(part) {
                format!("'{part}")
            } else {
                part.to_owned()
            }
        })
        .collect();
    parts.join(";")
}

fn lines(rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, Ended> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        writer.write_record(&row)?;
    }
    writer
        .into_inner()
        .map_err(|error| Ended::Csv(error.into_error().into()))
}

/// Sends a piece once the reader has taken the one before.
async fn send(reader: &mpsc::Sender<Piece>, bytes: Bytes) -> Result<(), Ended> {
    match tokio::time::timeout(STALL, reader.send(Piece::Some(bytes))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_gone)) => Err(Ended::ReaderGone),
        Err(_elapsed) => Err(Ended::ReaderStalled),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a spreadsheet program takes for the beginning of a formula.
    const STARTS: [char; 11] = [
        '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ];

    fn read(bytes: &[u8]) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(bytes);
        let rows = reader
            .records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect());
        rows.collect()
    }

    proptest! {
        /// Whatever is in a cell, a reader of CSV finds the same again, but for the apostrophe in front of a formula.
        #[test]
        fn cells_are_found_again(cells in prop::collection::vec(("[=+@\t\r\n\",;'ü -]{0,3}.{0,6}", any::<bool>()), 2..6)) {
            let columns: Vec<(&str, Kind)> =
                cells.iter().map(|(_, is_text)| ("c", if *is_text { Kind::Text } else { Kind::Plain })).collect();
            let row = cells.iter().map(|(cell, _)| Some(cell.clone())).collect();
            let file = lines([super::cells(row, &columns)]).unwrap();
            let found = read(&["\u{feff}".as_bytes(), &file].concat());
            prop_assert_eq!(found.len(), 1);
            for ((wanted, is_text), cell) in cells.iter().zip(&found[0]) {
                if *is_text {
                    prop_assert_eq!(cell.split(';').count(), wanted.split(';').count());
                    for (part, wanted) in cell.split(';').zip(wanted.split(';')) {
                        prop_assert!(!part.starts_with(STARTS), "{:?}", cell);
                        prop_assert!(part == wanted || part.strip_prefix('\'') == Some(wanted));
                    }
                } else {
                    prop_assert_eq!(cell, wanted);
                }
            }
        }
    }

    #[test]
    fn lines_are_quoted_as_in_rfc_4180() {
        let row = ["1", "say \"hi\"", "a,b", "two\nlines", ""].map(str::to_owned).to_vec();
        let file = lines([row]).unwrap();
        assert_eq!(
            String::from_utf8(file).unwrap(),
            "1,\"say \"\"hi\"\"\",\"a,b\",\"two\nlines\",\r\n"
        );
    }
}
