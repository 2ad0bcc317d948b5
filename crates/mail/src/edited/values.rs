//! The variables of each e-mail, their values, and examples of e-mails.

use std::collections::{BTreeMap, HashMap};

use lockstep_domain::Secret;
use lockstep_domain::email_template::{DeliveredCopy, EmailTemplate, OrderedLine, RefundedCopy};
use lockstep_domain::language::Language;
use lockstep_domain::order::RefundReason;
use lockstep_domain::pending_checkout::CheckoutReason;
use lockstep_domain::{Money, title::Title};

use crate::render::{self, Block, EmailBranding};
use crate::texts::Words;

/// What a variable stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, which is escaped.
    Text,
    /// An address, also possible as an `href`.
    Link,
    /// Several lines in the shop's format.
    Block,
}

impl Kind {
    /// Its name in the JSON API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Link => "link",
            Self::Block => "block",
        }
    }
}

/// A variable of an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name between braces.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What it stands for.
    pub kind: Kind,
    /// Whether the e-mail is of no use without it.
    pub is_required: bool,
}

const fn variable(name: &'static str, about: &'static str, kind: Kind) -> Variable {
    Variable {
        name,
        about,
        kind,
        is_required: false,
    }
}

const fn required(variable: Variable) -> Variable {
    Variable {
        is_required: true,
        ..variable
    }
}

const GREETING: Variable = variable(
    "greeting",
    "greeting in the reader's language, with their name",
    Kind::Text,
);
const NICKNAME: Variable = variable(
    "nickname",
    "the reader's name; empty if it resembles a link",
    Kind::Text,
);
const SHOP: Variable = variable("shop", "name of the shop", Kind::Text);
const SHOP_URL: Variable = variable("shopUrl", "address of the shop", Kind::Link);
const CODE: Variable = variable("code", "six digits that prove the address", Kind::Text);
const LINK: Variable = variable("link", "where the button leads", Kind::Link);
const MINUTES: Variable = variable("minutes", "for how many minutes code and link are valid", Kind::Text);
const ITEMS: Variable = variable("items", "the games, with their keys or prices", Kind::Block);
const SUMMARY: Variable = variable("summary", "labels and values, such as sums or the device", Kind::Block);
const ORDER_NUMBER: Variable = variable("orderNumber", "number of the order", Kind::Text);
const TOTAL: Variable = variable("total", "amount paid", Kind::Text);
const AMOUNT: Variable = variable("amount", "amount added to the balance", Kind::Text);
const BALANCE: Variable = variable("balance", "balance after it", Kind::Text);
const TITLE: Variable = variable("title", "title of the game", Kind::Text);
const SUBJECT: Variable = variable("title", "what it is about", Kind::Text);
const MESSAGE: Variable = variable(
    "message",
    "the text, if the template does not say everything",
    Kind::Text,
);
const PRICE: Variable = variable("price", "price of the game", Kind::Text);

/// The variables of an e-mail with this name, without those that all have.
fn own(name: &str) -> Option<&'static [Variable]> {
    Some(match name {
        "welcome" => const { &[CODE, required(LINK), MINUTES] },
        "verification" => const { &[required(CODE), LINK, MINUTES] },
        "reset" => const { &[required(LINK), MINUTES] },
        "order-received" => const { &[required(ITEMS), SUMMARY, required(LINK), ORDER_NUMBER, TOTAL] },
        "top-up" => const { &[SUMMARY, AMOUNT, BALANCE, LINK] },
        "order-not-placed" => const { &[required(SUMMARY), required(LINK)] },
        "new-device" => const { &[required(SUMMARY), LINK] },
        "keys-ready" => const { &[required(ITEMS), SUMMARY, required(LINK), ORDER_NUMBER] },
        "refund" => const { &[required(ITEMS), SUMMARY, AMOUNT, LINK, ORDER_NUMBER] },
        "password-changed" | "second-factor-added" | "second-factor-removed" | "second-factor-reset" => {
            const { &[LINK] }
        }
        "account-deleted" => &[],
        "back-in-stock" => const { &[ITEMS, TITLE, PRICE, required(LINK)] },
        "announcement" => const { &[SUBJECT, MESSAGE, LINK] },
        "consent-confirmed" => const { &[required(SUMMARY), LINK, ORDER_NUMBER] },
        "withdrawal-received" | "withdrawal-decided" => const { &[required(SUMMARY)] },
        _ => return None,
    })
}

/// The variables of an e-mail with this name ([`EmailTemplate::kind`]); `None` if there is no such e-mail.
pub fn variables(name: &str) -> Option<Vec<Variable>> {
    let all = [GREETING, NICKNAME, SHOP, SHOP_URL];
    Some(own(name)?.iter().copied().chain(all).collect())
}

