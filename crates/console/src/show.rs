//! States and kinds in the reader's words, and how they are coloured.

use lockstep_domain::order::{OrderStatus, TransactionType};
use lockstep_page::i18n::Language;

use crate::table::Cell;

/// The text of a value that comes from data, or the value itself.
pub(crate) fn name(words: Language, group: &str, value: &str) -> String {
    let known = words.find(&format!("console.{group}.{value}"));
    known.map_or_else(|| value.to_owned(), str::to_owned)
}

/// What happened: an event of an order, or an entry of the audit log.
pub(crate) fn event(words: Language, what: &str) -> String {
    let known = words.find(&format!("console.event.{what}"));
    known
        .unwrap_or_else(|| what.strip_prefix("audit.").unwrap_or(what))
        .to_owned()
}

/// The values of a group, for a choice.
pub(crate) fn choices(
    words: Language,
    group: &str,
    values: impl IntoIterator<Item = &'static str>,
) -> Vec<(String, String)> {
    let values = values.into_iter();
    values
        .map(|value| (value.to_owned(), name(words, group, value)))
        .collect()
}

/// The state of an order.
pub(crate) fn order_status(words: Language, status: OrderStatus) -> (&'static str, String) {
    let kind = match status {
        OrderStatus::Completed => "good",
        OrderStatus::Failed => "bad",
        OrderStatus::Pending | OrderStatus::Processing => "warn",
        OrderStatus::Cancelled => "",
    };
    (kind, name(words, "order_status", status.as_str()))
}

/// The same as a cell.
pub(crate) fn order_cell(words: Language, status: OrderStatus) -> Cell {
    let (kind, name) = order_status(words, status);
    Cell::Tag(kind, name)
}

/// The kind of a booking.
pub(crate) fn booking(words: Language, kind: TransactionType) -> String {
    let key = match kind {
        TransactionType::TopUp => "console.booking.TOP_UP",
        TransactionType::Purchase => "console.booking.PURCHASE",
        TransactionType::Refund => "console.booking.REFUND",
    };
    words.text(key).to_owned()
}

/// The state of an order unit.
pub(crate) fn unit_state(words: Language, state: &str) -> (&'static str, String) {
    let kind = match state {
        "DONE" => "good",
        "LOST" => "bad",
        "REFUNDED" => "",
        _ => "warn",
    };
    (kind, name(words, "unit_state", state))
}

/// The state of a payment, a job or a run.
pub(crate) fn state_cell(words: Language, group: &str, state: &str) -> Cell {
    let kind = match state {
        "COMPLETED" => "good",
        "FAILED" | "INTERRUPTED" => "bad",
        "PENDING" | "PROCESSING" | "WAITING" | "RUNNING" => "warn",
        _ => "",
    };
    Cell::Tag(kind, name(words, group, state))
}

/// A text of at most `most` characters.
pub(crate) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let cut: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{cut}…")
}
