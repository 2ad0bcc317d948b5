//! What staff change of a customer: balance and role; acting as them; and what is stored about them, as a file.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures::{StreamExt as _, stream};
use lockstep_admin::UserChangeError;
use lockstep_auth::{AuthError, ImpersonationError};
use lockstep_domain::Money;
use lockstep_domain::admin::UserDetail;
use lockstep_domain::ids::UserId;
use lockstep_domain::staff::{Permission, StaffRole};
use lockstep_page::error::PageError;
use lockstep_page::format;
use lockstep_page::forms::{self, Form};
use lockstep_page::session;
use lockstep_shop::{AdjustError, ShopError};

use super::{found, id};
use crate::action::{self, ActionPage, Choice};
use crate::gate::StaffForm;
use crate::layout::{Layout, money};
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table, attachment, with_query};

async fn read(staff: &Staff, user: &str) -> Result<UserDetail, PageError> {
    found(staff.office().user(&staff.admin, UserId(id(user)?)).await?)
}

fn layout(staff: &Staff, user: &UserDetail, title: &str) -> Layout {
    let words = staff.words();
    let address = format!("/admin/customers/{}", user.user.id);
    Layout::new(
        staff,
        words.text(title).to_owned(),
        &[
            (words.text("console.room.customers"), "/admin/customers"),
            (&user.user.email, &address),
        ],
    )
}

/// `GET /admin/customers/{id}/balance`
pub(crate) async fn balance_page(staff: Staff, Path(user): Path<String>) -> Result<Response, PageError> {
    let user = read(&staff, &user).await?;
    balance_form(&staff, &user, &Form::default())
}

fn balance_form(staff: &Staff, user: &UserDetail, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("/admin/customers/{}", user.user.id);
    let mut page = ActionPage::new(
        layout(staff, user, "console.balance.title"),
        form,
        format!("{back}/balance"),
        words.text("console.balance.submit"),
        back,
    );
    let now = user.user.balance;
    page.effects = vec![
        (words.text("console.column.email").to_owned(), user.user.email.clone()),
        (words.text("console.balance.now").to_owned(), format::price(words, now)),
    ];
    if let Some(then) = money(form.value("amount")).and_then(|amount| now.checked_add(amount)) {
        page.effects.push((
            words.text("console.balance.then").to_owned(),
            format::price(words, then),
        ));
    }
    page.warning = Some(words.text("console.balance.warning").to_owned());
    page.hidden = vec![("once", action::once(form)), ("seen", now.decimal().to_string())];
    page.fields = vec![
        form.field("amount", "text", words.text("console.field.difference"))
            .hint(words.text("console.field.difference.hint"))
            .required(),
        form.field("reason", "text", words.text("console.field.reason"))
            .hint(words.text("console.field.reason.seen"))
            .required(),
    ];
    page.answer(form)
}

/// `POST /admin/customers/{id}/balance`
pub(crate) async fn balance(Path(user): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, user) = (staff.words(), read(&staff, &user).await?);
    let reason = action::reason(words, &mut form, true);
    let amount = money(form.value("amount")).filter(|amount| *amount != Money::ZERO);
    if amount.is_none() {
        form.wrong("amount", words.text("wrong.amount_invalid"));
    }
    // A difference is right whatever the balance was, but who enters it decided by what they saw.
    let seen = money(form.value("seen")).filter(|seen| *seen != user.user.balance);
    if let Some(seen) = seen {
        let now = format::price(words, user.user.balance);
        let why = words.with_all("wrong.balance_changed", &[&format::price(words, seen), &now]);
        form.wrong("", why);
    }
    if let (Some(amount), Some(reason), true) = (amount, reason, form.is_sound()) {
        let (shop, key) = (&staff.state.shop, action::key(&form));
        let adjusted = shop
            .adjust_balance(&staff.admin, UserId(user.user.id), amount, &reason, key.as_ref())
            .await;
        match adjusted {
            Ok(adjusted) => {
                let amount = format!("{}EUR", adjusted.balance.decimal());
                let address = format!("/admin/customers/{}", user.user.id);
                return Ok(forms::done(&with_query(
                    &address,
                    [("done", "adjusted"), ("amount", &amount)],
                )));
            }
            Err(ShopError::Adjust(refused)) => {
                let (field, why) = match refused {
                    AdjustError::Store(error) => return Err(error.into()),
                    AdjustError::NotFound => return Err(PageError::NotFound),
                    AdjustError::Zero => ("amount", "wrong.amount_invalid"),
                    AdjustError::Insufficient { .. } => ("amount", "wrong.balance_insufficient"),
                    AdjustError::TooMuch => ("amount", "wrong.balance_too_much"),
                    AdjustError::Refused(_) => ("", "wrong.has_more_permissions"),
                    AdjustError::KeyReused => ("", "wrong.sent_twice"),
                };
                form.wrong(field, words.text(why));
            }
            Err(error) => return Err(error.into()),
        }
    }
    balance_form(&staff, &user, &form)
}

