//! The table of every list: saved views as tabs, filters as a form of the address with removable chips, a choice of columns,
//! rows that lead to their page, pages, and the list as a file. On a phone each row is a card.

mod views;

use askama::Template;
use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt as _, stream};
use lockstep_admin::{FileError, List};
use lockstep_domain::Money;
use lockstep_domain::admin::Paging;
use lockstep_page::error::PageError;
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};

use crate::layout::Layout;
use crate::staff::Staff;

pub(crate) use views::{Views, query_of};

/// What stands in a cell.
pub(crate) enum Cell {
    Text(String),
    /// A text of another program, which is English in every language of the page.
    English(String),
    /// The name of the row, which leads to its page.
    Main(String),
    /// An ID or a code.
    Code(String),
    /// A number or an amount.
    Number(String),
    /// A state: how it is coloured, and its name.
    Tag(&'static str, String),
    /// A moment: machine-readable, and in words.
    Time(String, String),
    /// A link to another page: name and address.
    Link(String, String),
    /// A button that sends a form without fields: its address, and label.
    Post(String, &'static str),
    /// Something to do with the row: address of its page, and label.
    Action(String, &'static str),
    /// A checkbox of the form [`PICKED`], which picks the row: its value.
    Pick(String),
    Nothing,
}

impl Cell {
    pub(crate) fn money(words: Language, amount: Money) -> Self {
        Self::Number(format::price(words, amount))
    }

    pub(crate) fn number(words: Language, number: u64) -> Self {
        Self::Number(format::number(words, number))
    }

    pub(crate) fn time(words: Language, at: DateTime<Utc>) -> Self {
        Self::Time(machine(at), format::moment(words, at))
    }

    pub(crate) fn time_or_none(words: Language, at: Option<DateTime<Utc>>) -> Self {
        at.map_or(Self::Nothing, |at| Self::time(words, at))
    }

    pub(crate) fn text_or_none(text: Option<String>) -> Self {
        text.filter(|text| !text.is_empty()).map_or(Self::Nothing, Self::Text)
    }
}

/// The id of the form below a table whose rows can be picked.
pub(crate) const PICKED: &str = "picked";

/// A moment in machine-readable form.
pub(crate) fn machine(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The parameter that names the columns of a list, once for each.
const COLUMNS: &str = "columns";

/// Columns in which something is done with a row, also while there is nothing to do: no reader leaves them out.
const CONTROLS: [&str; 2] = ["pick", "action"];

/// The head of a column.
pub(crate) struct Head {
    /// Its name in the address.
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) is_number: bool,
}

/// A column that a reader can leave out.
pub(crate) struct Column {
    /// Its name in the address.
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) is_shown: bool,
}

/// The form that chooses the columns of a list.
pub(crate) struct Columns {
    pub(crate) all: Vec<Column>,
    /// The other parameters of the list.
    pub(crate) kept: Vec<(String, String)>,
    /// The list with all columns, if some are left out.
    pub(crate) reset: Option<String>,
}

/// A row.
pub(crate) struct Row {
    /// The page that it leads to.
    pub(crate) href: Option<String>,
    pub(crate) cells: Vec<Cell>,
}

impl Row {
    /// What the row is about, for a button whose label says only what it does.
    pub(crate) fn name(&self) -> &str {
        let mut names = self.cells.iter().filter_map(|cell| match cell {
            Cell::Main(text) | Cell::Text(text) | Cell::Code(text) => Some(text.as_str()),
            _ => None,
        });
        names.next().unwrap_or_default()
    }
}

/// A control that narrows the list.
pub(crate) struct Filter {
    /// Its parameter in the address.
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    /// The `type` of its input; empty for a choice of `options`.
    pub(crate) kind: &'static str,
    pub(crate) value: String,
    /// Value and name of each choice.
    pub(crate) options: Vec<(String, String)>,
}

impl Filter {
    /// A text to look for.
    pub(crate) fn text(staff: &Staff, name: &'static str, label: &'static str) -> Self {
        Self {
            name,
            label,
            kind: "search",
            value: staff.parameter(name).unwrap_or_default(),
            options: Vec::new(),
        }
    }

    /// A day.
    pub(crate) fn day(staff: &Staff, name: &'static str, label: &'static str) -> Self {
        Self {
            kind: "date",
            ..Self::text(staff, name, label)
        }
    }

    /// One of several values.
    pub(crate) fn choice(
        staff: &Staff,
        name: &'static str,
        label: &'static str,
        options: Vec<(String, String)>,
    ) -> Self {
        Self {
            kind: "",
            options,
            ..Self::text(staff, name, label)
        }
    }

    /// The value as a chip shows it.
    fn shown(&self) -> &str {
        let option = self.options.iter().find(|(value, _)| *value == self.value);
        option.map_or(&self.value, |(_, name)| name)
    }
}

/// A filter in force: what it says, and the list without it.
pub(crate) struct Chip {
    pub(crate) text: String,
    pub(crate) without: String,
}

/// Pages of a list: those before and after, and what it is out of.
pub(crate) struct Pager {
    pub(crate) previous: Option<String>,
    pub(crate) next: Option<String>,
    pub(crate) place: String,
}

/// What an empty list says.
pub(crate) struct Empty {
    pub(crate) title: &'static str,
    pub(crate) advice: &'static str,
}

/// A list.
pub(crate) struct Table {
    /// Its name, for screen readers.
    pub(crate) caption: String,
    pub(crate) head: Vec<Head>,
    pub(crate) rows: Vec<Row>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) chips: Vec<Chip>,
    /// The address of the list, without parameters.
    pub(crate) address: String,
    pub(crate) pager: Option<Pager>,
    /// How many rows there are in all.
    pub(crate) count: Option<String>,
    /// The same list as a file.
    pub(crate) csv: Option<String>,
    /// When it was read: machine-readable, and in words.
    pub(crate) as_of: Option<(String, String)>,
    pub(crate) empty: Empty,
    /// Tabs with the saved views of the list.
    pub(crate) views: Option<Views>,
    pub(crate) columns: Option<Columns>,
    /// The page of all rows, where these are only some.
    pub(crate) more: Option<String>,
    /// Parameters that the form of the filters keeps.
    pub(crate) kept: Vec<(String, String)>,
    /// Every column, also those in which no row has anything.
    all: Vec<Head>,
    /// Parameters of the list that are no filters.
    own: &'static [&'static str],
}