/// When an e-mail with this name is sent.
pub fn about(name: &str) -> &'static str {
    match name {
        "welcome" => "After registration, with a code that verifies the address",
        "verification" => "Another code that verifies the address, on request",
        "reset" => "The link to set a new password",
        "order-received" => "An order was placed and paid for",
        "top-up" => "A payment was added to the balance",
        "order-not-placed" => "An order was paid for and could not be placed; the money is on the balance",
        "password-changed" => "The password was changed",
        "new-device" => "A log-in from a device that is new for the account",
        "keys-ready" => "Keys of an order were delivered",
        "refund" => "Money was refunded to the balance",
        "second-factor-added" => "Two-factor authentication was switched on",
        "second-factor-removed" => "Two-factor authentication was switched off",
        "second-factor-reset" => "Staff removed two-factor authentication from the account",
        "account-deleted" => "The account was deleted",
        "back-in-stock" => "A game with a stock alert can be bought again",
        "consent-confirmed" => "The customer has consented on the order's page",
        "withdrawal-received" => "A withdrawal from a contract has arrived",
        "withdrawal-decided" => "Staff have decided about a withdrawal",
        "announcement" => "What staff tell many; with a link to unsubscribe in its foot",
        _ => "",
    }
}

/// The value of a variable. It has no `Debug` on purpose: it may be a code or a key.
pub(super) enum Value {
    Text(String),
    Link(String),
    Block { html: String, text: String },
}

impl Value {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) | Self::Link(text) | Self::Block { text, .. } => text.is_empty(),
        }
    }
}

/// The values of an e-mail's variables.
pub(super) type Values = HashMap<&'static str, Value>;

/// The values of the variables of `email`.
pub(super) fn values(email: &EmailTemplate, language: Language, head: &EmailBranding) -> Result<Values, askama::Error> {
    let words = Words(language);
    let contents = render::contents(email, language, head);
    let mut values = HashMap::from([
        (GREETING.name, Value::Text(contents.greeting)),
        (NICKNAME.name, Value::Text(render::safe_nickname(email).to_owned())),
        (SHOP.name, Value::Text(head.shop.clone())),
        (SHOP_URL.name, Value::Link(head.front_url.clone())),
    ]);
    for block in contents.blocks {
        let (name, value) = match block {
            Block::Text(_) | Block::Quiet(_) => continue,
            Block::Code(code) => (CODE.name, Value::Text(code)),
            Block::Button { url, .. } => (LINK.name, Value::Link(url)),
            Block::Items(_) | Block::Facts(_) => {
                let name = if matches!(block, Block::Items(_)) {
                    ITEMS.name
                } else {
                    SUMMARY.name
                };
                let (html, text) = render::one_block(&block)?;
                (name, Value::Block { html, text })
            }
        };
        values.insert(name, value);
    }
    let mut say = |variable: Variable, text: String| {
        values.insert(variable.name, Value::Text(text));
    };
    if let Some(number) = render::order_number(email) {
        say(ORDER_NUMBER, number.to_owned());
    }
    match email {
        EmailTemplate::Welcome { minutes, .. }
        | EmailTemplate::Verification { minutes, .. }
        | EmailTemplate::Reset { minutes, .. } => say(MINUTES, minutes.to_string()),
        EmailTemplate::OrderReceived { total, .. } => say(TOTAL, words.price(*total)),
        EmailTemplate::TopUp { amount, balance, .. } => {
            say(AMOUNT, words.price(*amount));
            say(BALANCE, words.price(*balance));
        }
        EmailTemplate::Announcement { title, message, .. } => {
            say(SUBJECT, title.clone());
            say(MESSAGE, message.clone());
        }
        EmailTemplate::Refund { amount, .. } => say(AMOUNT, words.price(*amount)),
        EmailTemplate::BackInStock { title, price, .. } => {
            say(TITLE, Title::new(title).name().to_owned());
            say(PRICE, words.price(*price));
        }
        _ => {}
    }
    Ok(values)
}

/// Replaces values with those that staff entered; unknown names are ignored.
pub(super) fn replace(values: &mut Values, variables: &[Variable], given: &BTreeMap<String, String>) {
    for variable in variables {
        if let Some(text) = given.get(variable.name) {
            let value = match variable.kind {
                Kind::Text => Value::Text(text.clone()),
                Kind::Link => Value::Link(text.clone()),
                Kind::Block => Value::Block {
                    html: format!("<p>{}</p>", html_escape::encode_safe(text)),
                    text: text.clone(),
                },
            };
            values.insert(variable.name, value);
        }
    }
}

/// An amount in EUR.
pub(super) fn cents(cents: i64) -> Money {
    Money::from_cents(cents).unwrap_or_default()
}

