//! Orders: the list, and one order whose keys appear as they arrive. `order.js` listens for events and fetches the page
//! again; without scripts the browser reloads it until the order is final.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use chrono::SecondsFormat;
use lockstep_domain::catalogue::Game;
use lockstep_domain::consent::Wording;
use lockstep_domain::ids::{KeyId, OrderId};
use lockstep_domain::law::Duty;
use lockstep_domain::order::{OrderStatus, RefundReason};
use lockstep_domain::purchase::{KeyView, OrderItem, OrderUnit, OrderUnitStatus, OrderView};
use lockstep_domain::{Money, redeem};
use lockstep_shop::{OrderWatch, Seen, Shop, Slice};

use crate::error::PageError;
use crate::forms::{self, Form};
use crate::i18n::Language;
use crate::layout::Layout;
use crate::pages::account::Menu;
use crate::pages::form_page::notice;
use crate::pages::receipts;
use crate::pictures::Picture;
use crate::session::SignedInUser;
use crate::titles::Title;
use crate::visit::Preferences;
use crate::{WebState, format, page};

/// Interval of keep-alive lines on an idle event stream, so that proxies do not close it.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Template)]
#[template(path = "account/orders.html")]
struct OrdersPage {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    /// The order number that was searched for.
    number: String,
    orders: Vec<Summary>,
}

/// An order in the list.
struct Summary {
    id: OrderId,
    number: String,
    titles: String,
    pictures: Vec<Picture>,
    copies: u64,
    date: String,
    total: String,
    status: (&'static str, &'static str),
}

/// Number of covers that the list shows of an order.
const COVERS: usize = 3;

impl Summary {
    fn new(words: Language, order: &OrderView) -> Self {
        let first = order.items.first().map(|line| Title::new(words, &line.game.title));
        let first = first.as_ref().map(Title::name).unwrap_or_default();
        Self {
            id: order.id,
            number: order.number.clone(),
            titles: match order.items.len() {
                0 | 1 => first.to_owned(),
                games => words.with_all("orders.and_more", &[&first, &(games - 1)]),
            },
            pictures: order.items.iter().take(COVERS).map(cover).collect(),
            copies: order.items.iter().map(|line| u64::from(line.quantity)).sum(),
            date: format::date(words, order.created_at),
            total: format::price(words, order.total),
            status: status(words, order),
        }
    }
}

fn cover(line: &OrderItem) -> Picture {
    Picture::cover(line.game_id, &line.game.slug, &line.game.image)
}

/// The status of an order: the colour of its tag, and the text.
fn status(words: Language, order: &OrderView) -> (&'static str, &'static str) {
    match order.status {
        OrderStatus::Completed if order.refunded > Money::ZERO => ("warn", words.text("order.partly")),
        OrderStatus::Completed => ("good", words.text("order.completed")),
        OrderStatus::Failed | OrderStatus::Cancelled => ("warn", words.text("order.refunded")),
        _ => ("", words.text("order.under_way")),
    }
}

