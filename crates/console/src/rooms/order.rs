//! An order: what was bought, everything that happened to it in one timeline, and what can be done now.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_admin::KeyFilter;
use lockstep_domain::Money;
use lockstep_domain::admin::{Found, GameKeyRow, OrderDetail, OrderEvent, Page, UnitDetail};
use lockstep_domain::ids::OrderId;
use lockstep_domain::order::OrderStatus;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::{format, page};
use uuid::Uuid;

use super::{found, id};
use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, Row, Table, machine, with_query};

/// States of a unit of which nothing has been paid for at the supplier: a cancellation refunds it.
const CANCELLABLE: [&str; 4] = ["NEW", "ORDERING", "ORDERED", "LOST"];
/// Most keys of an order that its page lists.
const KEYS: Page = Page { number: 1, size: 200 };

/// Something that can be done with the order: label, effect in figures, address.
struct Offer {
    label: String,
    effect: String,
    address: String,
    is_danger: bool,
}

/// An event of the timeline.
struct Event {
    machine: String,
    time: String,
    what: String,
    /// Good, warning or bad.
    kind: &'static str,
    about: Option<String>,
    amount: Option<String>,
    /// The order at G2A.
    reference: Option<String>,
    note: Option<String>,
    actor: Option<String>,
    /// The page of what it is about.
    href: Option<String>,
}

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    layout: Layout,
    status: (&'static str, String),
    /// Name, value, and the address that it leads to.
    facts: Vec<(&'static str, String, Option<String>)>,
    offers: Vec<Offer>,
    units: Table,
    keys: Option<Table>,
    events: Vec<Event>,
}

/// What can be done with an order, in figures.
pub(crate) struct Standing {
    /// Units of which nothing has been paid for at the supplier, and what was paid for them.
    pub(crate) cancellable: (u64, Money),
    /// What can still be refunded of delivered units.
    pub(crate) refundable: Money,
}

/// Adds up what can be done with an order.
pub(crate) fn standing(order: &OrderDetail) -> Standing {
    let mut standing = Standing {
        cancellable: (0, Money::ZERO),
        refundable: Money::ZERO,
    };
    for unit in &order.units {
        if CANCELLABLE.contains(&unit.state.as_str()) {
            let (count, sum) = standing.cancellable;
            standing.cancellable = (count + 1, sum.checked_add(unit.price_paid).unwrap_or(sum));
        }
        let left = refundable(unit);
        standing.refundable = standing.refundable.checked_add(left).unwrap_or(standing.refundable);
    }
    standing
}

/// What can still be refunded of a unit.
pub(crate) fn refundable(unit: &UnitDetail) -> Money {
    let left = unit.price_paid.checked_sub(unit.goodwill);
    left.filter(|left| unit.state == "DONE" && left.is_positive())
        .unwrap_or(Money::ZERO)
}

/// The title of the game of a unit.
pub(crate) fn title_of<'o>(order: &'o OrderDetail, unit: &UnitDetail) -> &'o str {
    let item = order.items.iter().find(|item| item.id == unit.item_id);
    item.map_or("", |item| item.game.title.as_str())
}

