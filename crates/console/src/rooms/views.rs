//! Saved views: saving, changing and deleting one. The tabs are part of every list ([`crate::table`]).

use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::{SavedView, ViewError, ViewForm, sharing};
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use uuid::Uuid;

use super::{found, id};
use crate::action::ActionPage;
use crate::edit;
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::staff::Staff;
use crate::table::{query_of, with_query};

/// Longest name of a view, in characters.
const MAX_NAME: usize = 60;
/// Longest query of a view, in bytes.
const MAX_QUERY: usize = 2_000;

/// A list that the reader may open.
struct List {
    name: String,
    address: String,
    may_share: bool,
}

impl List {
    fn of(staff: &Staff, name: &str) -> Result<Self, PageError> {
        let address = format!("/admin/{name}");
        let needed = found(staff.state.needed_to_open(&address))?;
        if !staff.may_open(&address) {
            return Err(PageError::NotFound);
        }
        Ok(Self {
            name: name.to_owned(),
            may_share: staff.may(sharing(needed)),
            address,
        })
    }

    /// The list as `query` shows it, with the view that was opened and a message.
    fn shown(&self, query: &str, view: Option<Uuid>, done: &str) -> String {
        let view = view.map(|view| view.to_string()).unwrap_or_default();
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        with_query(&self.address, pairs.chain([("view", view.as_str()), ("done", done)]))
    }
}

/// What a form says of a view; an error is recorded at its field.
fn read(words: Language, list: &List, form: &mut Form, query: &str) -> ViewForm {
    let name = form.value("name").to_owned();
    if name.is_empty() {
        form.wrong("name", words.text("wrong.view_name_missing"));
    } else if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        form.wrong("name", words.text("wrong.view_name_long"));
    }
    let query = query_of(form_urlencoded::parse(query.as_bytes()).into_owned());
    if query.len() > MAX_QUERY {
        form.wrong("", words.text("wrong.view_too_long"));
    }
    ViewForm {
        name,
        query,
        shared: list.may_share && form.value("shared") == "yes",
    }
}

fn refuse(words: Language, form: &mut Form, error: ViewError) -> Result<(), PageError> {
    match error {
        ViewError::NotFound => return Err(PageError::NotFound),
        ViewError::Store(error) => return Err(error.into()),
        ViewError::NameTaken => form.wrong("name", words.text("wrong.view_name_taken")),
        ViewError::TooMany => form.wrong("", words.text("wrong.view_too_many")),
    }
    Ok(())
}

/// The form of a new view, or of `view`.
fn form_page(
    staff: &Staff,
    list: &List,
    form: &Form,
    query: &str,
    view: Option<&SavedView>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let (title, action, back) = match view {
        None => (
            words.text("console.views.save"),
            "/admin/views".to_owned(),
            list.shown(query, None, ""),
        ),
        Some(view) => (
            words.text("console.views.change"),
            format!("/admin/views/{}", view.id),
            list.shown(&view.query, Some(view.id), ""),
        ),
    };
    let layout = Layout::new(staff, title.to_owned(), &[]);
    let mut page = ActionPage::new(layout, form, action, words.text("form.save"), back);
    page.hidden = vec![("list", list.name.clone()), ("query", query.to_owned())];
    let name = form.field("name", "text", words.text("console.views.name"));
    let stored = view.map(|view| view.name.as_str()).unwrap_or_default();
    page.fields = vec![edit::stored(form, name.required(), stored).hint(words.text("console.views.hint"))];
    page.check = list.may_share.then(|| {
        let is_shared = view.is_some_and(|view| view.shared);
        (
            "shared",
            words.text("console.views.share"),
            edit::ticked(form, "shared", is_shared),
        )
    });
    page.answer(form)
}

/// `POST /admin/views`
pub(crate) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let list = List::of(&staff, form.value("list"))?;
    let query = form.value("query").to_owned();
    let view = read(words, &list, &mut form, &query);
    if form.is_sound() {
        match staff.office().save_view(&staff.admin, &list.name, &view).await {
            Ok(id) => return Ok(forms::done(&list.shown(&view.query, Some(id), "view_saved"))),
            Err(error) => refuse(words, &mut form, error)?,
        }
    }
    form_page(&staff, &list, &form, &view.query, None)
}

/// A view that the reader may change, and its list.
async fn own(staff: &Staff, view: &str) -> Result<(SavedView, List), PageError> {
    let view = found(staff.office().saved_view(&staff.admin, id(view)?).await?)?;
    let list = List::of(staff, &view.list)?;
    if view.own || list.may_share {
        Ok((view, list))
    } else {
        Err(PageError::NotFound)
    }
}

/// `GET /admin/views/{id}`
pub(crate) async fn page(staff: Staff, Path(view): Path<String>) -> Result<Response, PageError> {
    let (view, list) = own(&staff, &view).await?;
    form_page(&staff, &list, &Form::default(), &view.query, Some(&view))
}

/// `POST /admin/views/{id}`
pub(crate) async fn change(Path(view): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let (view, list) = own(&staff, &view).await?;
    let query = form.pairs().find(|(name, _)| *name == "query");
    let query = query.map_or_else(|| view.query.clone(), |(_, query)| query.to_owned());
    let changed = read(words, &list, &mut form, &query);
    if form.is_sound() {
        match staff.office().change_view(&staff.admin, view.id, &changed).await {
            Ok(()) => {
                let address = list.shown(&changed.query, Some(view.id), "view_saved");
                return Ok(forms::done(&address));
            }
            Err(error) => refuse(words, &mut form, error)?,
        }
    }
    form_page(&staff, &list, &form, &changed.query, Some(&view))
}

/// `GET /admin/views/{id}/delete`
pub(crate) async fn delete_page(staff: Staff, Path(view): Path<String>) -> Result<Response, PageError> {
    let (view, list) = own(&staff, &view).await?;
    let (words, form) = (staff.words(), Form::default());
    let mut page = ActionPage::new(
        Layout::new(&staff, words.text("console.views.delete").to_owned(), &[]),
        &form,
        format!("/admin/views/{}/delete", view.id),
        words.text("console.views.delete"),
        list.shown(&view.query, Some(view.id), ""),
    );
    page.effects = vec![(words.text("console.views.name").to_owned(), view.name)];
    page.warning = view
        .shared
        .then(|| words.text("console.views.delete.shared").to_owned());
    page.is_danger = true;
    page.answer(&form)
}

/// `POST /admin/views/{id}/delete`
pub(crate) async fn delete(Path(view): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    let (view, list) = own(&staff, &view).await?;
    match staff.office().delete_view(&staff.admin, view.id).await {
        // Somebody else was faster.
        Ok(()) | Err(ViewError::NotFound) => Ok(forms::done(&format!("{}?done=view_deleted", list.address))),
        Err(ViewError::Store(error)) => Err(error.into()),
        Err(ViewError::NameTaken | ViewError::TooMany) => Err(PageError::Internal),
    }
}
