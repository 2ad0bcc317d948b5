//! The balance: top-ups, transactions, and all keys.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_domain::Money;
use lockstep_domain::ids::TopUpId;
use lockstep_domain::order::{RefundReason, TransactionType};
use lockstep_domain::purchase::{OtherPayment, PaymentStatus, TopUpStatus, TopUpView, TransactionView};
use lockstep_shop::{Idempotency, ShopError, Slice};
use uuid::Uuid;

use super::Menu;
use crate::error::PageError;
use crate::forms::{self, Field, Form};
use crate::i18n::Language;
use crate::layout::Layout;
use crate::pages::form_page::notice;
use crate::pages::top_up;
use crate::pictures::Picture;
use crate::session::SignedInUser;
use crate::titles::Title;
use crate::visit::Preferences;
use crate::{WebState, format, page};

#[derive(Template)]
#[template(path = "account/balance.html")]
struct BalancePage {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    problem: Option<String>,
    balance: String,
    amount: Field,
    key: Uuid,
    /// The payment is not confirmed yet: the page reloads itself, and has no input that a reload could clear.
    is_waiting: bool,
    /// Payments that staff review.
    in_review: Vec<String>,
    /// Address at which a started payment can be continued.
    pay: Option<String>,
    /// A reader with a cart continues to the checkout after the top-up.
    has_cart: bool,
    bookings: Vec<Booking>,
}

/// The page that leads to the provider's page.
#[derive(Template)]
#[template(path = "account/pay.html")]
pub(crate) struct PayPage {
    pub(crate) layout: Layout,
    pub(crate) amount: String,
    pub(crate) address: String,
    /// Where it is cancelled.
    pub(crate) back: &'static str,
}

/// A transaction in the list.
struct Booking {
    what: &'static str,
    /// Titles of the games.
    subject: Option<String>,
    /// Reason of a refund.
    why: Option<&'static str>,
    order: Option<String>,
    date: String,
    machine_date: String,
    amount: String,
    is_in: bool,
    /// A label when the payment is pending or failed.
    state: Option<&'static str>,
}

impl Booking {
    fn new(words: Language, booking: &TransactionView) -> Self {
        Self {
            what: match booking.kind {
                TransactionType::Purchase => words.text("booking.purchase"),
                TransactionType::TopUp => words.text("booking.top_up"),
                TransactionType::Refund => words.text("booking.refund"),
            },
            subject: booking.subject.clone(),
            why: booking.reason.map(|reason| match reason {
                RefundReason::SoldOut => words.text("booking.sold_out"),
                RefundReason::TooDear => words.text("booking.too_dear"),
                RefundReason::KeyLost => words.text("booking.key_lost"),
                RefundReason::Cancelled => words.text("booking.cancelled"),
                RefundReason::NotDelivered => words.text("booking.not_delivered"),
            }),
            order: booking.order_id.map(|id| id.to_string()),
            date: format::date(words, booking.created_at),
            machine_date: format::iso_date(booking.created_at),
            amount: format::price(words, booking.amount),
            is_in: booking.amount > Money::ZERO,
            state: match booking.status {
                PaymentStatus::Completed => None,
                PaymentStatus::Pending | PaymentStatus::Processing => Some(words.text("booking.pending")),
                PaymentStatus::Failed | PaymentStatus::Cancelled => Some(words.text("booking.failed")),
            },
        }
    }
}

