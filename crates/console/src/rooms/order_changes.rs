//! Cancelling an order, and refunding what was delivered.

use axum::extract::Path;
use axum::response::Response;
use lockstep_domain::Money;
use lockstep_domain::admin::{OrderDetail, UnitDetail};
use lockstep_domain::ids::{OrderId, UnitId};
use lockstep_page::error::PageError;
use lockstep_page::format;
use lockstep_page::forms::{self, Form};
use lockstep_shop::{GoodwillError, NotRefundable, RefundOf, ShopError};

use super::order::{refundable, standing, title_of};
use super::{found, id};
use crate::action::{self, ActionPage};
use crate::gate::StaffForm;
use crate::layout::{Layout, money};
use crate::staff::Staff;
use crate::step_up;
use crate::table::with_query;

/// Reads the order of an address.
async fn read(staff: &Staff, order: &str) -> Result<OrderDetail, PageError> {
    found(staff.office().order(&staff.admin, OrderId(id(order)?)).await?)
}

fn layout(staff: &Staff, order: &OrderDetail, title: &str) -> Layout {
    let words = staff.words();
    let address = format!("/admin/orders/{}", order.id);
    Layout::new(
        staff,
        words.text(title).to_owned(),
        &[
            (words.text("console.room.orders"), "/admin/orders"),
            (&order.user.email, &address),
        ],
    )
}

/// `GET /admin/orders/{id}/cancel`
pub(crate) async fn cancel_page(staff: Staff, Path(order): Path<String>) -> Result<Response, PageError> {
    let order = read(&staff, &order).await?;
    cancel_form(&staff, &order, &Form::default())
}

fn cancel_form(staff: &Staff, order: &OrderDetail, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let (count, sum) = standing(order).cancellable;
    let kept = u64::try_from(order.units.len()).unwrap_or(0).saturating_sub(count);
    let back = format!("/admin/orders/{}", order.id);
    let mut page = ActionPage::new(
        layout(staff, order, "console.cancel.title"),
        form,
        format!("{back}/cancel"),
        words.text("console.cancel.submit"),
        back,
    );
    page.effects = vec![
        (
            words.text("console.cancel.refunded").to_owned(),
            format!(
                "{} · {}",
                words.count("console.units", count),
                format::price(words, sum)
            ),
        ),
        (
            words.text("console.cancel.kept").to_owned(),
            words.count("console.units", kept),
        ),
        (
            words.text("console.effect.to_balance").to_owned(),
            order.user.email.clone(),
        ),
    ];
    page.warning = Some(words.text("console.cancel.warning").to_owned());
    page.hidden = vec![("once", action::once(form))];
    page.fields = vec![
        form.field("reason", "text", words.text("console.field.reason"))
            .hint(words.text("console.field.reason.seen")),
    ];
    page.is_danger = true;
    page.answer(form)
}

/// `POST /admin/orders/{id}/cancel`
pub(crate) async fn cancel(Path(order): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, order) = (staff.words(), read(&staff, &order).await?);
    let reason = action::reason(words, &mut form, false);
    if form.is_sound() {
        let key = action::key(&form);
        let shop = &staff.state.shop;
        match shop
            .cancel_order(&staff.admin, OrderId(order.id), reason.as_deref(), key.as_ref())
            .await
        {
            Ok(cancelled) => {
                let amount = format!("{}EUR", cancelled.refunded.decimal());
                let address = format!("/admin/orders/{}", order.id);
                return Ok(forms::done(&with_query(
                    &address,
                    [("done", "cancelled"), ("amount", &amount)],
                )));
            }
            Err(ShopError::Cancel(refused)) => {
                let why = match refused {
                    NotRefundable::Store(error) => return Err(error.into()),
                    NotRefundable::Unknown => return Err(PageError::NotFound),
                    NotRefundable::Bought => "wrong.order_bought",
                    NotRefundable::Refunded => "wrong.order_refunded",
                    NotRefundable::NotAllowed(_) => "wrong.has_more_permissions",
                    NotRefundable::KeyReused => "wrong.sent_twice",
                };
                form.wrong("", words.text(why));
            }
            Err(error) => return Err(error.into()),
        }
    }
    cancel_form(&staff, &order, &form)
}

/// The unit that an address or a form names.
fn unit_of<'o>(order: &'o OrderDetail, named: &str) -> Option<&'o UnitDetail> {
    order.units.iter().find(|unit| unit.id.to_string() == named)
}

/// What can be refunded: of the unit, or of the whole order.
fn most(order: &OrderDetail, unit: Option<&UnitDetail>) -> Money {
    unit.map_or_else(|| standing(order).refundable, refundable)
}

/// `GET /admin/orders/{id}/refund`, of a unit with `?unit=`
pub(crate) async fn refund_page(staff: Staff, Path(order): Path<String>) -> Result<Response, PageError> {
    let order = read(&staff, &order).await?;
    let named = staff.parameter("unit").unwrap_or_default();
    let unit = unit_of(&order, &named);
    if order.transaction.is_none() || (unit.is_none() && !named.is_empty()) {
        return Err(PageError::NotFound);
    }
    refund_form(&staff, &order, unit, &Form::default())
}

