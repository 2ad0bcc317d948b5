//! Branding: the shop's name, its accent colours, and the rows of the home page.

use axum::response::Response;
use lockstep_admin::ChangeError;
use lockstep_domain::branding::{Branding, BrandingFault, BrandingFields, Shelf};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::format;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;

use super::layout;
use super::logo::LOGO;
use crate::action::Choice;
use crate::edit::{self, Conflict, Control, EditPage};
use crate::gate::StaffForm;
use crate::staff::Staff;

const BRANDING: &str = "/admin/content/branding";
/// Field and label of each row of the home page.
const PLACES: [(&str, &str); 5] = [
    ("place1", "content.branding.place.1"),
    ("place2", "content.branding.place.2"),
    ("place3", "content.branding.place.3"),
    ("place4", "content.branding.place.4"),
    ("place5", "content.branding.place.5"),
];

fn shelf_name(words: Language, shelf: Shelf) -> &'static str {
    words.text(match shelf {
        Shelf::Best => "content.branding.shelf.best",
        Shelf::New => "content.branding.shelf.new",
        Shelf::Preorders => "content.branding.shelf.preorders",
        Shelf::Genres => "content.branding.shelf.genres",
        Shelf::Picked => "content.branding.shelf.picked",
    })
}

/// The rows that are stored, or the usual ones.
fn shelves(stored: &Branding) -> Vec<Shelf> {
    stored.shelves.as_ref().map_or_else(Shelf::usual, |names| {
        names.iter().filter_map(|name| Shelf::of_name(name)).collect()
    })
}

fn picked(stored: &Branding) -> String {
    let slugs: Vec<&str> = stored.picked.iter().map(|game| game.slug.as_str()).collect();
    slugs.join("\n")
}

fn form_page(staff: &Staff, stored: &Branding, form: &Form, conflicts: Vec<Conflict>) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = EditPage::new(
        layout(staff, words.text("content.branding").to_owned(), &[]),
        form,
        BRANDING.to_owned(),
        words.text("form.save"),
        "/admin/content".to_owned(),
    );
    page.lead = Some(words.text("content.branding.lead").to_owned());
    page.is_read_only = !staff.may(Permission::ContentWrite);
    if !page.is_read_only {
        page.actions = vec![(words.text("content.logo"), LOGO.to_owned(), false)];
    }
    if let Some(name) = &stored.name_of_settings {
        page.lead = Some(words.with("content.branding.name.fixed", name));
    }
    let line = |field, value: Option<&str>| Control::Line(edit::stored(form, field, value.unwrap_or_default()));
    page.controls = vec![
        line(
            form.field("name", "text", words.text("content.branding.name"))
                .hint(words.text("content.branding.name.hint")),
            stored.name.as_deref(),
        ),
        line(
            form.field("accentLight", "text", words.text("content.branding.light"))
                .hint(words.text("content.branding.color.hint")),
            stored.accent_light.as_deref(),
        ),
        line(
            form.field("accentDark", "text", words.text("content.branding.dark"))
                .hint(words.text("content.branding.color.hint")),
            stored.accent_dark.as_deref(),
        ),
    ];
    let rows = shelves(stored);
    for (at, (name, label)) in PLACES.into_iter().enumerate() {
        let chosen = if edit::has_input(form) {
            form.value(name).to_owned()
        } else {
            rows.get(at).map_or_else(String::new, |shelf| shelf.name().to_owned())
        };
        let none = (
            String::new(),
            words.text("content.branding.shelf.none").to_owned(),
            chosen.is_empty(),
        );
        let options = Shelf::ALL.into_iter().map(|shelf| {
            let is_chosen = shelf.name() == chosen;
            (shelf.name().to_owned(), shelf_name(words, shelf).to_owned(), is_chosen)
        });
        page.controls.push(Control::Choice(Choice {
            name,
            label: words.text(label),
            options: std::iter::once(none).chain(options).collect(),
        }));
    }
    page.controls.push(Control::Text(
        edit::stored(
            form,
            form.field("picked", "text", words.text("content.branding.picked"))
                .hint(words.text("content.branding.picked.hint")),
            &picked(stored),
        ),
        8,
    ));
    page.hidden = vec![edit::seen(form, "version", stored.version)];
    page.conflicts = conflicts;
    page.answer(form)
}