/// The head of a column, by the key of its text: `#` stands before that of numbers.
fn head(words: Language, key: &'static str) -> Head {
    let (is_number, key) = key.strip_prefix('#').map_or((false, key), |key| (true, key));
    Head {
        name: key.rsplit('.').next().unwrap_or(key),
        label: words.text(key),
        is_number,
    }
}

impl Table {
    /// A table without filters or pages. The names of columns of numbers begin with `#`. A column in which no row has
    /// anything is left out.
    pub(crate) fn plain(words: Language, caption: &str, heads: &[&'static str], rows: Vec<Row>) -> Self {
        let is_used = |at: usize| {
            let mut cells = rows.iter().filter_map(|row| row.cells.get(at));
            rows.is_empty() || cells.any(|cell| !matches!(cell, Cell::Nothing))
        };
        let used: Vec<bool> = (0..heads.len()).map(is_used).collect();
        let mut table = Self::whole(words, caption, heads, rows);
        table.keep(&used);
        table
    }

    /// The same with every column.
    fn whole(words: Language, caption: &str, heads: &[&'static str], rows: Vec<Row>) -> Self {
        let heads = || heads.iter().map(|key| head(words, key)).collect();
        Self {
            caption: words.text(caption).to_owned(),
            head: heads(),
            all: heads(),
            rows,
            filters: Vec::new(),
            chips: Vec::new(),
            address: String::new(),
            pager: None,
            count: None,
            csv: None,
            as_of: None,
            empty: Empty {
                title: words.text("console.table.none"),
                advice: "",
            },
            views: None,
            columns: None,
            more: None,
            kept: Vec::new(),
            own: &[],
        }
    }

    /// Leaves out the columns whose place in `stays` is false.
    fn keep(&mut self, stays: &[bool]) {
        let mut at = stays.iter();
        self.head.retain(|_| at.next().copied().unwrap_or(true));
        for row in &mut self.rows {
            let mut at = stays.iter();
            row.cells.retain(|_| at.next().copied().unwrap_or(true));
        }
    }

    /// Names parameters of the list that are no filters, so that saved views keep them.
    pub(crate) fn reads(mut self, parameters: &'static [&'static str]) -> Self {
        self.own = parameters;
        self
    }

    /// Leaves the columns that the address names, with a form that chooses them, and adds the saved views of the list.
    pub(crate) async fn finished(mut self, staff: &Staff) -> Result<Self, PageError> {
        self.choose_columns(staff);
        self.views = views::of(staff, &self).await?;
        Ok(self)
    }

    /// Columns that name a row, or in which something is done with it, always stay.
    fn choose_columns(&mut self, staff: &Staff) {
        staff.visit.uri.path().clone_into(&mut self.address);
        let is_fixed = |at: usize| {
            self.rows.iter().any(|row| {
                let cell = row.cells.get(at);
                matches!(
                    cell,
                    Some(Cell::Main(_) | Cell::Pick(_) | Cell::Action(..) | Cell::Post(..))
                )
            })
        };
        let heads = self.head.iter().enumerate();
        let fixed: Vec<&str> = heads
            .filter(|(at, _)| is_fixed(*at))
            .map(|(_, head)| head.name)
            .collect();
        let mut asked = staff.parameters(COLUMNS);
        asked.retain(|name| self.all.iter().any(|head| head.name == name) && !fixed.contains(&name.as_str()));
        let is_shown = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
        let stays: Vec<bool> = self
            .head
            .iter()
            .map(|head| fixed.contains(&head.name) || is_shown(head.name))
            .collect();
        let all: Vec<Column> = self
            .all
            .iter()
            .filter(|head| !fixed.contains(&head.name) && !CONTROLS.contains(&head.name))
            .map(|head| Column {
                name: head.name,
                label: head.label,
                is_shown: is_shown(head.name),
            })
            .collect();
        let has_left_out = !asked.is_empty();
        let pairs = || staff.visit.pairs().filter(|(_, value)| !value.is_empty());
        self.kept = pairs()
            .filter(|(name, _)| name == COLUMNS || name == views::VIEW)
            .collect();
        self.columns = (all.len() > 1).then(|| Columns {
            all,
            kept: pairs()
                .filter(|(name, _)| name != COLUMNS && !PASSING.contains(&name.as_str()))
                .collect(),
            reset: has_left_out.then(|| address(staff, &self.address, &[(COLUMNS, "")])),
        });
        self.keep(&stays);
    }

    /// The label of a column. Templates pass what they count, by reference.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as templates pass it")]
    pub(crate) fn label(&self, at: &usize) -> &'static str {
        self.head.get(*at).map_or("", |head| head.label)
    }