/// The top-up that the address names, if it belongs to the reader.
async fn named(visit: &Preferences, member: &SignedInUser) -> Result<Option<TopUpView>, PageError> {
    let id = visit
        .pairs()
        .find(|(name, _)| name == "topUp")
        .and_then(|(_, id)| id.parse::<TopUpId>().ok());
    let Some(id) = id else { return Ok(None) };
    match member.context.top_up(id).await {
        Ok(top_up) => Ok(Some(top_up)),
        Err(ShopError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let words = visit.language;
    let mut form = Form::default();
    let mut message = notice(words, &visit);
    let mut after = After::default();
    if let Some(top_up) = named(&visit, &member).await? {
        // The payment of an order: what became of it stands there.
        match member.context.pending_checkout(top_up.id).await {
            Ok(_) => {
                let is_cancelled = visit.pairs().any(|(name, _)| name == "cancelled");
                let what = if is_cancelled { "?cancelled=1" } else { "" };
                return Ok(forms::done(&format!("/checkout/{}{what}", top_up.id)));
            }
            Err(ShopError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let amount = format::price(words, top_up.amount);
        let says = |what| visit.pairs().any(|(name, _)| name == what);
        let is_leaving = says("pay");
        after.has_cart = !member.context.cart().await?.read()?.items.is_empty();
        match (top_up.status, top_up.redirect_url) {
            (TopUpStatus::Completed, _) => {
                if after.has_cart {
                    return Ok(forms::done("/checkout?done=topped_up"));
                }
                message = Some(words.text("done.topped_up").to_owned());
            }
            (TopUpStatus::Failed, _) => match &top_up.other_payment {
                None => form.wrong("", words.text("top_up.failed")),
                Some(paid) => form.wrong(
                    "",
                    words.with_all("top_up.not_credited", &[&payment(words, paid), &amount]),
                ),
            },
            // Shown on every visit until staff settle the payment.
            (TopUpStatus::Processing, _) if top_up.other_payment.is_some() => {}
            (TopUpStatus::Pending, Some(address)) if is_leaving => {
                let page = PayPage {
                    layout: Layout::of_reader(&state, &visit, &member.context).await?,
                    amount,
                    address,
                    back: "/account/balance",
                };
                return Ok(page::secret(StatusCode::OK, page.render()?));
            }
            // The reader returned from the payment page without paying, as the address says.
            (TopUpStatus::Pending, Some(address)) if says("cancelled") => {
                after.pay = Some(address);
                message = Some(words.with("top_up.cancelled", amount));
            }
            (TopUpStatus::Pending | TopUpStatus::Processing, address) => {
                after.is_waiting = true;
                after.pay = address;
                message = Some(words.with("top_up.waiting", amount));
            }
        }
    }
    show(&state, &visit, &member, &form, message, after).await
}

/// The amount that was paid, in the reader's format if it is in euro.
pub(crate) fn payment(words: Language, paid: &OtherPayment) -> String {
    if paid.currency == "EUR" {
        format::price(words, paid.amount)
    } else {
        format!("{}\u{a0}{}", format::decimal(words, paid.amount), paid.currency)
    }
}

/// What the page shows to a reader who returns from the payment page.
#[derive(Default)]
struct After {
    is_waiting: bool,
    pay: Option<String>,
    has_cart: bool,
}

async fn show(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: &Form,
    notice: Option<String>,
    after: After,
) -> Result<Response, PageError> {
    let words = visit.language;
    let bookings = member.context.transactions(Slice::NEWEST).await?;
    let in_review = member.context.top_ups_in_review().await?;
    let is_held = member.context.is_payment_held().await?;
    let in_review = in_review.iter().filter_map(|top_up| {
        let paid = payment(words, top_up.other_payment.as_ref()?);
        Some(words.with_all("top_up.in_review", &[&paid, &format::price(words, top_up.amount)]))
    });
    let page = BalancePage {
        layout: Layout::of_reader(state, visit, &member.context).await?,
        menu: Menu::of(visit),
        notice,
        problem: form.problem().map(str::to_owned),
        balance: format::price(words, member.context.balance().await?.balance),
        amount: amount_field(words, form),
        key: Uuid::new_v4(),
        is_waiting: after.is_waiting,
        in_review: in_review
            .chain(is_held.then(|| words.text("top_up.held").to_owned()))
            .collect(),
        pay: after.pay,
        has_cart: after.has_cart,
        bookings: bookings.iter().map(|booking| Booking::new(words, booking)).collect(),
    };
    Ok(page::secret(form.status(), page.render()?))
}

fn amount_field(words: Language, form: &Form) -> Field {
    let mut field = form
        .field("amount", "text", words.text("top_up.amount.label"))
        .hint(words.text("top_up.amount.hint"))
        .required();
    field.keyboard = Some("decimal");
    field
}

/// Parses an amount as people type it: `20`, `19.9`, `19.99`, `19,99`, with or without the euro sign.
///
/// Accepts digits and at most one separator followed by one or two digits. `1.000` and `1,000` mean a thousand to some
/// readers and one to others, and no reader types `1e2`: an ambiguous amount is rejected, and the reader enters it
/// again.
fn amount(text: &str) -> Option<Money> {
    let text = text.replace(['€', ' ', '\u{a0}', '\u{202f}'], "");
    let (euros, cents) = text.split_once(['.', ',']).unwrap_or((&text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(euros) || !is_number(cents) || cents.len() > 2 {
        return None;
    }
    format!("{euros}.{cents}").parse().ok()
}

pub(crate) async fn top_up(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let key = Idempotency::new(form.value("key")).ok_or(PageError::BadRequest)?;
    match amount(form.value("amount")) {
        Some(amount) => match top_up::begin(&state, &visit, &member, amount, &key).await? {
            Ok(to) => return Ok(to),
            Err(why) => form.wrong("amount", why),
        },
        None => form.wrong("amount", visit.language.text("top_up.amount.wrong")),
    }
    show(&state, &visit, &member, &form, None, After::default()).await
}

#[derive(Template)]
#[template(path = "account/keys.html")]
struct KeysPage {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    games: Vec<Owned>,
}

/// A game with delivered keys.
struct Owned {
    title: Title,
    slug: String,
    picture: Picture,
    keys: u64,
    order: String,
    date: String,
}

/// Every delivered key, newest order first. The keys themselves are on the page of the order, which records each
/// reveal.
pub(crate) async fn keys(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let words = visit.language;
    let orders = member.context.orders(Slice::NEWEST).await?;
    let mut games = Vec::new();
    for order in &orders {
        for line in &order.items {
            let keys = order.keys.iter().filter(|key| key.game_id == line.game_id).count();
            if keys > 0 {
                games.push(Owned {
                    title: Title::new(words, &line.game.title),
                    slug: line.game.slug.clone(),
                    picture: Picture::cover(line.game_id, &line.game.slug, &line.game.image),
                    keys: u64::try_from(keys).unwrap_or(u64::MAX),
                    order: order.id.to_string(),
                    date: format::date(words, order.created_at),
                });
            }
        }
    }
    let page = KeysPage {
        layout: Layout::of_reader(&state, &visit, &member.context).await?,
        menu: Menu::of(&visit),
        notice: None,
        games,
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_parsed_as_people_type_them() {
        for text in [
            "20",
            "20.00",
            "20,00",
            "20.0",
            "€20",
            "20,00 €",
            " 20\u{a0}€",
            "20\u{202f}€",
            "020",
        ] {
            assert_eq!(amount(text), Money::from_cents(2000).ok(), "{text:?}");
        }
        for text in [
            "", "twenty", "1.234,56", "1,234.56", "1.000", "1,000", "2,500", "0.000", "1e2", "1E2", "+20", "-20",
            "20.", ".5", "1_000", "1'000", "２０", "1.2.3", "0x10", "NaN",
        ] {
            assert_eq!(
                amount(text),
                None,
                "{text:?}: better asked again than understood wrongly"
            );
        }
    }
}