/// The numbers and names of an example.
pub(super) struct Facts {
    pub(super) minutes: u32,
    pub(super) amount: Money,
    pub(super) number: String,
    pub(super) title: String,
}

impl Facts {
    /// Those of a preview.
    pub(super) fn usual() -> Self {
        Self {
            minutes: 30,
            amount: cents(1_999),
            number: "7ZK3M0Q9XA".to_owned(),
            title: "Woven Relic - Steam Key - GLOBAL".to_owned(),
        }
    }
}

/// An example of the e-mail with this name: with everything that it can hold, or with as little as possible.
pub(super) fn example(name: &str, facts: &Facts, is_whole: bool) -> Option<EmailTemplate> {
    // A name that resembles a link is not shown.
    let nickname = if is_whole { "Ada" } else { "www.ada.example" }.to_owned();
    let code = Secret::new("123456");
    let Facts {
        minutes,
        amount,
        number,
        title,
    } = facts;
    let (minutes, amount) = (*minutes, *amount);
    let order = "0197f0c1-0000-7000-8000-000000000001".to_owned();
    let number = is_whole.then(|| number.clone());
    let title = title.clone();
    Some(match name {
        "welcome" => EmailTemplate::Welcome {
            nickname,
            code: is_whole.then_some(code),
            minutes,
        },
        "verification" => EmailTemplate::Verification {
            nickname,
            code,
            minutes,
        },
        "reset" => EmailTemplate::Reset {
            nickname,
            token: Secret::new("example"),
            minutes,
        },
        "order-received" => EmailTemplate::OrderReceived {
            nickname,
            order,
            number,
            total: amount,
            discount: is_whole.then(|| cents(100)),
            lines: vec![OrderedLine {
                title,
                quantity: 1,
                price: is_whole.then_some(amount),
            }],
            consent: is_whole.then(|| "I ask for my keys at once.".to_owned()),
            needs_consent: false,
        },
        "top-up" => EmailTemplate::TopUp {
            nickname,
            amount,
            balance: amount,
        },
        "password-changed" => EmailTemplate::PasswordChanged { nickname },
        "new-device" => EmailTemplate::NewDevice {
            nickname,
            address: is_whole.then(|| "203.0.113.7".to_owned()),
            user_agent: is_whole.then(|| "Browser 1.0".to_owned()),
        },
        "keys-ready" => EmailTemplate::KeysReady {
            nickname,
            order,
            number,
            // Two: the subject then speaks of keys.
            copies: vec![
                DeliveredCopy {
                    title,
                    key: is_whole.then(|| Secret::new("AAAAA-BBBBB-CCCCC")),
                };
                2
            ],
            needs_consent: false,
        },
        "refund" => EmailTemplate::Refund {
            nickname,
            order,
            number,
            amount,
            copies: vec![RefundedCopy {
                title,
                reason: is_whole.then_some(RefundReason::SoldOut),
                price: is_whole.then_some(amount),
            }],
        },
        "second-factor-added" => EmailTemplate::SecondFactorAdded { nickname },
        "second-factor-removed" => EmailTemplate::SecondFactorRemoved { nickname },
        "second-factor-reset" => EmailTemplate::SecondFactorReset { nickname },
        "account-deleted" => EmailTemplate::AccountDeleted {
            nickname,
            language: None,
        },
        "announcement" => EmailTemplate::Announcement {
            nickname,
            title: title.clone(),
            message: if is_whole { title } else { String::new() },
            link: is_whole.then(|| "https://example.org/".to_owned()),
            unsubscribe: Secret::new("example"),
        },
        "order-not-placed" => EmailTemplate::OrderNotPlaced {
            nickname,
            checkout: order,
            reason: CheckoutReason::PriceRisen,
            total: amount,
            balance: amount,
        },
        "consent-confirmed" => EmailTemplate::ConsentConfirmed {
            nickname,
            order,
            number: facts.number.clone(),
            consent: "I ask for my keys at once.".to_owned(),
        },
        "withdrawal-received" => EmailTemplate::WithdrawalReceived {
            nickname,
            reference: facts.number.clone(),
            contact: "ada@example.org".to_owned(),
            at: "2026-11-30 17:05:00 UTC".to_owned(),
            language: "en".to_owned(),
        },
        "withdrawal-decided" => EmailTemplate::WithdrawalDecided {
            nickname,
            reference: facts.number.clone(),
            is_accepted: is_whole,
            reason: Some("As you wished.".to_owned()),
            refunded: amount,
            to_card: is_whole.then_some(amount),
            language: "en".to_owned(),
        },
        "back-in-stock" => EmailTemplate::BackInStock {
            nickname,
            title,
            slug: "woven-relic".to_owned(),
            price: amount,
        },
        _ => return None,
    })
}