    /// Adds filters, and a chip for each that is in force.
    pub(crate) fn filtered(mut self, staff: &Staff, filters: Vec<Filter>) -> Self {
        let path = staff.visit.uri.path();
        self.chips = filters
            .iter()
            .filter(|filter| !filter.value.is_empty())
            .map(|filter| Chip {
                text: format!("{}: {}", filter.label, filter.shown()),
                without: address(
                    staff,
                    path,
                    &[(filter.name, ""), ("page", ""), ("after", ""), ("before", "")],
                ),
            })
            .collect();
        path.clone_into(&mut self.address);
        self.filters = filters;
        if !self.chips.is_empty() {
            self.empty = Empty {
                title: staff.words().text("console.table.no_match"),
                advice: staff.words().text("console.table.no_match.advice"),
            };
        }
        self
    }

    /// Adds the pages of the list, and when it was read.
    pub(crate) fn paged(mut self, staff: &Staff, paging: Paging) -> Self {
        let (words, path) = (staff.words(), staff.visit.uri.path());
        let to = |number: u32| address(staff, path, &[("page", &number.to_string())]);
        let page = u64::from(paging.page);
        self.pager = (paging.total_pages > 1 || page > 1).then(|| Pager {
            previous: (page > 1).then(|| to(paging.page - 1)),
            next: (page < paging.total_pages).then(|| to(paging.page.saturating_add(1))),
            place: words.with_all(
                "console.table.page",
                &[&format::number(words, page), &format::number(words, paging.total_pages)],
            ),
        });
        self.count = Some(words.count("console.table.rows", paging.total));
        self.as_of = Some((machine(staff.now), format::moment(words, staff.now)));
        self
    }