/// `GET /admin/customers/{id}/role`
pub(crate) async fn role_page(staff: Staff, Path(user): Path<String>) -> Result<Response, PageError> {
    let user = read(&staff, &user).await?;
    role_form(&staff, &user, &Form::default()).await
}

async fn role_form(staff: &Staff, user: &UserDetail, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("/admin/customers/{}", user.user.id);
    let user_id = UserId(user.user.id);
    let now = staff.office().role_of(&staff.admin, user_id).await?.unwrap_or_default();
    let named = staff.office().staff_roles(&staff.admin).await?;
    let chosen = match form.value("role") {
        "" => now.clone(),
        role => role.to_owned(),
    };
    let roles = [StaffRole::None.name().to_owned(), StaffRole::Owner.name().to_owned()];
    let options = roles.into_iter().chain(named).map(|role| {
        let (name, is_chosen) = (show::name(words, "role", &role), role == chosen);
        (role, name, is_chosen)
    });
    let mut page = ActionPage::new(
        layout(staff, user, "console.role.title"),
        form,
        format!("{back}/role"),
        words.text("console.role.submit"),
        back,
    );
    page.effects = vec![
        (words.text("console.column.email").to_owned(), user.user.email.clone()),
        (
            words.text("console.role.now").to_owned(),
            show::name(words, "role", &now),
        ),
    ];
    page.warning = Some(words.text("console.role.warning").to_owned());
    page.choices = vec![Choice {
        name: "role",
        label: words.text("console.column.role"),
        options: options.collect(),
    }];
    page.hidden = vec![("seen", now)];
    page.answer(form)
}

/// `POST /admin/customers/{id}/role`
pub(crate) async fn role(Path(user): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, user) = (staff.words(), read(&staff, &user).await?);
    let user_id = UserId(user.user.id);
    let now = staff.office().role_of(&staff.admin, user_id).await?.unwrap_or_default();
    let (wanted, seen) = (form.value("role").to_owned(), form.value("seen").to_owned());
    if wanted.is_empty() {
        return Err(PageError::BadRequest);
    }
    if !seen.is_empty() && seen != now {
        let names = [&seen, &now].map(|role| show::name(words, "role", role));
        form.wrong("", words.with_all("wrong.role_changed", &[&names[0], &names[1]]));
    }
    if form.is_sound() {
        let given = staff
            .office()
            .give_role(&staff.admin, user_id, &StaffRole::from_name(&wanted))
            .await;
        match given {
            Ok(()) => {
                return Ok(forms::done(&format!("/admin/customers/{}?done=role", user.user.id)));
            }
            Err(UserChangeError::Account(error)) => form.refuse(words, AuthError::from(error), &[])?,
            Err(UserChangeError::Store(error)) => return Err(error.into()),
            Err(_) => return Err(PageError::Internal),
        }
    }
    role_form(&staff, &user, &form).await
}

/// `GET /admin/customers/{id}/act`
pub(crate) async fn act_page(staff: Staff, Path(user): Path<String>) -> Result<Response, PageError> {
    let user = read(&staff, &user).await?;
    act_form(&staff, &user, &Form::default())
}

