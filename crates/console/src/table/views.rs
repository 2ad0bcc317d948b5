//! The saved views of a list: tabs above it, and forms that save what the address says.

use lockstep_admin::{SavedView, sharing};
use lockstep_page::error::PageError;
use uuid::Uuid;

use super::{COLUMNS, Table, with_query};
use crate::staff::Staff;

/// The parameter that names the view that was opened.
pub(super) const VIEW: &str = "view";

/// Parameters that are no part of a view.
const NOT_SAVED: [&str; 8] = ["page", "after", "before", VIEW, "done", "amount", "format", "lang"];

/// A view in the tabs.
pub(crate) struct Tab {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) is_current: bool,
    /// Others see it too.
    pub(crate) is_shared: bool,
}

/// The view that was opened.
pub(crate) struct Current {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) is_shared: bool,
    pub(crate) may_change: bool,
    /// The list shows something else than was saved.
    pub(crate) has_changed: bool,
    /// Filters and columns of it that no longer exist.
    pub(crate) gone: String,
    /// The list with what is left of it, if the address still has what is gone.
    pub(crate) rest: Option<String>,
}

/// The tabs and the forms.
pub(crate) struct Views {
    pub(crate) tabs: Vec<Tab>,
    pub(crate) current: Option<Current>,
    pub(crate) may_share: bool,
    /// The list, as a view names it.
    pub(crate) list: String,
    /// What a view saves now.
    pub(crate) query: String,
}

type Pairs = Vec<(String, String)>;

fn parsed(query: &str) -> Pairs {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// The parameters among `pairs` that a view saves, as in an address.
pub(crate) fn query_of(pairs: impl IntoIterator<Item = (String, String)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if !value.trim().is_empty() && !NOT_SAVED.contains(&name.as_str()) {
            query.append_pair(&name, &value);
        }
    }
    query.finish()
}

/// What is left of a saved query on this list, and the names of what no longer exists.
fn of_this_list(table: &Table, query: &str) -> (Pairs, Vec<String>) {
    let (mut left, mut gone) = (Vec::new(), Vec::new());
    for (name, value) in parsed(query) {
        let filter = table.filters.iter().find(|filter| filter.name == name);
        let missing = match filter {
            Some(filter) => {
                let is_choice = filter.kind.is_empty();
                let known = !is_choice || filter.options.iter().any(|(option, _)| *option == value);
                (!known).then(|| filter.label.to_owned())
            }
            None if name == COLUMNS => {
                let known = table.all.iter().any(|head| head.name == value);
                (!known).then(|| value.clone())
            }
            None => (!table.own.contains(&name.as_str())).then(|| name.clone()),
        };
        match missing {
            None => left.push((name, value)),
            Some(what) if !gone.contains(&what) => gone.push(what),
            Some(_) => {}
        }
    }
    (left, gone)
}

fn sorted(mut pairs: Pairs) -> Pairs {
    pairs.sort();
    pairs
}

fn address(path: &str, left: &Pairs, id: Uuid) -> String {
    let id = id.to_string();
    let pairs = left.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    with_query(path, pairs.chain([(VIEW, id.as_str())]))
}

fn current(staff: &Staff, table: &Table, view: &SavedView, may_share: bool) -> Current {
    let (left, gone) = of_this_list(table, &view.query);
    let now = sorted(parsed(&query_of(staff.visit.pairs())));
    let is_as_saved = now == sorted(parsed(&view.query));
    Current {
        id: view.id,
        name: view.name.clone(),
        is_shared: view.shared,
        may_change: may_share || view.own,
        rest: (is_as_saved && !gone.is_empty()).then(|| address(&table.address, &left, view.id)),
        has_changed: !is_as_saved && now != sorted(left),
        gone: gone.join(", "),
    }
}

/// The views of the list at this address; `None` where a view cannot be saved.
pub(super) async fn of(staff: &Staff, table: &Table) -> Result<Option<Views>, PageError> {
    let path = staff.visit.uri.path();
    let (Some(needed), Some(list)) = (staff.state.needed_to_open(path), path.strip_prefix("/admin/")) else {
        return Ok(None);
    };
    let known = staff.office().saved_views(&staff.admin, Some(list)).await?;
    let may_share = staff.may(sharing(needed));
    let opened = staff.parameter(VIEW).and_then(|id| id.parse::<Uuid>().ok());
    let opened = known.iter().find(|view| Some(view.id) == opened);
    let tabs = known.iter().map(|view| Tab {
        name: view.name.clone(),
        address: address(path, &of_this_list(table, &view.query).0, view.id),
        is_current: opened.is_some_and(|opened| opened.id == view.id),
        is_shared: view.shared,
    });
    Ok(Some(Views {
        tabs: tabs.collect(),
        current: opened.map(|view| current(staff, table, view, may_share)),
        may_share,
        list: list.to_owned(),
        query: query_of(staff.visit.pairs()),
    }))
}
