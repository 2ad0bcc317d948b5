//! Roles: sets of permissions. Nobody gives a permission that they lack, nor takes one.

use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::{ChangeError, NewRole, RoleError};
use lockstep_auth::AuthError;
use lockstep_domain::Money;
use lockstep_domain::admin::RoleDetail;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::format;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;

use super::layout;
use crate::action::ActionPage;
use crate::edit::{self, Checks, Conflict, Control, EditPage};
use crate::gate::StaffForm;
use crate::layout::money;
use crate::rooms::found;
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

const ROLES: &str = "/admin/system/roles";

fn limit(words: Language, limit: Option<Money>) -> String {
    limit.map_or_else(
        || words.text("system.roles.no_limit").to_owned(),
        |limit| format::price(words, limit),
    )
}

/// `GET /admin/system/roles`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let roles = staff.office().role_details(&staff.admin).await?;
    let rows = roles.into_iter().map(|role| Row {
        href: Some(format!("{ROLES}/{}", role.name)),
        cells: vec![
            Cell::Main(show::name(words, "role", &role.name)),
            Cell::number(words, role.members),
            Cell::number(words, u64::try_from(role.permissions.len()).unwrap_or(0)),
            Cell::Text(limit(words, role.refund_limit)),
        ],
    });
    let head = [
        "console.column.role",
        "#system.column.members",
        "#system.column.permissions",
        "system.column.refund_limit",
    ];
    ListPage {
        layout: layout(&staff, words.text("system.roles").to_owned(), &[]),
        lead: Some(words.text("system.roles.lead").to_owned()),
        actions: vec![(words.text("system.roles.new"), format!("{ROLES}/new"))],
        table: Table::plain(words, "system.roles", &head, rows.collect()),
    }
    .answer(&staff)
    .await
}

/// The name of a permission with what it allows.
pub(super) fn permission(words: Language, permission: Permission) -> String {
    let about = words.find(&format!("system.permission.{}", permission.name()));
    about.unwrap_or_else(|| permission.name()).to_owned()
}

fn names(permissions: &[Permission]) -> String {
    let names: Vec<&str> = permissions.iter().map(|permission| permission.name()).collect();
    names.join(" ")
}

fn named(text: &str) -> Vec<Permission> {
    text.split_whitespace().filter_map(Permission::from_name).collect()
}

fn chosen(form: &Form) -> Vec<Permission> {
    let mut chosen: Vec<Permission> = form.values("permissions").filter_map(Permission::from_name).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

fn form_page(
    staff: &Staff,
    role: Option<&RoleDetail>,
    form: &Form,
    conflicts: Vec<Conflict>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let title = role.map_or_else(
        || words.text("system.roles.new").to_owned(),
        |role| show::name(words, "role", &role.name),
    );
    let action = role.map_or_else(|| format!("{ROLES}/new"), |role| format!("{ROLES}/{}", role.name));
    let mut page = EditPage::new(
        layout(staff, title, &[(words.text("system.roles"), ROLES)]),
        form,
        action,
        words.text("form.save"),
        ROLES.to_owned(),
    );
    let ticked = if edit::has_input(form) {
        chosen(form)
    } else {
        role.map(|role| role.permissions.clone()).unwrap_or_default()
    };
    if let Some(role) = role {
        page.lead = Some(words.count("system.roles.members", role.members));
        let limit = role.refund_limit.map(|limit| limit.decimal().to_string());
        page.hidden = vec![
            edit::seen(form, "seen", names(&role.permissions)),
            edit::seen(form, "seen_limit", limit.unwrap_or_default()),
        ];
        let delete = format!("{ROLES}/{}/delete", role.name);
        page.actions = vec![(words.text("system.roles.delete"), delete, true)];
    } else {
        page.controls.push(Control::Line(
            form.field("name", "text", words.text("console.column.name"))
                .hint(words.text("system.roles.name.hint"))
                .required(),
        ));
    }
    let limit = role
        .and_then(|role| role.refund_limit)
        .map(|limit| format::decimal(words, limit.decimal()));
    let field = form
        .field("refund_limit", "text", words.text("system.column.refund_limit"))
        .hint(words.text("system.roles.limit.hint"));
    page.controls
        .push(Control::Line(edit::stored(form, field, &limit.unwrap_or_default())));
    page.controls.push(Control::Checks(Checks {
        name: "permissions",
        legend: words.text("system.column.permissions"),
        hint: Some(words.text("system.roles.permissions.hint")),
        options: Permission::ALL
            .iter()
            .filter(|known| staff.may(**known) || ticked.contains(known))
            .map(|known| {
                (
                    known.name().to_owned(),
                    permission(words, *known),
                    ticked.contains(known),
                )
            })
            .collect(),
        error: form.error("permissions").map(str::to_owned),
    }));
    page.conflicts = conflicts;
    page.answer(form)
}

/// What was entered.
fn entered(words: Language, form: &mut Form, name: String) -> Option<NewRole> {
    let permissions = chosen(form);
    if permissions.is_empty() {
        form.wrong("permissions", words.text("wrong.permissions_missing"));
    }
    let refund_limit = match form.value("refund_limit") {
        "" => None,
        text => {
            let limit = money(text).filter(|limit| limit.is_positive());
            if limit.is_none() {
                form.wrong("refund_limit", words.text("wrong.amount_invalid"));
            }
            limit
        }
    };
    form.is_sound().then_some(NewRole {
        name,
        permissions,
        refund_limit,
    })
}

/// Whether the role has changed since the form was shown.
fn refuse(words: Language, form: &mut Form, error: RoleError) -> Result<bool, PageError> {
    match error {
        RoleError::Account(error) => form.refuse(words, AuthError::from(error), &[])?,
        RoleError::Store(error) | RoleError::Change(ChangeError::Store(error)) => return Err(error.into()),
        RoleError::Change(ChangeError::NotFound(_)) => return Err(PageError::NotFound),
        RoleError::Change(ChangeError::NameTaken(_)) => form.wrong("name", words.text("wrong.role_exists")),
        RoleError::Change(ChangeError::InUse(_)) => form.wrong("", words.text("wrong.role_in_use")),
        RoleError::Change(ChangeError::Outdated(_)) => {
            edit::outdated(words, form, "seen");
            form.forget("seen_limit");
            return Ok(true);
        }
        RoleError::Change(_) => return Err(PageError::Internal),
    }
    Ok(false)
}

/// `GET /admin/system/roles/new`
pub(super) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    form_page(&staff, None, &Form::default(), Vec::new())
}

