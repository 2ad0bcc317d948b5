//! The balance: topping up, every booking, and all keys.

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
use crate::pages::checkout;
use crate::pages::form_page::notice;
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
    /// A payment that is not certain yet: the page looks again by itself, and holds nothing that could be typed into.
    is_waiting: bool,
    /// Payments that staff looks at.
    in_review: Vec<String>,
    /// Where a payment that was begun can still be made.
    pay: Option<String>,
    /// Whoever topped up for a cart goes on with it.
    has_cart: bool,
    bookings: Vec<Booking>,
}

/// On the way to the provider's page.
#[derive(Template)]
#[template(path = "account/pay.html")]
struct PayPage {
    layout: Layout,
    amount: String,
    address: String,
}

/// A booking as the list shows it.
struct Booking {
    what: &'static str,
    /// Which games.
    subject: Option<String>,
    /// Why it went back.
    why: Option<&'static str>,
    order: Option<String>,
    date: String,
    machine_date: String,
    amount: String,
    is_in: bool,
    /// A word when it is not certain, or came to nothing.
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

/// The top-up that the address names, if it is the reader's.
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
    let mut told = notice(words, &visit);
    let mut after = After::default();
    if let Some(top_up) = named(&visit, &member).await? {
        let amount = format::price(words, top_up.amount);
        let says = |what| visit.pairs().any(|(name, _)| name == what);
        let is_leaving = says("pay");
        after.has_cart = !member.context.cart().await?.read()?.items.is_empty();
        match (top_up.status, top_up.redirect_url) {
            (TopUpStatus::Completed, _) => {
                if after.has_cart {
                    return Ok(forms::done("/checkout?done=topped_up"));
                }
                told = Some(words.text("done.topped_up").to_owned());
            }
            (TopUpStatus::Failed, _) => match &top_up.other_payment {
                None => form.wrong("", words.text("top_up.failed")),
                Some(paid) => form.wrong(
                    "",
                    words.with_all("top_up.not_credited", &[&payment(words, paid), &amount]),
                ),
            },
            // Every visit of the page says so, as long as staff has not settled it.
            (TopUpStatus::Processing, _) if top_up.other_payment.is_some() => {}
            (TopUpStatus::Pending, Some(address)) if is_leaving => {
                let page = PayPage {
                    layout: Layout::of_reader(&state, &visit, &member.context).await?,
                    amount,
                    address,
                };
                return Ok(page::secret(StatusCode::OK, page.render()?));
            }
            // Back from the payment page without having paid, as that page says.
            (TopUpStatus::Pending, Some(address)) if says("cancelled") => {
                after.pay = Some(address);
                told = Some(words.with("top_up.cancelled", amount));
            }
            (TopUpStatus::Pending | TopUpStatus::Processing, address) => {
                after.is_waiting = true;
                after.pay = address;
                told = Some(words.with("top_up.waiting", amount));
            }
        }
    }
    show(&state, &visit, &member, &form, told, after).await
}

/// What was paid, in the reader's form if it was euro.
fn payment(words: Language, paid: &OtherPayment) -> String {
    if paid.currency == "EUR" {
        format::price(words, paid.amount)
    } else {
        format!("{}\u{a0}{}", format::decimal(words, paid.amount), paid.currency)
    }
}

/// Where somebody stands who comes from the payment page.
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
        in_review: in_review.collect(),
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

/// An amount as people type it: `20`, `19.9`, `19.99`, `19,99`, with or without the sign.
///
/// Digits and at most one separator with one or two digits behind it. `1.000` and `1,000` mean a thousand to some readers
/// and one to others, and nobody types `1e2`: what can be understood in two ways is asked again.
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
        Some(amount) => match checkout::begin(&state, &visit, &member, amount, &key).await? {
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

/// A game of which keys are there.
struct Owned {
    title: Title,
    slug: String,
    picture: Picture,
    keys: u64,
    order: String,
    date: String,
}

/// Every delivered key, newest order first. What it says stands on its order's page, where showing it is put on record.
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
    fn an_amount_is_read_as_people_type_it() {
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