    /// Adds the pages of a list that begin after or before a row, and when it was read. `before` and `after` name the first
    /// and the last row, if there are others beyond.
    pub(crate) fn placed(
        mut self,
        staff: &Staff,
        total: u64,
        before: Option<String>,
        after: Option<String>,
        as_of: DateTime<Utc>,
    ) -> Self {
        let (words, path) = (staff.words(), staff.visit.uri.path());
        let to = |name: &str, other: &str, place: String| address(staff, path, &[(other, ""), (name, &place)]);
        self.pager = (before.is_some() || after.is_some()).then(|| Pager {
            previous: before.map(|place| to("before", "after", place)),
            next: after.map(|place| to("after", "before", place)),
            place: String::new(),
        });
        self.count = Some(words.count("console.table.rows", total));
        self.as_of = Some((machine(as_of), format::moment(words, as_of)));
        self
    }

    /// Adds the list as a file.
    pub(crate) fn with_file(mut self, staff: &Staff) -> Self {
        self.csv = Some(address(
            staff,
            staff.visit.uri.path(),
            &[("format", "csv"), ("page", ""), ("after", ""), ("before", "")],
        ));
        self
    }

    /// Sets what the list says when it is empty without a filter.
    pub(crate) fn or_else(mut self, words: Language, title: &str, advice: &str) -> Self {
        if self.chips.is_empty() {
            self.empty = Empty {
                title: words.text(title),
                advice: words.text(advice),
            };
        }
        self
    }
}

/// Parameters about one answer only.
const PASSING: [&str; 3] = ["done", "amount", "format"];

/// `path` with the parameters of this page's address, some of them replaced; an empty value leaves one out.
pub(crate) fn address(staff: &Staff, path: &str, changes: &[(&str, &str)]) -> String {
    let kept = staff
        .visit
        .pairs()
        .filter(|(name, value)| {
            !value.is_empty()
                && !PASSING.contains(&name.as_str())
                && !changes.iter().any(|(changed, _)| changed == name)
        })
        .collect::<Vec<_>>();
    let kept = kept.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    with_query(path, kept.chain(changes.iter().copied()))
}

/// `path` with these parameters; those without a value are left out.
pub(crate) fn with_query<'p>(path: &str, pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// A page that is one list.
#[derive(Template)]
#[template(path = "list.html")]
pub(crate) struct ListPage {
    pub(crate) layout: Layout,
    pub(crate) lead: Option<String>,
    /// What else can be done here: label and address, the main one first.
    pub(crate) actions: Vec<(&'static str, String)>,
    pub(crate) table: Table,
}

impl ListPage {
    /// The response that shows the list, with the saved views and the columns that the address names.
    pub(crate) async fn answer(mut self, staff: &Staff) -> Result<Response, PageError> {
        self.table = self.table.finished(staff).await?;
        page::private(&self)
    }
}

/// Whether the list is asked for as a file.
pub(crate) fn wants_file(staff: &Staff) -> bool {
    staff.parameter("format").as_deref() == Some("csv")
}

/// The list as a file, as the API streams it; only its head if `is_empty`.
pub(crate) async fn file(staff: &Staff, list: List, is_empty: bool) -> Result<Response, PageError> {
    let name = format!(
        "attachment; filename=\"{}-{}.csv\"",
        list.name(),
        staff.now.format("%Y-%m-%d")
    );
    let file = staff.office().file(&staff.admin, list, is_empty).await;
    let file = file.map_err(|error| match error {
        FileError::Busy => PageError::Offline,
        FileError::Store(error) => error.into(),
    })?;
    // Fused, because compression polls once more after the end.
    let pieces = stream::unfold(file, |mut file| async move { Some((file.next().await?, file)) }).fuse();
    let kind = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    Ok(attachment(Body::from_stream(pieces), kind, &name))
}

/// A file to store.
pub(crate) fn attachment(body: Body, kind: HeaderValue, disposition: &str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Names consist of ids, dates and an extension.
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}