fn refund_form(
    staff: &Staff,
    order: &OrderDetail,
    unit: Option<&UnitDetail>,
    form: &Form,
) -> Result<Response, PageError> {
    let words = staff.words();
    let most = most(order, unit);
    let back = format!("/admin/orders/{}", order.id);
    let mut page = ActionPage::new(
        layout(staff, order, "console.refund.title"),
        form,
        format!("{back}/refund"),
        words.text("console.refund.submit"),
        back,
    );
    if let Some(unit) = unit {
        let name = format!("{} · {}", title_of(order, unit), unit.position);
        page.effects.push((words.text("console.column.unit").to_owned(), name));
        page.hidden.push(("unit", unit.id.to_string()));
    }
    page.effects.extend([
        (
            words.text("console.order.paid").to_owned(),
            format::price(words, order.total),
        ),
        (words.text("console.refund.most").to_owned(), format::price(words, most)),
        (
            words.text("console.effect.to_balance").to_owned(),
            order.user.email.clone(),
        ),
    ]);
    page.warning = Some(words.text("console.refund.warning").to_owned());
    page.hidden.push(("once", action::once(form)));
    page.hidden.push(("seen", most.decimal().to_string()));
    page.fields = vec![
        form.field("amount", "text", words.text("console.field.amount"))
            .filled(&words.form().decimal(most.decimal()))
            .required(),
        form.field("reason", "text", words.text("console.field.reason"))
            .hint(words.text("console.field.reason.seen")),
    ];
    for field in &mut page.fields {
        field.keyboard = (field.name == "amount").then_some("decimal");
    }
    page.answer(form)
}

/// `POST /admin/orders/{id}/refund`
pub(crate) async fn refund(Path(order): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, order) = (staff.words(), read(&staff, &order).await?);
    let purchase = found(order.transaction.as_ref())?.id;
    let named = form.value("unit").to_owned();
    let unit = unit_of(&order, &named);
    if unit.is_none() && !named.is_empty() {
        return Err(PageError::NotFound);
    }
    let most = most(&order, unit);
    let reason = action::reason(words, &mut form, false);
    let amount = money(form.value("amount")).filter(|amount| amount.is_positive());
    match amount {
        None => form.wrong("amount", words.text("wrong.amount_invalid")),
        Some(amount) if amount > most => {
            // Somebody else refunded meanwhile: both figures are shown, and nothing was booked.
            let seen = money(form.value("seen")).filter(|seen| *seen != most);
            let why = match seen {
                Some(seen) => words.with_all(
                    "wrong.refund_changed",
                    &[&format::price(words, seen), &format::price(words, most)],
                ),
                None => words.with("wrong.refund_too_much", format::price(words, most)),
            };
            form.wrong("amount", why);
        }
        Some(_) => {}
    }
    if let Some(amount) = amount.filter(|_| form.is_sound()) {
        let (shop, key) = (&staff.state.shop, action::key(&form));
        let of = RefundOf {
            purchase,
            unit: unit.map(|unit| UnitId(unit.id)),
        };
        let confirmed = step_up::is_confirmed(&staff).await?;
        let refunded = shop
            .refund(
                &staff.admin,
                confirmed,
                of,
                Some(amount),
                reason.as_deref(),
                key.as_ref(),
            )
            .await;
        match refunded {
            Ok(refunded) => {
                let amount = format!("{}EUR", refunded.amount.decimal());
                let address = format!("/admin/orders/{}", order.id);
                return Ok(forms::done(&with_query(
                    &address,
                    [("done", "refunded"), ("amount", &amount)],
                )));
            }
            // More than the role refunds a day without the password: it is asked for, and the refund made.
            Err(ShopError::Refund(GoodwillError::NotConfirmed { .. })) => {
                return match step_up::ask(&staff, &mut form).await? {
                    Some(asked) => Ok(asked),
                    None => Box::pin(again(staff, order, form)).await,
                };
            }
            Err(ShopError::Refund(refused)) => refuse(&staff, &mut form, refused)?,
            Err(error) => return Err(error.into()),
        }
    }
    refund_form(&staff, &order, unit, &form)
}

/// Makes the refund after the password was given.
async fn again(staff: Staff, order: OrderDetail, form: Form) -> Result<Response, PageError> {
    refund(Path(order.id.to_string()), StaffForm { staff, form }).await
}

fn refuse(staff: &Staff, form: &mut Form, refused: GoodwillError) -> Result<(), PageError> {
    let words = staff.words();
    let why = match refused {
        GoodwillError::Store(error) => return Err(error.into()),
        GoodwillError::NotFound => return Err(PageError::NotFound),
        GoodwillError::TooMuch { most } => {
            form.wrong(
                "amount",
                words.with("wrong.refund_too_much", format::price(words, most)),
            );
            return Ok(());
        }
        GoodwillError::NotPositive => "wrong.amount_invalid",
        GoodwillError::NotAPurchase | GoodwillError::NotConfirmed { .. } => "wrong.not_refundable",
        GoodwillError::Own => "wrong.own_purchase",
        GoodwillError::AccountDeleted => "wrong.account_deleted",
        GoodwillError::Refused(_) => "wrong.has_more_permissions",
        GoodwillError::NothingDelivered => "wrong.nothing_delivered",
        GoodwillError::BeingReplaced => "wrong.key_being_replaced",
        GoodwillError::AlreadyRefunded => "wrong.order_refunded",
        GoodwillError::KeyReused => "wrong.sent_twice",
    };
    form.wrong("", words.text(why));
    Ok(())
}