pub(crate) async fn list(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let words = visit.language;
    let number = visit.pairs().find(|(name, _)| name == "number");
    let number = number.map(|(_, number)| number.trim().to_owned()).unwrap_or_default();
    let mut message = notice(words, &visit);
    if !number.is_empty() {
        if let Some(id) = member.context.order_by_number(&number).await? {
            return Ok(forms::done(&format!("/orders/{id}")));
        }
        message = Some(words.with("orders.search.none", &number));
    }
    let orders = member.context.orders(Slice::NEWEST).await?;
    let page = OrdersPage {
        layout: Layout::of_reader(&state, &visit, &member.context).await?,
        menu: Menu::of(&visit),
        notice: message,
        number,
        orders: orders.iter().map(|order| Summary::new(words, order)).collect(),
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    layout: Layout,
    notice: Option<String>,
    id: OrderId,
    /// The order number that people use.
    number: String,
    date: String,
    machine_date: String,
    status: (&'static str, &'static str),
    /// Number of delivered keys and of units.
    progress: String,
    is_final: bool,
    lines: Vec<Line>,
    subtotal: String,
    discount: Option<String>,
    total: String,
    refunded: Option<String>,
    /// The total after partial refunds.
    kept: Option<String>,
    /// The wording that the reader has to consent to before keys are shown: version, language and text.
    consent: Option<(&'static str, &'static str, &'static str)>,
    /// The order can be withdrawn from.
    can_withdraw: bool,
    /// Receipt and credit notes: kind and number.
    receipts: Vec<(&'static str, String)>,
}

/// An order item with its units.
struct Line {
    title: Title,
    slug: String,
    picture: Picture,
    /// Price of one unit.
    price: String,
    /// Number of keys that are shown in clear.
    shown: usize,
    /// Where its keys are redeemed: the service, and its page for that.
    redeem: Option<(String, &'static str)>,
    /// How its keys are activated.
    activation: Option<String>,
    copies: Vec<Copy>,
}

/// One order unit.
struct Copy {
    position: u32,
    state: OrderUnitStatus,
    /// What it waits for while it has no key.
    waits: String,
    /// Text of its key.
    key: Option<String>,
    /// Id of its key for a download, when the key is a file.
    file: Option<String>,
    price: String,
    /// The text for its refund with the reason, or for a partial refund.
    refunded: Option<String>,
}

/// The text for the refund of a unit.
fn refund(words: Language, copy: &OrderUnit) -> Option<String> {
    if copy.refunded <= Money::ZERO && copy.state != OrderUnitStatus::Refunded {
        return None;
    }
    let amount = format::price(words, copy.refunded);
    Some(match (copy.state, copy.refund_reason) {
        (OrderUnitStatus::Refunded, Some(RefundReason::SoldOut)) => words.with("order.back.sold_out", amount),
        (OrderUnitStatus::Refunded, Some(RefundReason::TooDear)) => words.with("order.back.too_dear", amount),
        (OrderUnitStatus::Refunded, Some(RefundReason::KeyLost)) => words.with("order.back.key_lost", amount),
        (OrderUnitStatus::Refunded, Some(RefundReason::Cancelled)) => words.with("order.back.cancelled", amount),
        (OrderUnitStatus::Refunded, Some(RefundReason::NotDelivered) | None) => {
            words.with("order.back.not_delivered", amount)
        }
        _ => words.with("order.back.goodwill", amount),
    })
}

/// The text for the number of delivered keys and of refunded units.
fn progress(words: Language, order: &OrderView) -> String {
    let count = |state| order.copies.iter().filter(|copy| copy.state == state).count();
    let (there, back) = (count(OrderUnitStatus::Delivered), count(OrderUnitStatus::Refunded));
    let keys = words.with_all("order.progress", &[&there, &order.copies.len()]);
    match u64::try_from(back) {
        Ok(0) | Err(_) => keys,
        Ok(back) => format!("{keys} · {}", words.count("order.progress.back", back)),
    }
}

/// The game of an order item, as its page reads it; `None` when it no longer has one.
async fn known(state: &WebState, line: &OrderItem) -> Result<Option<Game>, PageError> {
    let game = state.shop.catalogue().game_by_slug(line.game.slug.clone()).await?;
    Ok(game.map(|game| game.value()).transpose()?)
}

/// How keys of a game are activated, in the text of its page.
fn activation(words: Language, game: &Game) -> Option<String> {
    let service = game.activation_service.as_ref()?;
    let key = format!("activate.{}", lockstep_domain::slug::slugify(service));
    let known = words.find(&key).map(str::to_owned);
    Some(known.unwrap_or_else(|| words.with("order.activate.other", service)))
}

/// When the keys of a game that is not released yet are delivered.
fn preorder(words: Language, game: &Game) -> Option<String> {
    game.is_preorder.then(|| {
        if game.release_date_known {
            words.with("order.copy.preorder", format::date(words, game.release_date))
        } else {
            words.text("order.copy.preorder.some_day").to_owned()
        }
    })
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    Path(id): Path<String>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let words = visit.language;
    let order = member.context.order(order_id(&id)?, Seen::Page).await?;
    let mut lines = Vec::with_capacity(order.items.len());
    for line in &order.items {
        let has_keys = order.keys.iter().any(|key| key.game_id == line.game_id);
        let shown = |key: &&KeyView| key.game_id == line.game_id && key.key.is_some();
        let game = known(&state, line).await?;
        lines.push(Line {
            title: Title::new(words, &line.game.title),
            slug: line.game.slug.clone(),
            picture: cover(line),
            price: format::price(words, line.price),
            shown: order.keys.iter().filter(shown).count(),
            redeem: game.as_ref().filter(|_| has_keys).and_then(|game| {
                let service = game.activation_service.as_ref()?;
                Some((service.clone(), redeem::page(service)?))
            }),
            activation: game
                .as_ref()
                .filter(|_| has_keys)
                .and_then(|game| activation(words, game)),
            copies: copies(words, &order, (line, game.as_ref()), visit.site.acting.is_some()),
        });
    }
    let receipts = if order.status == OrderStatus::Completed {
        member.context.receipts(order.id).await?
    } else {
        Vec::new()
    };
    let page = OrderPage {
        receipts: receipts
            .into_iter()
            .map(|receipt| (receipts::kind(words, receipt.kind), receipt.number))
            .collect(),
        layout: Layout::of_reader(&state, &visit, &member.context).await?,
        notice: notice(words, &visit),
        id: order.id,
        number: order.number.clone(),
        date: format::moment(words, order.created_at),
        machine_date: order.created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        status: status(words, &order),
        progress: progress(words, &order),
        is_final: order.is_final(),
        lines,
        subtotal: format::price(words, order.subtotal),
        discount: (order.discount > Money::ZERO).then(|| format::less(words, order.discount)),
        total: format::price(words, order.total),
        refunded: (order.refunded > Money::ZERO).then(|| format::less(words, order.refunded)),
        kept: order
            .total
            .checked_sub(order.refunded)
            .filter(|_| order.refunded > Money::ZERO)
            .map(|kept| format::price(words, kept)),
        consent: order.needs_consent.then(|| wording(words)),
        can_withdraw: state.shop.duties().is_on(Duty::Withdrawal),
    };
    // The page contains keys.
    Ok(page::secret(StatusCode::OK, page.render()?))
}

fn copies(words: Language, order: &OrderView, (line, game): (&OrderItem, Option<&Game>), is_acting: bool) -> Vec<Copy> {
    let day = game.and_then(|game| preorder(words, game));
    order
        .copies
        .iter()
        .filter(|copy| copy.game_id == line.game_id)
        .map(|copy| {
            let key = copy.key_id.and_then(|id| order.keys.iter().find(|key| key.id == id));
            Copy {
                position: copy.position,
                state: copy.state,
                waits: match (copy.state, &day) {
                    (OrderUnitStatus::Waiting, Some(day)) => day.clone(),
                    (OrderUnitStatus::Waiting, None) => words.text("order.copy.waiting").to_owned(),
                    (OrderUnitStatus::Replacing, _) => words.text("order.copy.replacing").to_owned(),
                    _ => words.text("order.copy.buying").to_owned(),
                },
                key: key.and_then(|key| key.key.as_ref()).map(|key| key.expose().to_owned()),
                file: key
                    .filter(|key| key.is_file && !order.needs_consent && !is_acting)
                    .map(|key| key.id.to_string()),
                price: format::price(words, copy.price),
                refunded: refund(words, copy),
            }
        })
        .collect()
}

/// The current wording of the consent: version, language and text.
pub(crate) fn wording(words: Language) -> (&'static str, &'static str, &'static str) {
    let current = Wording::current();
    let (language, text) = current.shown(words.speech());
    (current.version, language, text)
}

/// `POST /orders/{id}/consent`: the reader wants the keys now.
pub(crate) async fn consent(
    State(state): State<Arc<WebState>>,
    Path(id): Path<String>,
    member: SignedInUser,
    form: Form,
) -> Result<Response, PageError> {
    let id = order_id(&id)?;
    // Sent without a tick: the page asks again.
    if !form.value("consent").is_empty() {
        let agreed = Shop::agreed(form.value("consent"), form.value("consentLanguage"), &member.device);
        let agreed = agreed.ok_or(PageError::BadRequest)?;
        state.shop.consent(&member.caller, id, &agreed).await?;
    }
    Ok(forms::done(&format!("/orders/{id}")))
}

fn order_id(text: &str) -> Result<OrderId, PageError> {
    text.parse().map_err(|_| PageError::NotFound)
}

/// Sends an event for each change of the order. The page shows what has changed.
pub(crate) async fn events(Path(id): Path<String>, member: SignedInUser) -> Result<Response, PageError> {
    let watch = member.context.watch_order(order_id(&id)?).await?;
    let mut response = Sse::new(futures::stream::unfold(watch, next_event))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Disables buffering in proxies, which would delay the events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

async fn next_event(mut watch: OrderWatch) -> Option<(Result<Event, Infallible>, OrderWatch)> {
    let order = watch.next().await?;
    let name = if order.is_final() { "over" } else { "news" };
    // Browsers ignore an event without data.
    Some((Ok(Event::default().event(name).data(name)), watch))
}

/// One key as a file; the reveal is recorded.
pub(crate) async fn key_file(
    Path((order, key)): Path<(String, String)>,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let key: KeyId = key.parse().map_err(|_| PageError::NotFound)?;
    let file = member.context.key_file(order_id(&order)?, key).await?;
    let kind = if file.is_text {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    };
    let mut response = Response::new(Body::from(file.bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The name consists of an id and an extension.
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{}\"", file.name)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}
