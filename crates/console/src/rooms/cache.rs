//! Cached answers: how many of each family Redis holds, and dropping them in every process.

use axum::response::Response;
use lockstep_domain::cache_pattern::CachePattern;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::format;
use lockstep_page::forms::{self, Form};
use lockstep_shop::Reached;

use crate::action::ActionPage;
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table, with_query};

/// `GET /admin/cache`
pub(crate) async fn page(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let survey = staff.state.shop.cache().survey().await;
    let may_drop = staff.may(Permission::SystemWrite);
    let rows = survey.keys.iter().map(|(pattern, count)| Row {
        href: None,
        cells: vec![
            Cell::Code((*pattern).to_owned()),
            Cell::number(words, *count),
            if may_drop {
                Cell::Action(
                    with_query("/admin/cache/drop", [("pattern", *pattern)]),
                    words.text("console.cache.drop"),
                )
            } else {
                Cell::Nothing
            },
        ],
    });
    let head = ["console.column.family", "#console.column.keys", "console.column.action"];
    let lead = match survey.reached {
        Reached::Connected => words.with_all(
            "console.cache.connected",
            &[
                &format::number(words, survey.total()),
                &format::number(words, survey.bytes / 1024),
            ],
        ),
        Reached::Disconnected => words.text("console.cache.disconnected").to_owned(),
        Reached::Refused => words.text("console.cache.refused").to_owned(),
    };
    let mut actions = Vec::new();
    if may_drop {
        let all = with_query("/admin/cache/drop", [("pattern", "*")]);
        actions.push((words.text("console.cache.drop_all"), all));
    }
    ListPage {
        layout: Layout::new(&staff, words.text("console.room.cache").to_owned(), &[]),
        lead: Some(lead),
        actions,
        table: Table::plain(words, "console.room.cache", &head, rows.collect()),
    }
    .answer(&staff)
    .await
}

/// `GET /admin/cache/drop`
pub(crate) async fn drop_page(staff: Staff) -> Result<Response, PageError> {
    let pattern = staff.parameter("pattern").unwrap_or_default();
    drop_form(&staff, &pattern, &Form::default()).await
}

async fn drop_form(staff: &Staff, pattern: &str, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let parsed = CachePattern::parse(pattern).map_err(|_unknown| PageError::NotFound)?;
    let count = staff.state.shop.cache().count(&parsed).await;
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("console.cache.drop.title").to_owned(),
            &[(words.text("console.room.cache"), "/admin/cache")],
        ),
        form,
        "/admin/cache/drop".to_owned(),
        words.text("console.cache.drop"),
        "/admin/cache".to_owned(),
    );
    page.effects = vec![
        (words.text("console.column.family").to_owned(), parsed.to_string()),
        (
            words.text("console.column.keys").to_owned(),
            format::number(words, count),
        ),
    ];
    page.warning = Some(words.text("console.cache.drop.warning").to_owned());
    page.hidden = vec![("pattern", parsed.to_string())];
    page.answer(form)
}

/// `POST /admin/cache/drop`
pub(crate) async fn drop_answers(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, form } = sent;
    let pattern = CachePattern::parse(form.value("pattern")).map_err(|_unknown| PageError::BadRequest)?;
    let cache = staff.state.shop.cache();
    let count = cache.count(&pattern).await;
    staff.office().drop_answers(&staff.admin, &pattern).await?;
    // Committed: every process refuses these answers within the lease, this one from now on. Removing the keys from
    // Redis only saves memory, and the evictor tries it again.
    cache.catch_up().await.ok();
    cache.drop_tags(pattern.tags()).await.ok();
    Ok(forms::done(&format!("/admin/cache?done=dropped&amount={count}")))
}