fn act_form(staff: &Staff, user: &UserDetail, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("/admin/customers/{}", user.user.id);
    let mut page = ActionPage::new(
        layout(staff, user, "console.act.title"),
        form,
        format!("{back}/act"),
        words.text("console.act.submit"),
        back,
    );
    page.effects = vec![
        (words.text("console.column.email").to_owned(), user.user.email.clone()),
        (
            words.text("console.act.lasts").to_owned(),
            words.text("console.act.minutes").to_owned(),
        ),
    ];
    page.warning = Some(words.text("console.act.warning").to_owned());
    page.fields = vec![
        form.field("reason", "text", words.text("console.field.reason"))
            .hint(words.text("console.field.reason.seen"))
            .required(),
    ];
    page.answer(form)
}

/// `POST /admin/customers/{id}/act`: opens the shop as the customer.
pub(crate) async fn act(Path(user): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, user) = (staff.words(), read(&staff, &user).await?);
    let Some(reason) = action::reason(words, &mut form, true) else {
        return act_form(&staff, &user, &form);
    };
    let auth = staff.state.shop.auth();
    match auth.impersonate(&staff.admin, UserId(user.user.id), &reason).await {
        Ok(begun) => {
            let seconds = u32::try_from((begun.expires_at - staff.now).num_seconds()).unwrap_or_default();
            let cookie = session::set_impersonation(&begun.token, seconds, staff.state.settings.production);
            let mut response = forms::done("/account");
            response.headers_mut().append(header::SET_COOKIE, cookie);
            return Ok(response);
        }
        Err(ImpersonationError::OnStaff) => form.wrong("", words.text("wrong.acts_as_staff")),
        Err(ImpersonationError::SignedOut) => return Err(PageError::SignedOut),
        Err(ImpersonationError::Account(error)) => form.refuse(words, AuthError::from(error), &[])?,
        Err(ImpersonationError::Store(error)) => return Err(error.into()),
    }
    act_form(&staff, &user, &form)
}

/// `GET /admin/customers/{id}/acts`: the requests that staff made as the customer.
pub(crate) async fn acts(staff: Staff, Path(user): Path<String>) -> Result<Response, PageError> {
    let (words, user) = (staff.words(), read(&staff, &user).await?);
    let requests = staff
        .office()
        .impersonated_requests(&staff.admin, UserId(user.user.id))
        .await?;
    let rows = requests.into_iter().map(|request| Row {
        href: None,
        cells: vec![
            Cell::time(words, request.at),
            Cell::Text(request.staff),
            Cell::Code(format!("{} {}", request.method, request.path)),
            if request.is_refused {
                Cell::Tag("bad", words.text("console.acts.refused").to_owned())
            } else {
                Cell::Tag("good", words.text("console.acts.answered").to_owned())
            },
        ],
    });
    let head = [
        "console.column.time",
        "console.column.who",
        "console.column.request",
        "console.column.result",
    ];
    let table = Table::plain(words, "console.acts.title", &head, rows.collect()).or_else(
        words,
        "console.acts.none",
        "console.acts.none.advice",
    );
    ListPage {
        layout: layout(&staff, &user, "console.acts.title"),
        lead: Some(words.text("console.acts.lead").to_owned()),
        actions: Vec::new(),
        table,
    }
    .answer(&staff)
    .await
}

/// `GET /admin/customers/{id}/export`: a report as PDF, or everything as JSON.
pub(crate) async fn export(staff: Staff, Path(user): Path<String>) -> Result<Response, PageError> {
    let user = UserId(id(&user)?);
    let (body, kind, ending) = if staff.parameter("format").as_deref() == Some("json") {
        // It has the cart, the bookings and what else the account has.
        if !(staff.may(Permission::CartsRead) && staff.may(Permission::PaymentsRead)) {
            return Err(PageError::NotFound);
        }
        let export = staff.state.shop.export_of(user).await?;
        staff.office().record_export(&staff.admin, user, "json").await?;
        // Fused, because compression polls once more after the end.
        let pieces = stream::unfold(export, |mut export| async move { Some((export.next().await?, export)) }).fuse();
        (Body::from_stream(pieces), "application/json", "json")
    } else {
        let report = staff.office().user_report(&staff.admin, user, staff.now).await?;
        (Body::from(found(report)?), "application/pdf", "pdf")
    };
    let name = format!("attachment; filename=\"user-report-{user}.{ending}\"");
    Ok(attachment(body, HeaderValue::from_static(kind), &name))
}
