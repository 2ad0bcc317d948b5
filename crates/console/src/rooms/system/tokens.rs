//! API tokens: what a program may do for a member of staff, and for how long. A token is shown once.

use axum::extract::Path;
use axum::response::Response;
use lockstep_auth::ApiTokenError;
use lockstep_domain::admin::{ApiToken, TokenForm};
use lockstep_domain::staff::{Permission, Refused};
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};

use super::{SecretPage, layout, roles};
use crate::action::ActionPage;
use crate::edit::{Checks, Control, EditPage};
use crate::gate::StaffForm;
use crate::rooms::{found, id};
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

const TOKENS: &str = "/admin/system/tokens";
/// The lifetime that the form proposes, in days.
const DAYS: &str = "90";

/// `GET /admin/system/tokens`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let tokens = staff.office().tokens(&staff.admin).await?;
    let own = staff.admin.caller().user().0;
    let rows = tokens.into_iter().map(|token| Row {
        href: None,
        cells: vec![
            Cell::Text(token.name.clone()),
            Cell::Code(format!("{}…", token.hint)),
            Cell::Text(token.permissions.join(", ")),
            if token.expires_at <= staff.now {
                Cell::Tag("", words.text("system.tokens.expired").to_owned())
            } else {
                Cell::time(words, token.expires_at)
            },
            Cell::time_or_none(words, token.last_used_at),
            if token.user_id == own {
                Cell::Tag("", words.text("system.tokens.own").to_owned())
            } else {
                Cell::Code(token.user_id.to_string())
            },
            Cell::Action(format!("{TOKENS}/{}/delete", token.id), words.text("system.delete")),
        ],
    });
    let head = [
        "console.column.name",
        "system.column.begins",
        "system.column.permissions",
        "system.column.expires",
        "system.column.last_used",
        "console.column.who",
        "console.column.action",
    ];
    ListPage {
        layout: layout(&staff, words.text("system.tokens").to_owned(), &[]),
        lead: Some(words.text("system.tokens.lead").to_owned()),
        actions: vec![(words.text("system.tokens.new"), format!("{TOKENS}/new"))],
        table: Table::plain(words, "system.tokens", &head, rows.collect()).or_else(
            words,
            "system.tokens.none",
            "system.tokens.none.advice",
        ),
    }
    .answer(&staff)
    .await
}

fn form_page(staff: &Staff, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = EditPage::new(
        layout(
            staff,
            words.text("system.tokens.new").to_owned(),
            &[(words.text("system.tokens"), TOKENS)],
        ),
        form,
        format!("{TOKENS}/new"),
        words.text("system.tokens.submit"),
        TOKENS.to_owned(),
    );
    page.lead = Some(words.text("system.tokens.new.lead").to_owned());
    let chosen: Vec<&str> = form.values("permissions").collect();
    page.controls = vec![
        Control::Line(
            form.field("name", "text", words.text("console.column.name"))
                .hint(words.text("system.tokens.name.hint"))
                .required(),
        ),
        Control::Line(
            form.field("expiresInDays", "text", words.text("system.tokens.days"))
                .hint(words.text("system.tokens.days.hint"))
                .filled(DAYS)
                .digits()
                .required(),
        ),
        Control::Checks(Checks {
            name: "permissions",
            legend: words.text("system.column.permissions"),
            hint: Some(words.text("system.tokens.permissions.hint")),
            options: Permission::ALL
                .iter()
                .filter(|permission| staff.may(**permission))
                .map(|permission| {
                    let is_ticked = chosen.contains(&permission.name());
                    (
                        permission.name().to_owned(),
                        roles::permission(words, *permission),
                        is_ticked,
                    )
                })
                .collect(),
            error: form.error("permissions").map(str::to_owned),
        }),
    ];
    page.answer(form)
}

/// `GET /admin/system/tokens/new`
pub(super) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    form_page(&staff, &Form::default())
}

/// `POST /admin/system/tokens/new`: the answer is the token, once; nothing stores the page.
pub(super) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let permissions: Vec<String> = form.values("permissions").map(str::to_owned).collect();
    // What is no number is out of range.
    let days = Some(form.value("expiresInDays").parse().unwrap_or(0));
    match TokenForm::new(form.value("name"), &permissions, days) {
        Err(errors) => form.wrong_fields(words, &errors),
        Ok(wanted) => match staff.state.shop.auth().create_api_token(&staff.admin, wanted).await {
            Ok(created) => {
                let page = SecretPage {
                    layout: layout(
                        &staff,
                        created.listed.name.clone(),
                        &[(words.text("system.tokens"), TOKENS)],
                    ),
                    label: words.text("system.tokens.token"),
                    secret: created.token.expose().to_owned(),
                    back: TOKENS.to_owned(),
                };
                return page.answer();
            }
            Err(error) => refuse(&staff, &mut form, error)?,
        },
    }
    form_page(&staff, &form)
}

fn refuse(staff: &Staff, form: &mut Form, error: ApiTokenError) -> Result<(), PageError> {
    let why = match error {
        ApiTokenError::Store(error) => return Err(error.into()),
        ApiTokenError::NotFound => return Err(PageError::NotFound),
        ApiTokenError::TooMany => "wrong.too_many_tokens",
        ApiTokenError::Refused(Refused::HasMore) => "wrong.has_more_permissions",
        ApiTokenError::Refused(_) => "wrong.gives_more_permissions",
    };
    form.wrong("", staff.words().text(why));
    Ok(())
}

async fn read(staff: &Staff, token: &str) -> Result<ApiToken, PageError> {
    let token = id(token)?;
    let tokens = staff.office().tokens(&staff.admin).await?;
    found(tokens.into_iter().find(|known| known.id == token))
}

fn delete_form(staff: &Staff, token: &ApiToken, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = ActionPage::new(
        layout(
            staff,
            words.text("system.tokens.delete").to_owned(),
            &[(words.text("system.tokens"), TOKENS)],
        ),
        form,
        format!("{TOKENS}/{}/delete", token.id),
        words.text("system.tokens.delete"),
        TOKENS.to_owned(),
    );
    page.effects = vec![
        (words.text("console.column.name").to_owned(), token.name.clone()),
        (
            words.text("system.column.begins").to_owned(),
            format!("{}…", token.hint),
        ),
    ];
    page.warning = Some(words.text("system.tokens.delete.warning").to_owned());
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/system/tokens/{id}/delete`
pub(super) async fn delete_page(staff: Staff, Path(token): Path<String>) -> Result<Response, PageError> {
    let token = read(&staff, &token).await?;
    delete_form(&staff, &token, &Form::default())
}

/// `POST /admin/system/tokens/{id}/delete`
pub(super) async fn delete(Path(token): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let token = read(&staff, &token).await?;
    match staff.office().delete_token(&staff.admin, token.id).await {
        Ok(()) => Ok(forms::done(&format!("{TOKENS}?done=deleted"))),
        Err(error) => {
            refuse(&staff, &mut form, error)?;
            delete_form(&staff, &token, &form)
        }
    }
}
