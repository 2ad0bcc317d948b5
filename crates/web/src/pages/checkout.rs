//! Checkout: the items, the exact total, and one button. A missing balance is topped up on the way, and the reader
//! returns here afterwards.
//!
//! The form contains what it showed: the games, the total, and an idempotency key. Sent twice, it creates one order. If
//! the total has risen, nothing is bought; the new total is shown, and the reader decides again. A cookie stores a
//! valid promo code until it is used, so that it survives the way to the payment page and back.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::header::{self, HeaderMap};
use axum::response::Response;
use lockstep_auth::AuthError;
use lockstep_domain::cart::Cart;
use lockstep_domain::checkout::{Bill, Checkout, CheckoutFault};
use lockstep_domain::{GameId, Money};
use lockstep_shop::{BeginError, Idempotency, PlaceError, ShopError, TopUpError};
use uuid::Uuid;

use crate::error::PageError;
use crate::format;
use crate::forms::{self, Field, Form};
use crate::i18n::Language;
use crate::layout::Layout;
use crate::pages::cart::Line;
use crate::pages::form_page::notice;
use crate::session::{self, SignedInUser};
use crate::titles::Title;
use crate::visit::Preferences;
use crate::{WebState, page};

/// Minimum top-up in cents.
const LEAST_TOP_UP: i64 = 100;

/// The default payment method: the provider's page offers those that it has.
pub(crate) const METHOD: &str = "card";

#[derive(Template)]
#[template(path = "checkout.html")]
struct CheckoutPage {
    layout: Layout,
    notice: Option<String>,
    problem: Option<String>,
    lines: Vec<Line>,
    promo: Field,
    /// The valid promo code.
    promo_code: String,
    sums: Sums,
    /// Game and quantity, as the form contains them.
    items: Vec<String>,
    /// The displayed total, machine-readable.
    expected: Money,
    key: Uuid,
    /// It contains something that cannot be bought.
    is_blocked: bool,
}

/// The total and how it is paid.
struct Sums {
    subtotal: String,
    discount: Option<String>,
    total: String,
    balance: String,
    /// The balance afterwards, or the missing amount.
    left: Option<String>,
    missing: Option<(Money, String)>,
}

impl Sums {
    fn new(words: Language, bill: &Bill, balance: Money) -> Self {
        let left = balance.checked_sub(bill.total).filter(|left| *left >= Money::ZERO);
        let missing = bill
            .total
            .checked_sub(balance)
            .filter(|missing| *missing > Money::ZERO)
            .map(|missing| missing.max(Money::from_cents(LEAST_TOP_UP).unwrap_or(missing)));
        Self {
            subtotal: format::price(words, bill.subtotal),
            discount: (bill.discount > Money::ZERO).then(|| format::less(words, bill.discount)),
            total: format::price(words, bill.total),
            balance: format::price(words, balance),
            left: left.map(|left| format::price(words, left)),
            missing: missing.map(|missing| (missing, format::price(words, missing))),
        }
    }
}

/// The order for a cart and a promo code.
fn wanted(state: &WebState, cart: &Cart, promo: &str, expected: Option<Money>) -> Result<Checkout, CheckoutFault> {
    let items = cart.items.iter().map(|line| (line.game_id, i64::from(line.quantity)));
    state.shop.checkout(items, Some(promo), expected)
}

async fn show(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    mut form: Form,
    promo_code: &str,
) -> Result<Response, PageError> {
    let words = visit.language;
    // Current, including the changes of this request.
    let cart = state.shop.cart(member.caller.principal()).await?.read()?;
    if cart.items.is_empty() {
        return Ok(forms::done("/cart"));
    }
    let mut counts = promo_code;
    let mut is_blocked = false;
    let mut quoted = quote(state, member, &cart, counts).await;
    if let Err(error) = &quoted
        && let Some(why) = promo_refusal(words, error)
    {
        form.wrong("promo", why);
        counts = "";
        quoted = quote(state, member, &cart, counts).await;
    }
    let bill = match quoted {
        Ok(bill) => bill,
        Err(error) => {
            is_blocked = true;
            form.wrong("", refusal(words, error)?);
            Bill {
                subtotal: cart.total,
                discount: Money::ZERO,
                total: cart.total,
                lines: Vec::new(),
            }
        }
    };
    let balance = member.context.balance().await?.balance;
    let page = CheckoutPage {
        layout: Layout::of_reader(state, visit, &member.context).await?.focused(),
        notice: notice(words, visit),
        problem: form.problem().map(str::to_owned),
        lines: cart.items.iter().map(|line| Line::new(words, line)).collect(),
        promo: Field {
            value: promo_code.to_owned(),
            ..form.field("promo", "text", words.text("checkout.promo"))
        },
        promo_code: counts.to_owned(),
        sums: Sums::new(words, &bill, balance),
        items: cart
            .items
            .iter()
            .map(|line| format!("{}:{}", line.game_id, line.quantity))
            .collect(),
        expected: bill.total,
        key: Uuid::new_v4(),
        is_blocked,
    };
    let mut response = page::secret(form.status(), page.render()?);
    response
        .headers_mut()
        .append(header::SET_COOKIE, session::promo_cookie(counts, &state.settings));
    Ok(response)
}

async fn quote(state: &WebState, member: &SignedInUser, cart: &Cart, promo: &str) -> Result<Bill, ShopError> {
    let checkout = wanted(state, cart, promo, None).map_err(|_| PlaceError::TooMuch)?;
    state.shop.quote(&member.caller, &member.device, &checkout).await
}

