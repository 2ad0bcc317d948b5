//! Checkout: the items, the exact total, and one button. What the balance lacks is paid at the provider, and the order is placed
//! once the money is there; [`pending`] follows it.
//!
//! The form contains what it showed: the games, the total, the payment, and an idempotency key. Sent twice, it creates one order. If
//! the total has risen, nothing is bought; the new total is shown, and the reader decides again. A cookie stores a
//! valid promo code until it is used, so that it survives the way to the payment page and back.

pub(crate) mod pending;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::header::{self, HeaderMap};
use axum::response::Response;
use lockstep_auth::AuthError;
use lockstep_domain::cart::Cart;
use lockstep_domain::checkout::{Bill, Checkout, CheckoutFault};
use lockstep_domain::consent::{Consent, ConsentMode};
use lockstep_domain::ids::TopUpId;
use lockstep_domain::pending_checkout::CheckoutView;
use lockstep_domain::tax::BillingForm;
use lockstep_domain::{GameId, Money};
use lockstep_page::countries::country_name;
use lockstep_shop::{CheckoutWish, Idempotency, PlaceError, Shop, ShopError};
use uuid::Uuid;

use crate::error::PageError;
use crate::format;
use crate::forms::{self, Field, Form};
use crate::i18n::Language;
use crate::layout::Layout;
use crate::pages::account::billing;
use crate::pages::cart::Line;
use crate::pages::form_page::notice;
use crate::pages::orders::wording;
use crate::pages::top_up;
use crate::session::{self, SignedInUser};
use crate::titles::Title;
use crate::visit::Preferences;
use crate::{WebState, page};

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
    /// The paid checkout that this one settles.
    after: Option<TopUpId>,
    /// The wording of the consent: version, language and text.
    consent: (&'static str, &'static str, &'static str),
    /// Whether the reader has ticked it.
    is_ticked: bool,
    /// Without it, the keys wait.
    is_consent_required: bool,
    /// It contains something that cannot be bought.
    is_blocked: bool,
    /// The country of the billing data, when prices include VAT and it is known.
    country: Option<String>,
    /// The countries of the choice, when it is asked for.
    countries: Vec<(&'static str, &'static str, bool)>,
    country_error: Option<String>,
}

/// The total and how it is paid.
struct Sums {
    subtotal: String,
    discount: Option<String>,
    total: String,
    balance: String,
    /// The balance afterwards.
    left: Option<String>,
    /// What the reader owes from an earlier payment, which is settled first.
    owed: Option<String>,
    /// What the provider is paid; zero if the balance suffices.
    payment: Money,
    /// The same in words, if there is a payment.
    pay_now: Option<String>,
    /// The smallest payment, if less is missing: the rest stays on the balance.
    least: Option<String>,
    /// What the button says.
    button: String,
}