/// `POST /admin/system/roles/new`
pub(super) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let name = form.value("name").to_uppercase().replace([' ', '-'], "_");
    if !RoleDetail::is_name(&name) {
        form.wrong("name", words.text("wrong.role_name_invalid"));
    }
    if let Some(new) = entered(words, &mut form, name) {
        match staff.office().create_role(&staff.admin, &new).await {
            Ok(()) => return Ok(forms::done(&format!("{ROLES}?done=saved"))),
            Err(error) => {
                refuse(words, &mut form, error)?;
            }
        }
    }
    form_page(&staff, None, &form, Vec::new())
}

async fn read(staff: &Staff, name: &str) -> Result<RoleDetail, PageError> {
    let roles = staff.office().role_details(&staff.admin).await?;
    found(roles.into_iter().find(|role| role.name == name))
}

/// `GET /admin/system/roles/{name}`
pub(super) async fn page(staff: Staff, Path(name): Path<String>) -> Result<Response, PageError> {
    let role = read(&staff, &name).await?;
    form_page(&staff, Some(&role), &Form::default(), Vec::new())
}

/// `POST /admin/system/roles/{name}`
pub(super) async fn change(Path(name): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, mut conflicts) = (staff.words(), Vec::new());
    if let Some(new) = entered(words, &mut form, name.clone()) {
        let seen = NewRole {
            name: name.clone(),
            permissions: named(form.value("seen")),
            refund_limit: money(form.value("seen_limit")),
        };
        match staff.office().change_staff_role(&staff.admin, &new, &seen).await {
            Ok(()) => return Ok(forms::done(&format!("{ROLES}/{name}?done=saved"))),
            Err(error) => {
                if refuse(words, &mut form, error)? {
                    let stored = read(&staff, &name).await?;
                    let lines = |permissions: &[Permission]| names(permissions).replace(' ', "\n");
                    conflicts = edit::conflicts(&[
                        (
                            words.text("system.column.refund_limit"),
                            limit(words, stored.refund_limit),
                            limit(words, new.refund_limit),
                        ),
                        (
                            words.text("system.column.permissions"),
                            lines(&stored.permissions),
                            lines(&new.permissions),
                        ),
                    ]);
                }
            }
        }
    }
    let role = read(&staff, &name).await?;
    form_page(&staff, Some(&role), &form, conflicts)
}

fn delete_form(staff: &Staff, role: &RoleDetail, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let name = show::name(words, "role", &role.name);
    let back = format!("{ROLES}/{}", role.name);
    let mut page = ActionPage::new(
        layout(
            staff,
            words.text("system.roles.delete").to_owned(),
            &[(words.text("system.roles"), ROLES), (&name, &back)],
        ),
        form,
        format!("{back}/delete"),
        words.text("system.roles.delete"),
        back.clone(),
    );
    page.effects = vec![
        (words.text("console.column.role").to_owned(), name.clone()),
        (
            words.text("system.column.members").to_owned(),
            format::number(words, role.members),
        ),
    ];
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/system/roles/{name}/delete`
pub(super) async fn delete_page(staff: Staff, Path(name): Path<String>) -> Result<Response, PageError> {
    let role = read(&staff, &name).await?;
    delete_form(&staff, &role, &Form::default())
}

/// `POST /admin/system/roles/{name}/delete`
pub(super) async fn delete(Path(name): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let role = read(&staff, &name).await?;
    match staff.office().delete_staff_role(&staff.admin, &name).await {
        Ok(()) => Ok(forms::done(&format!("{ROLES}?done=deleted"))),
        Err(error) => {
            refuse(staff.words(), &mut form, error)?;
            delete_form(&staff, &role, &form)
        }
    }
}