/// The text for a rejected promo code; `None` for any other error. It does not say what is wrong with a code: that
/// would help an attacker who guesses codes.
fn promo_refusal(words: Language, error: &ShopError) -> Option<String> {
    match error {
        ShopError::Place(PlaceError::PromoCode(_)) => Some(words.text("checkout.promo.invalid").to_owned()),
        ShopError::Place(PlaceError::PromoBelowCost { title }) => {
            Some(words.with("checkout.promo.not_here", Title::new(words, title)))
        }
        ShopError::Refused(AuthError::RateLimited { .. }) => Some(words.text("checkout.promo.too_many").to_owned()),
        _ => None,
    }
}

/// The text for an order that was not placed.
fn refusal(words: Language, error: ShopError) -> Result<String, PageError> {
    let error = match error {
        ShopError::Place(error) => error,
        error => return Err(error.into()),
    };
    Ok(match error {
        PlaceError::OutOfStock { title, .. } => words.with("checkout.out_of_stock", Title::new(words, &title)),
        PlaceError::NoSuchGame(_) => words.text("checkout.gone").to_owned(),
        PlaceError::PriceRisen { expected, total } => words.with_all(
            "checkout.price_risen",
            &[&format::price(words, expected), &format::price(words, total)],
        ),
        PlaceError::InsufficientBalance { total } => words.with("checkout.insufficient", format::price(words, total)),
        PlaceError::TooMuch => words.text("checkout.too_much").to_owned(),
        PlaceError::KeyReused => words.text("checkout.changed").to_owned(),
        PlaceError::PromoCode(_) => words.text("checkout.promo.invalid").to_owned(),
        PlaceError::PromoBelowCost { title } => words.with("checkout.promo.not_here", Title::new(words, &title)),
        PlaceError::NoSuchUser => return Err(PageError::Forbidden),
        PlaceError::Store(error) => return Err(error.into()),
    })
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let promo = visit
        .pairs()
        .find(|(name, _)| name == "promo")
        .map(|(_, code)| code)
        .or_else(|| session::promo(&headers).map(str::to_owned))
        .unwrap_or_default();
    show(&state, &visit, &member, Form::default(), promo.trim()).await
}

/// The games that the form showed.
fn items(form: &Form) -> Result<Vec<(GameId, i64)>, PageError> {
    form.values("item")
        .map(|item| {
            let (game, copies) = item.split_once(':')?;
            Some((GameId(game.parse().ok()?), copies.parse().ok()?))
        })
        .collect::<Option<Vec<_>>>()
        .filter(|items| !items.is_empty())
        .ok_or(PageError::BadRequest)
}

pub(crate) async fn buy(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    let promo = form.value("promo").to_owned();
    let key = Idempotency::new(form.value("key")).ok_or(PageError::BadRequest)?;
    let expected: Money = form.value("expected").parse().map_err(|_| PageError::BadRequest)?;
    match state.shop.checkout(items(&form)?, Some(&promo), Some(expected)) {
        Ok(checkout) => match (state.shop)
            .place_order(&member.caller, &member.device, &checkout, Some(&key))
            .await
        {
            Ok(order) => {
                let mut response = forms::done(&format!("/orders/{}?done=ordered", order.id));
                response
                    .headers_mut()
                    .append(header::SET_COOKIE, session::promo_cookie("", &state.settings));
                return Ok(response);
            }
            Err(error @ ShopError::Place(_)) => match promo_refusal(words, &error) {
                Some(why) => form.wrong("promo", why),
                None => form.wrong("", refusal(words, error)?),
            },
            Err(error) => return Err(error.into()),
        },
        Err(_) => form.wrong("", words.text("checkout.too_much")),
    }
    show(&state, &visit, &member, form, &promo).await
}

/// Tops up the missing amount at the provider and returns here.
pub(crate) async fn top_up(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let amount: Money = form.value("amount").parse().map_err(|_| PageError::BadRequest)?;
    let key = Idempotency::new(form.value("key")).ok_or(PageError::BadRequest)?;
    match begin(&state, &visit, &member, amount, &key).await? {
        Ok(to) => Ok(to),
        Err(why) => {
            let promo = form.value("promo").to_owned();
            form.wrong("", why);
            show(&state, &visit, &member, form, &promo).await
        }
    }
}

/// Starts a top-up and redirects to where it is paid, or returns the reason why not.
pub(crate) async fn begin(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    amount: Money,
    key: &Idempotency,
) -> Result<Result<Response, String>, PageError> {
    let words = visit.language;
    match state.shop.begin_top_up(&member.caller, amount, METHOD, Some(key)).await {
        // Not directly to the provider: browsers block a form whose redirect ends on another site (form-action).
        Ok(top_up) => Ok(Ok(forms::done(&format!("/account/balance?topUp={}&pay=1", top_up.id)))),
        Err(ShopError::TopUp(error)) => Ok(Err(match error {
            TopUpError::NoProvider => words.text("top_up.no_provider").to_owned(),
            TopUpError::Amount { least, most } => words.with_all(
                "top_up.amount",
                &[&format::price(words, least), &format::price(words, most)],
            ),
            TopUpError::Begin(BeginError::TooManyOpen) => words.text("top_up.too_many").to_owned(),
            TopUpError::Begin(BeginError::Store(error)) => return Err(error.into()),
            TopUpError::Begin(_) | TopUpError::Method | TopUpError::Provider(_) | TopUpError::UnderWay => {
                words.text("top_up.unavailable").to_owned()
            }
        })),
        Err(error) => Err(error.into()),
    }
}
