//! The addresses of the feeds for comparers, search engines and agents.

use axum::response::Response;
use lockstep_page::error::PageError;

use super::layout;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

/// File and reader of each feed.
const FEEDS: [(&str, &str); 5] = [
    ("google.xml", "content.feeds.google"),
    ("prices.csv", "content.feeds.csv"),
    ("prices.xml", "content.feeds.xml"),
    ("prices.json", "content.feeds.json"),
    ("agentic.jsonl.gz", "content.feeds.agentic"),
];

/// The setting of the part of the addresses that nobody guesses.
const SECRET: &str = "LOCKSTEP_FEED_SECRET";

/// `GET /admin/content/feeds`
pub(super) async fn page(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let settings = staff.office().settings_in_force(&staff.admin);
    // Staff who may read this page need not know the secret.
    let is_secret = settings
        .iter()
        .any(|setting| setting.name == SECRET && setting.value.is_some());
    let (folder, lead) = if is_secret {
        ("/feeds/…", "content.feeds.lead.secret")
    } else {
        ("/feeds", "content.feeds.lead")
    };
    let rows = FEEDS.iter().map(|(file, reader)| Row {
        href: None,
        cells: vec![
            Cell::Main(words.text(reader).to_owned()),
            Cell::Code(format!("{}{folder}/{file}", staff.state.settings.public_url)),
        ],
    });
    ListPage {
        layout: layout(&staff, words.text("content.feeds").to_owned(), &[]),
        lead: Some(words.text(lead).to_owned()),
        actions: Vec::new(),
        table: Table::plain(
            words,
            "content.feeds",
            &["content.feeds.reader", "content.feeds.address"],
            rows.collect(),
        ),
    }
    .answer(&staff)
    .await
}