/// What was entered. The usual rows are stored as such, so that a later version may have others.
fn entered(form: &Form) -> BrandingFields {
    let rows: Vec<String> = PLACES
        .iter()
        .map(|(name, _)| form.value(name).to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let usual: Vec<&str> = Shelf::usual().into_iter().map(Shelf::name).collect();
    BrandingFields {
        name: form.value("name").to_owned(),
        accent_light: form.value("accentLight").to_owned(),
        accent_dark: form.value("accentDark").to_owned(),
        shelves: (rows != usual).then_some(rows),
        picked: form.raw("picked").lines().map(str::to_owned).collect(),
    }
}

fn refuse(words: Language, form: &mut Form, faults: &[BrandingFault]) {
    for fault in faults {
        match fault {
            // A choice shows no error of its own.
            BrandingFault::Field(error) if error.path == "shelves" => {
                form.wrong("", words.text(&format!("wrong.{}", error.code)));
            }
            BrandingFault::Field(error) => form.wrong_fields(words, std::slice::from_ref(error)),
            BrandingFault::Contrast {
                path,
                contrast,
                nearest,
            } => form.wrong(
                path,
                words.with_all("wrong.contrast", &[&format::decimal(words, contrast), nearest]),
            ),
        }
    }
}

fn conflicts(words: Language, stored: &Branding, wanted: &BrandingFields) -> Vec<Conflict> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let names = |shelves: &[Shelf]| {
        let names: Vec<&str> = shelves.iter().map(|shelf| shelf_name(words, *shelf)).collect();
        names.join(", ")
    };
    let entered = wanted.shelves.as_ref().map_or_else(Shelf::usual, |names| {
        names.iter().filter_map(|name| Shelf::of_name(name)).collect()
    });
    edit::conflicts(&[
        (
            words.text("content.branding.name"),
            text(&stored.name),
            wanted.name.clone(),
        ),
        (
            words.text("content.branding.light"),
            text(&stored.accent_light),
            wanted.accent_light.clone(),
        ),
        (
            words.text("content.branding.dark"),
            text(&stored.accent_dark),
            wanted.accent_dark.clone(),
        ),
        (
            words.text("content.branding.shelves"),
            names(&shelves(stored)),
            names(&entered),
        ),
        (
            words.text("content.branding.picked"),
            picked(stored),
            wanted.picked.join("\n"),
        ),
    ])
}

/// `GET /admin/content/branding`
pub(super) async fn page(staff: Staff) -> Result<Response, PageError> {
    let stored = staff.office().branding(&staff.admin).await?;
    form_page(&staff, &stored, &Form::default(), Vec::new())
}

/// `POST /admin/content/branding`
pub(super) async fn change(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, wanted) = (staff.words(), entered(&form));
    let mut differing = Vec::new();
    match wanted.checked() {
        Err(faults) => refuse(words, &mut form, &faults),
        Ok(checked) => {
            let seen = form.value("version").parse().unwrap_or(-1);
            match staff.office().put_branding(&staff.admin, &checked, seen).await {
                Ok(()) => return Ok(forms::done(&format!("{BRANDING}?done=saved"))),
                Err(ChangeError::Store(error)) => return Err(error.into()),
                Err(ChangeError::Invalid(error)) => form.wrong_fields(words, &[error]),
                Err(_) => {
                    edit::outdated(words, &mut form, "version");
                    let stored = staff.office().branding(&staff.admin).await?;
                    differing = conflicts(words, &stored, &wanted);
                }
            }
        }
    }
    let stored = staff.office().branding(&staff.admin).await?;
    form_page(&staff, &stored, &form, differing)
}