impl Sums {
    fn new(words: Language, bill: &Bill, balance: Money, owed: Money, least: Money) -> Self {
        let missing = bill
            .total
            .checked_sub(balance)
            .and_then(|missing| missing.checked_add(owed))
            .filter(|missing| missing.is_positive() && bill.total.is_positive());
        let payment = missing.map_or(Money::ZERO, |missing| missing.max(least));
        let left = balance
            .checked_add(payment)
            .and_then(|paid| paid.checked_sub(owed)?.checked_sub(bill.total))
            .filter(|left| *left >= Money::ZERO);
        let price = |amount| format::price(words, amount);
        Self {
            subtotal: price(bill.subtotal),
            discount: (bill.discount > Money::ZERO).then(|| format::less(words, bill.discount)),
            total: price(bill.total),
            balance: price(balance),
            left: left.filter(|left| missing.is_none() || left.is_positive()).map(price),
            owed: Some(owed).filter(|owed| owed.is_positive()).map(price),
            payment,
            pay_now: missing.map(|_| price(payment)),
            least: missing.filter(|missing| *missing < least).map(|_| price(least)),
            button: price(if missing.is_some() { payment } else { bill.total }),
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
    after: Option<(TopUpId, String)>,
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
    let owed = member.context.owed().await?;
    let least = state.shop.payments().limits().least;
    let (after, told) = after.unzip();
    let billing = if visit.site.has_vat {
        state.shop.billing(&member.caller).await?
    } else {
        None
    };
    let asks_country = visit.site.has_vat && billing.is_none();
    let page = CheckoutPage {
        country: billing.map(|billing| country_name(words, billing.country.as_str())),
        countries: if asks_country {
            billing::choices(visit, form.value("country"))
        } else {
            Vec::new()
        },
        country_error: form.error("country").map(str::to_owned),
        layout: Layout::of_reader(state, visit, &member.context).await?.focused(),
        notice: notice(words, visit),
        problem: form
            .problem()
            .map(str::to_owned)
            .or(told)
            .filter(|told| !told.is_empty()),
        lines: cart.items.iter().map(|line| Line::new(words, line)).collect(),
        promo: Field {
            value: promo_code.to_owned(),
            ..form.field("promo", "text", words.text("checkout.promo"))
        },
        promo_code: counts.to_owned(),
        sums: Sums::new(words, &bill, balance, owed, least),
        items: cart
            .items
            .iter()
            .map(|line| format!("{}:{}", line.game_id, line.quantity))
            .collect(),
        expected: bill.total,
        key: Uuid::new_v4(),
        after,
        consent: wording(words),
        is_ticked: !form.value("consent").is_empty(),
        is_consent_required: state.shop.consent_mode() != ConsentMode::Development,
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
        ShopError::Place(error) => promo_misfit(words, error),
        ShopError::Refused(AuthError::RateLimited { .. }) => Some(words.text("checkout.promo.too_many").to_owned()),
        _ => None,
    }
}

/// The text for a promo code that does not fit this order or customer.
fn promo_misfit(words: Language, error: &PlaceError) -> Option<String> {
    match error {
        PlaceError::PromoNotHere => Some(words.text("checkout.promo.not_these").to_owned()),
        PlaceError::PromoMinimum { least } => Some(words.with("checkout.promo.minimum", format::price(words, *least))),
        PlaceError::PromoFirstOrder => Some(words.text("checkout.promo.first_order").to_owned()),
        _ => None,
    }
}

/// The text for an order that was not placed.
fn refusal(words: Language, error: ShopError) -> Result<String, PageError> {
    let error = match error {
        ShopError::Place(error) => error,
        error => return Err(error.into()),
    };
    if let Some(why) = promo_misfit(words, &error) {
        return Ok(why);
    }
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
        PlaceError::PromoCode(_)
        | PlaceError::PromoNotHere
        | PlaceError::PromoMinimum { .. }
        | PlaceError::PromoFirstOrder => words.text("checkout.promo.invalid").to_owned(),
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
    let named = |name: &str| visit.pairs().find(|(known, _)| known == name).map(|(_, value)| value);
    let mut after = None;
    let mut promo = named("promo").or_else(|| session::promo(&headers).map(str::to_owned));
    // The reader comes from a checkout that ended without an order.
    if let Some(id) = named("after").and_then(|id| id.parse::<TopUpId>().ok()) {
        match member.context.pending_checkout(id).await {
            Ok(found) => {
                promo = promo.or(found.promo_code);
                after = found.reason.map(|why| (id, pending::told(visit.language, why)));
            }
            Err(ShopError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let promo = promo.unwrap_or_default();
    show(&state, &visit, &member, Form::default(), promo.trim(), after).await
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

/// The consent of the form. A checkbox that is not ticked is none: these pages ask, whatever a front-end does.
fn consent(state: &WebState, member: &SignedInUser, form: &Form) -> Result<Option<Consent>, PageError> {
    let version = form.value("consent");
    if version.is_empty() {
        let mode = state.shop.consent_mode();
        return Ok(mode.unasked().filter(|_| mode == ConsentMode::Development));
    }
    let agreed = Shop::agreed(version, form.value("consentLanguage"), &member.device).ok_or(PageError::BadRequest)?;
    Ok(Some(Consent::Shopper(agreed)))
}

/// Whether the country of the billing data is known, which the form may have asked for; otherwise the error is recorded. Without VAT
/// nobody is asked.
async fn country_is_known(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: &mut Form,
) -> Result<bool, PageError> {
    if !visit.site.has_vat || state.shop.billing(&member.caller).await?.is_some() {
        return Ok(true);
    }
    let entered = BillingForm {
        country: form.value("country").to_owned(),
        ..BillingForm::default()
    };
    match entered.checked() {
        Ok((profile, _)) => {
            state.shop.change_billing(&member.caller, &profile, None).await?;
            Ok(true)
        }
        Err(errors) => {
            form.wrong_fields(visit.language, &errors);
            Ok(false)
        }
    }
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
    // Without one, only the balance pays.
    let payment: Money = match form.value("payment") {
        "" => Money::ZERO,
        amount => amount.parse().map_err(|_| PageError::BadRequest)?,
    };
    let after: Option<TopUpId> = form.value("after").parse().ok();
    let consent = consent(&state, &member, &form)?;
    if !country_is_known(&state, &visit, &member, &mut form).await? {
        return again(&state, &visit, &member, form, &promo, after).await;
    }
    match state.shop.checkout(items(&form)?, Some(&promo), Some(expected)) {
        Ok(checkout) => {
            let wish = CheckoutWish {
                method: top_up::METHOD,
                agreed: Some(payment),
                after,
                key: Some(&key),
            };
            let checkout = checkout.with_consent(consent);
            let begun = state
                .shop
                .begin_checkout(&member.caller, &member.device, &checkout, wish)
                .await;
            match begun {
                Ok(found) => return Ok(on_the_way(&state, &found)),
                Err(error @ ShopError::Place(_)) => match promo_refusal(words, &error) {
                    Some(why) => form.wrong("promo", why),
                    None => form.wrong("", refusal(words, error)?),
                },
                Err(ShopError::TopUp(error)) => form.wrong("", top_up::refusal(words, error)?),
                Err(error) => return Err(error.into()),
            }
        }
        Err(_) => form.wrong("", words.text("checkout.too_much")),
    }
    again(&state, &visit, &member, form, &promo, after).await
}

/// Leads to the order, or to what follows its payment. Not directly to the provider: browsers block a form whose redirect ends on
/// another site (form-action).
fn on_the_way(state: &WebState, found: &CheckoutView) -> Response {
    let to = match (found.order_id, found.id) {
        (Some(order), _) => format!("/orders/{order}?done=ordered"),
        (None, Some(id)) => format!("/checkout/{id}?pay=1"),
        (None, None) => "/orders".to_owned(),
    };
    let mut response = forms::done(&to);
    if found.order_id.is_some() {
        response
            .headers_mut()
            .append(header::SET_COOKIE, session::promo_cookie("", &state.settings));
    }
    response
}

/// The page with what is wrong in the form.
async fn again(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: Form,
    promo: &str,
    after: Option<TopUpId>,
) -> Result<Response, PageError> {
    let after = after.map(|after| (after, String::new()));
    show(state, visit, member, form, promo, after).await
}
