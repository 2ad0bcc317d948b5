//! Who is on the staff, and how an account comes to it.

use axum::response::Response;
use lockstep_admin::UserChangeError;
use lockstep_auth::{AccountError, AuthError};
use lockstep_domain::account::Email;
use lockstep_domain::staff::{Permission, StaffRole};
use lockstep_page::error::PageError;
use lockstep_page::format;
use lockstep_page::forms::{self, Form};

use super::layout;
use crate::action::{ActionPage, Choice};
use crate::gate::StaffForm;
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

/// `GET /admin/system/staff`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let members = staff.office().staff_members(&staff.admin).await?;
    let reads_users = staff.may(Permission::UsersRead);
    let count = u64::try_from(members.len()).unwrap_or(0);
    let rows = members.into_iter().map(|member| Row {
        href: reads_users.then(|| format!("/admin/customers/{}", member.id)),
        cells: vec![
            Cell::Main(member.email),
            Cell::Text(show::name(words, "role", &member.role)),
            if member.has_second_factor {
                Cell::Tag("good", words.text("system.factor.on").to_owned())
            } else {
                Cell::Tag("warn", words.text("system.factor.off").to_owned())
            },
            Cell::Number(format::number(words, member.tokens)),
            Cell::time_or_none(words, member.last_login),
            if reads_users {
                Cell::Action(
                    format!("/admin/customers/{}/role", member.id),
                    words.text("console.role.title"),
                )
            } else {
                Cell::Nothing
            },
        ],
    });
    let head = [
        "console.column.email",
        "console.column.role",
        "system.column.factor",
        "#system.tokens",
        "system.column.last_login",
        "console.column.action",
    ];
    ListPage {
        layout: layout(&staff, words.text("system.staff").to_owned(), &[]),
        lead: Some(words.count("system.staff.lead", count)),
        actions: vec![
            (words.text("system.staff.new"), "/admin/system/staff/new".to_owned()),
            (words.text("system.roles"), "/admin/system/roles".to_owned()),
        ],
        table: Table::plain(words, "system.staff", &head, rows.collect()),
    }
    .answer(&staff)
    .await
}

/// `GET /admin/system/staff/new`
pub(super) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    form_page(&staff, &Form::default()).await
}

async fn form_page(staff: &Staff, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let named = staff.office().staff_roles(&staff.admin).await?;
    let chosen = form.value("role");
    let options = named
        .into_iter()
        .chain([StaffRole::Owner.name().to_owned()])
        .map(|role| {
            let (name, is_chosen) = (show::name(words, "role", &role), role == chosen);
            (role, name, is_chosen)
        });
    let mut page = ActionPage::new(
        layout(
            staff,
            words.text("system.staff.new").to_owned(),
            &[(words.text("system.staff"), "/admin/system/staff")],
        ),
        form,
        "/admin/system/staff/new".to_owned(),
        words.text("system.staff.submit"),
        "/admin/system/staff".to_owned(),
    );
    page.warning = Some(words.with(
        "system.staff.warning",
        format_args!("{}/register", staff.state.settings.public_url),
    ));
    page.fields = vec![
        form.field("email", "email", words.text("console.column.email"))
            .required(),
    ];
    page.choices = vec![Choice {
        name: "role",
        label: words.text("console.column.role"),
        options: options.collect(),
    }];
    page.answer(form)
}

/// `POST /admin/system/staff/new`
pub(super) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let role = StaffRole::from_name(form.value("role"));
    if role == StaffRole::None {
        form.wrong("", words.text("wrong.unknown_role"));
    }
    match Email::of_existing_account(form.value("email")) {
        Err(_) => form.wrong("email", words.text("wrong.email_invalid")),
        Ok(email) if form.is_sound() => match staff.office().make_staff(&staff.admin, &email, &role).await {
            Ok(()) => return Ok(forms::done("/admin/system/staff?done=role")),
            Err(UserChangeError::Account(AccountError::NotFound)) => {
                form.wrong("email", words.text("wrong.no_such_account"));
            }
            Err(UserChangeError::Account(error)) => form.refuse(words, AuthError::from(error), &[])?,
            Err(UserChangeError::Store(error)) => return Err(error.into()),
            Err(_) => return Err(PageError::Internal),
        },
        Ok(_) => {}
    }
    form_page(&staff, &form).await
}