/// `GET /admin/orders/{id}`
pub(crate) async fn page(staff: Staff, Path(order): Path<String>) -> Result<Response, PageError> {
    let (words, order_id) = (staff.words(), OrderId(id(&order)?));
    let order = found(staff.office().order(&staff.admin, order_id).await?)?;
    let history = found(staff.office().order_history(&staff.admin, order_id).await?)?;
    let keys = if staff.may(Permission::KeysRead) {
        let filter = KeyFilter {
            order: Some(order_id),
            ..KeyFilter::default()
        };
        staff.office().game_keys(&staff.admin, &filter, KEYS).await?.keys
    } else {
        Vec::new()
    };
    staff.saw(Found::Order(order.id)).await;
    let title = words.with("console.order.title", &history.number);
    let mut layout = Layout::new(&staff, title, &[(words.text("console.room.orders"), "/admin/orders")]);
    if matches!(order.status, OrderStatus::Pending | OrderStatus::Processing) {
        layout = layout.following(format!("/admin/live/orders/{}", order.id));
    }
    let page = OrderPage {
        layout,
        status: show::order_status(words, order.status),
        facts: facts(&staff, &order),
        offers: offers(&staff, &order),
        units: units(&staff, &order),
        keys: (!keys.is_empty()).then(|| keys_of(&staff, keys)),
        events: history
            .events
            .iter()
            // What was told to whom is for who may see these.
            .filter(|event| event.webhook.is_none() || staff.may(Permission::WebhooksRead))
            .map(|event| shown(&staff, event, order.id))
            .collect(),
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

fn facts(staff: &Staff, order: &OrderDetail) -> Vec<(&'static str, String, Option<String>)> {
    let words = staff.words();
    let customer = staff
        .may(Permission::UsersRead)
        .then(|| format!("/admin/customers/{}", order.user_id));
    let mut facts = vec![
        (
            words.text("console.column.customer"),
            format!("{} · {}", order.user.email, order.user.nickname),
            customer,
        ),
        (
            words.text("console.column.placed"),
            format::moment(words, order.created_at),
            None,
        ),
    ];
    if let Some(at) = order.completed_at {
        facts.push((words.text("console.order.completed"), format::moment(words, at), None));
    }
    if order.discount.is_positive() {
        let code = order.promo_code.as_deref().unwrap_or_default();
        let less = format::less(words, order.discount);
        facts.push((
            words.text("console.order.subtotal"),
            format::price(words, order.subtotal),
            None,
        ));
        facts.push((words.text("console.order.discount"), format!("{less} {code}"), None));
    }
    facts.push((
        words.text("console.order.paid"),
        format::price(words, order.total),
        None,
    ));
    let refunded = order.units.iter().fold(Money::ZERO, |sum, unit| {
        let back = if unit.state == "REFUNDED" {
            unit.price_paid
        } else {
            unit.goodwill
        };
        sum.checked_add(back).unwrap_or(sum)
    });
    if refunded.is_positive() {
        facts.push((
            words.text("console.order.refunded"),
            format::less(words, refunded),
            None,
        ));
    }
    let cost = order.units.iter().filter_map(|unit| unit.g2a_price);
    let cost = cost.fold(Money::ZERO, |sum, price| sum.checked_add(price).unwrap_or(sum));
    if cost.is_positive() && staff.may(Permission::SupplierRead) {
        facts.push((words.text("console.order.cost"), format::price(words, cost), None));
    }
    facts.push((words.text("console.column.id"), order.id.to_string(), None));
    facts
}

fn offers(staff: &Staff, order: &OrderDetail) -> Vec<Offer> {
    let (words, standing) = (staff.words(), standing(order));
    let mut offers = Vec::new();
    let (count, sum) = standing.cancellable;
    if count > 0 && staff.may(Permission::OrdersWrite) {
        offers.push(Offer {
            label: words.text("console.cancel.submit").to_owned(),
            effect: words.with_all(
                "console.cancel.offer",
                &[&words.count("console.units", count), &format::price(words, sum)],
            ),
            address: format!("/admin/orders/{}/cancel", order.id),
            is_danger: true,
        });
    }
    if standing.refundable.is_positive() && order.transaction.is_some() && staff.may(Permission::OrdersRefund) {
        offers.push(Offer {
            label: words.text("console.refund.some").to_owned(),
            effect: words.with("console.refund.offer", format::price(words, standing.refundable)),
            address: format!("/admin/orders/{}/refund", order.id),
            is_danger: false,
        });
    }
    offers
}

fn units(staff: &Staff, order: &OrderDetail) -> Table {
    let words = staff.words();
    let may_refund = order.transaction.is_some() && staff.may(Permission::OrdersRefund);
    let rows = order.units.iter().map(|unit| {
        let (kind, state) = show::unit_state(words, &unit.state);
        let left = refundable(unit);
        let why = match (&unit.refunded_for, &unit.last_error) {
            (Some(why), _) => Some(show::name(words, "refund_reason", why)),
            (None, Some(error)) if unit.state != "DONE" => Some(show::short(error, 120)),
            _ => None,
        };
        let address = with_query(
            &format!("/admin/orders/{}/refund", order.id),
            [("unit", unit.id.to_string().as_str())],
        );
        Row {
            href: None,
            cells: vec![
                Cell::Text(format!("{} · {}", title_of(order, unit), unit.position)),
                Cell::Tag(kind, state),
                Cell::money(words, unit.price_paid),
                if unit.goodwill.is_positive() {
                    Cell::Number(format::less(words, unit.goodwill))
                } else {
                    Cell::Nothing
                },
                unit.g2a_order_id.clone().map_or(Cell::Nothing, Cell::Code),
                Cell::text_or_none(why),
                if may_refund && left.is_positive() {
                    Cell::Action(address, words.text("console.refund.unit"))
                } else {
                    Cell::Nothing
                },
            ],
        }
    });
    let head = [
        "console.column.unit",
        "console.column.state",
        "#console.column.paid",
        "#console.column.refunded",
        "console.column.g2a_order",
        "console.column.note",
        "console.column.action",
    ];
    Table::plain(words, "console.order.units", &head, rows.collect())
}

fn keys_of(staff: &Staff, keys: Vec<GameKeyRow>) -> Table {
    let words = staff.words();
    let rows = keys.into_iter().map(|key| Row {
        href: Some(format!("/admin/keys/{}", key.id)),
        cells: vec![
            Cell::Main(key.key),
            Cell::Text(key.game.title),
            if key.faulty_at.is_some() {
                Cell::Tag("bad", words.text("console.key.faulty").to_owned())
            } else {
                Cell::Tag("good", words.text("console.key.delivered").to_owned())
            },
            Cell::time(words, key.created_at),
        ],
    });
    let head = [
        "console.column.key",
        "console.column.game",
        "console.column.state",
        "console.column.stored",
    ];
    Table::plain(words, "console.order.keys", &head, rows.collect())
}

fn shown(staff: &Staff, event: &OrderEvent, order: Uuid) -> Event {
    let words = staff.words();
    let kind = match event.what.as_str() {
        "incident.opened" | "supplier.given_up" | "webhook.failed" | "email.failed" => "bad",
        "order.completed" | "key.stored" => "good",
        what if what.starts_with("booking.") || what.starts_with("payment.") => "money",
        what if what.starts_with("audit.") => "staff",
        _ => "",
    };
    let note = match (event.what.as_str(), event.note.as_deref()) {
        // What they are booked for is what the page is about.
        (_, None | Some("")) | ("booking.purchase", _) => None,
        // The reason of a refund by staff stands at their action.
        ("booking.refund", Some(note)) => words.find(&format!("console.refund_reason.{note}")).map(str::to_owned),
        ("key.seen", Some(note)) => Some(show::name(words, "seen", note)),
        ("incident.opened", Some(note)) => Some(show::name(words, "incident", note)),
        (what, Some(note)) if what.starts_with("email.") => Some(show::name(words, "email", note)),
        (_, Some(note)) => Some(note.to_owned()),
    };
    let webhook = event.webhook.map(|id| format!("/admin/system/webhooks/{id}"));
    let email = event.email.map(|id| format!("/admin/orders/{order}/emails/{id}"));
    let payment = event
        .top_up
        .filter(|_| staff.may(Permission::PaymentsRead))
        .map(|id| format!("/admin/payments/top-ups/{id}"));
    Event {
        machine: machine(event.at),
        time: format::moment(words, event.at),
        what: show::event(words, &event.what),
        kind,
        about: event.game.as_ref().map(|game| match event.position {
            Some(position) => format!("{game} · {position}"),
            None => game.clone(),
        }),
        amount: event.amount.map(|amount| format::price(words, amount)),
        reference: event.g2a_order_id.clone(),
        note,
        href: webhook.or(email).or(payment),
        actor: event.actor.map(|actor| {
            event
                .actor_email
                .clone()
                .unwrap_or_else(|| show::short(&actor.to_string(), 9))
        }),
    }
}
