//! Rendering of e-mails in the recipient's language, as text and as HTML. Both are made from the same blocks, so their
//! contents agree.

use std::fmt::Write as _;

use askama::Template;
use lockstep_domain::branding::Logo;
use lockstep_domain::email_template::{DeliveredCopy, EmailTemplate, OrderedLine, RefundedCopy};
use lockstep_domain::language::Language;
use lockstep_domain::pending_checkout::CheckoutReason;
use lockstep_domain::title::Title;
use lockstep_domain::{Money, Secret, redeem};

use crate::texts::Words;

/// Shop data shown in every e-mail.
#[derive(Debug, Clone)]
pub struct EmailBranding {
    /// Name of the shop.
    pub shop: String,
    /// Base URL of the front-end, without a trailing slash: what the buttons lead to.
    pub front_url: String,
    /// Base URL of the shop itself, without a trailing slash: where e-mails are ended, whatever the front-end has.
    pub public_url: String,
    /// The shop's logo.
    pub logo: Option<Logo>,
}

impl EmailBranding {
    /// The absolute address of the logo.
    pub(crate) fn logo_url(&self, logo: &Logo) -> String {
        format!("{}/api/logo/{}", self.public_url, logo.file())
    }
}

/// A rendered e-mail. It has no `Debug` on purpose: that would reveal codes.
pub struct RenderedEmail {
    /// Subject, one line.
    pub subject: String,
    /// Plain-text body.
    pub text: String,
    /// HTML body.
    pub html: String,
    /// Where recipients unsubscribe, if they can: for the headers.
    pub unsubscribe: Option<String>,
}

/// A part of an e-mail.
pub(crate) enum Block {
    Text(String),
    /// Secondary text.
    Quiet(String),
    /// A code to type.
    Code(String),
    Button {
        label: String,
        url: String,
    },
    Items(Vec<Item>),
    /// Pairs of label and value.
    Facts(Vec<(String, String)>),
}

/// Equal units of a game.
pub(crate) struct Item {
    count: u32,
    name: String,
    /// The offer and the outcome; often empty.
    about: String,
    /// Price of all units together; empty when unknown.
    price: String,
    keys: Vec<Secret>,
    /// What leads to where the keys are redeemed, and the address.
    redeem: Option<(String, &'static str)>,
}

#[derive(Template)]
#[template(path = "letter.html")]
struct Html<'a> {
    language: &'static str,
    head: &'a EmailBranding,
    subject: &'a str,
    greeting: &'a str,
    blocks: &'a [Block],
    /// Cleaned HTML in place of greeting and blocks.
    body: Option<&'a str>,
    /// What leads to where recipients unsubscribe, and the address.
    unsubscribe: Option<&'a (String, String)>,
}

#[derive(Template)]
#[template(path = "blocks.html")]
struct BlocksHtml<'a> {
    blocks: &'a [Block],
}

/// What an e-mail says, in a language.
pub(crate) struct Contents {
    pub(crate) greeting: String,
    pub(crate) subject: String,
    pub(crate) blocks: Vec<Block>,
}

/// What an e-mail says in the shipped text.
pub(crate) fn contents(email: &EmailTemplate, language: Language, head: &EmailBranding) -> Contents {
    let words = Words(language);
    Contents {
        greeting: greeting(words, email),
        subject: subject(words, email, head),
        blocks: blocks(words, email, head),
    }
}

/// A block as HTML and as text.
pub(crate) fn one_block(block: &Block) -> Result<(String, String), askama::Error> {
    let blocks = std::slice::from_ref(block);
    let mut text = String::new();
    write_block(block, &mut text);
    Ok((BlocksHtml { blocks }.render()?, text.trim_end().to_owned()))
}

/// An e-mail with the cleaned HTML `body` and the same as `text`, between the shop's head and foot.
pub(crate) fn framed(
    subject: String,
    body: &str,
    text: &str,
    unsubscribe: Option<(String, String)>,
    language: Language,
    head: &EmailBranding,
) -> Result<RenderedEmail, askama::Error> {
    let html = Html {
        language: language.code(),
        head,
        subject: &subject,
        greeting: "",
        blocks: &[],
        body: Some(body),
        unsubscribe: unsubscribe.as_ref(),
    };
    Ok(RenderedEmail {
        html: html.render()?,
        text: format!("{text}\n{}", foot(head, unsubscribe.as_ref())),
        subject,
        unsubscribe: unsubscribe.map(|(_, url)| url),
    })
}

/// The end of the text of every e-mail.
fn foot(head: &EmailBranding, unsubscribe: Option<&(String, String)>) -> String {
    let mut foot = format!("\n{}\n{}\n", head.shop, head.front_url);
    if let Some((label, url)) = unsubscribe {
        let _infallible = write!(foot, "\n{label}:\n{url}\n");
    }
    foot
}

/// What leads to where recipients unsubscribe, and the address; only of e-mails that go to many.
pub(crate) fn unsubscribe(email: &EmailTemplate, language: Language, head: &EmailBranding) -> Option<(String, String)> {
    let EmailTemplate::Announcement { unsubscribe, .. } = email else {
        return None;
    };
    Some((
        Words(language).text("announcement.unsubscribe"),
        format!("{}/unsubscribe?token={}", head.public_url, unsubscribe.expose()),
    ))
}

/// The name under which an e-mail addresses its reader; empty when mail clients might turn it into a link.
pub(crate) fn safe_nickname(email: &EmailTemplate) -> &str {
    let nickname = nickname(email);
    if resembles_a_link(nickname) { "" } else { nickname }
}

/// The order number in a subject.
pub(crate) fn order_number(email: &EmailTemplate) -> Option<&str> {
    match email {
        EmailTemplate::OrderReceived { order, number, .. }
        | EmailTemplate::KeysReady { order, number, .. }
        | EmailTemplate::Refund { order, number, .. } => Some(number.as_ref().unwrap_or(order)),
        EmailTemplate::ConsentConfirmed { number, .. } => Some(number),
        _ => None,
    }
}

/// Whether mail clients might turn a name into a link.
fn resembles_a_link(name: &str) -> bool {
    name.contains('@')
        || name.contains("//")
        || name.contains(r"\\")
        || name.split_whitespace().any(|word| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            word.rsplit_once('.')
                .is_some_and(|(_, end)| end.chars().nth(1).is_some())
        })
}

/// The greeting: by name, unless mail clients might turn the name into a link. Anyone can register with another
/// person's address, and the chosen name is then shown to that person.
fn greeting(words: Words, email: &EmailTemplate) -> String {
    let nickname = nickname(email);
    if nickname.is_empty() || resembles_a_link(nickname) {
        words.text("hello.nobody")
    } else {
        words.with("hello", &[&nickname])
    }
}

fn nickname(email: &EmailTemplate) -> &str {
    let (EmailTemplate::Welcome { nickname, .. }
    | EmailTemplate::Verification { nickname, .. }
    | EmailTemplate::Reset { nickname, .. }
    | EmailTemplate::OrderReceived { nickname, .. }
    | EmailTemplate::OrderNotPlaced { nickname, .. }
    | EmailTemplate::TopUp { nickname, .. }
    | EmailTemplate::PasswordChanged { nickname, .. }
    | EmailTemplate::NewDevice { nickname, .. }
    | EmailTemplate::KeysReady { nickname, .. }
    | EmailTemplate::BackInStock { nickname, .. }
    | EmailTemplate::SecondFactorAdded { nickname }
    | EmailTemplate::SecondFactorRemoved { nickname }
    | EmailTemplate::SecondFactorReset { nickname }
    | EmailTemplate::AccountDeleted { nickname, .. }
    | EmailTemplate::Announcement { nickname, .. }
    | EmailTemplate::ConsentConfirmed { nickname, .. }
    | EmailTemplate::WithdrawalReceived { nickname, .. }
    | EmailTemplate::WithdrawalDecided { nickname, .. }
    | EmailTemplate::Refund { nickname, .. }) = email;
    nickname
}

/// Renders an e-mail.
///
/// # Errors
/// Only when memory is exhausted: the template is checked at compile time.
pub fn write(email: &EmailTemplate, language: Language, head: &EmailBranding) -> Result<RenderedEmail, askama::Error> {
    let Contents {
        greeting,
        subject,
        blocks,
    } = contents(email, language, head);
    let unsubscribe = unsubscribe(email, language, head);
    Ok(RenderedEmail {
        text: text(&greeting, &blocks, head, unsubscribe.as_ref()),
        html: Html {
            language: language.code(),
            head,
            subject: &subject,
            greeting: &greeting,
            blocks: &blocks,
            body: None,
            unsubscribe: unsubscribe.as_ref(),
        }
        .render()?,
        subject,
        unsubscribe: unsubscribe.map(|(_, url)| url),
    })
}

fn subject(words: Words, email: &EmailTemplate, head: &EmailBranding) -> String {
    let shop = &head.shop;
    match email {
        EmailTemplate::Welcome { .. } => words.with("welcome.subject", &[shop]),
        EmailTemplate::Verification { .. } => words.with("verification.subject", &[shop]),
        EmailTemplate::Reset { .. } => words.with("reset.subject", &[shop]),
        EmailTemplate::OrderReceived { order, number, .. } => {
            words.with("order.subject", &[number.as_ref().unwrap_or(order), shop])
        }
        EmailTemplate::OrderNotPlaced { .. } => words.with("not_placed.subject", &[shop]),
        EmailTemplate::TopUp { amount, .. } => words.with("top_up.subject", &[&words.price(*amount), shop]),
        EmailTemplate::PasswordChanged { .. } => words.with("password.subject", &[shop]),
        EmailTemplate::NewDevice { .. } => words.with("device.subject", &[shop]),
        EmailTemplate::KeysReady { copies, .. } => words.count("keys.subject", copies.len(), &[shop]),
        EmailTemplate::SecondFactorAdded { .. } => words.with("factor.on.subject", &[shop]),
        EmailTemplate::SecondFactorRemoved { .. } | EmailTemplate::SecondFactorReset { .. } => {
            words.with("factor.off.subject", &[shop])
        }
        EmailTemplate::AccountDeleted { .. } => words.with("deleted.subject", &[shop]),
        EmailTemplate::Announcement { title, .. } => title.replace(char::is_control, " "),
        // A game's title must not inject headers.
        EmailTemplate::BackInStock { title, .. } => {
            let name = Title::new(title).name().replace(char::is_control, " ");
            words.with("back.subject", &[&name])
        }
        EmailTemplate::Refund { amount, .. } => words.with("refund.subject", &[&words.price(*amount), shop]),
        EmailTemplate::ConsentConfirmed { number, .. } => words.with("consent.subject", &[number, shop]),
        EmailTemplate::WithdrawalReceived { .. } => words.with("withdrawal.subject", &[shop]),
        EmailTemplate::WithdrawalDecided { .. } => words.with("withdrawal.decided.subject", &[shop]),
    }
}

fn blocks(words: Words, email: &EmailTemplate, head: &EmailBranding) -> Vec<Block> {
    let say = |key: &str| Block::Text(words.text(key));
    let link = |label: String, path: String| Block::Button {
        label,
        url: format!("{}{path}", head.front_url),
    };
    let code_page = |code: &Secret| format!("/verify-email?code={}", code.expose());
    match email {
        EmailTemplate::Welcome { code, minutes, .. } => {
            let mut blocks = vec![Block::Text(words.with("welcome.text", &[&head.shop]))];
            if let Some(code) = code {
                blocks.extend([
                    say("welcome.confirm"),
                    Block::Code(code.expose().to_owned()),
                    link(words.text("welcome.button"), code_page(code)),
                    Block::Quiet(words.with("minutes.code", &[minutes])),
                ]);
            }
            blocks
        }
        EmailTemplate::Verification { code, minutes, .. } => vec![
            say("verification.text"),
            Block::Code(code.expose().to_owned()),
            link(words.text("verification.button"), code_page(code)),
            Block::Quiet(words.with("verification.minutes", &[minutes])),
            Block::Quiet(words.text("verification.other")),
        ],
        EmailTemplate::Reset { token, minutes, .. } => vec![
            say("reset.text"),
            link(
                words.text("reset.button"),
                format!("/reset-password?token={}", token.expose()),
            ),
            Block::Quiet(words.with("reset.minutes", &[minutes])),
        ],
        EmailTemplate::OrderReceived {
            order,
            number,
            total,
            discount,
            lines,
            consent,
            needs_consent,
            ..
        } => {
            let mut facts = sums(words, *total, *discount, number.as_deref());
            facts.extend(
                consent
                    .iter()
                    .map(|wording| (words.text("consent.label"), wording.clone())),
            );
            let hint = if *needs_consent { "order.consent" } else { "order.hint" };
            vec![
                say("order.text"),
                Block::Items(ordered(words, lines)),
                Block::Facts(facts),
                order_page(words, head, "order.button", order, *needs_consent),
                Block::Quiet(words.text(hint)),
            ]
        }
        EmailTemplate::TopUp { amount, balance, .. } => vec![
            say("top_up.text"),
            Block::Facts(vec![
                (words.text("top_up.amount"), words.price(*amount)),
                (words.text("top_up.balance"), words.price(*balance)),
            ]),
            link(words.text("top_up.button"), "/account/balance".into()),
        ],
        EmailTemplate::PasswordChanged { .. } => vec![
            say("password.text"),
            say("password.other"),
            link(words.text("password.button"), "/forgot-password".into()),
        ],
        EmailTemplate::NewDevice {
            address, user_agent, ..
        } => {
            let known = |text: &Option<String>| text.clone().unwrap_or_else(|| words.text("device.unknown"));
            vec![
                say("device.text"),
                Block::Facts(vec![
                    (words.text("device.address"), known(address)),
                    (words.text("device.agent"), known(user_agent)),
                ]),
                say("device.other"),
                link(words.text("password.button"), "/forgot-password".into()),
            ]
        }
        EmailTemplate::KeysReady {
            order,
            number,
            copies,
            needs_consent,
            ..
        } => {
            let mut blocks = vec![
                say("keys.text"),
                Block::Items(delivered(words, copies)),
                Block::Facts(numbered(words, number.as_deref())),
                order_page(words, head, "keys.button", order, *needs_consent),
            ];
            if *needs_consent {
                blocks.push(Block::Quiet(words.text("order.consent")));
            }
            blocks
        }
        EmailTemplate::ConsentConfirmed {
            order, number, consent, ..
        } => {
            let mut facts = numbered(words, Some(number));
            facts.push((words.text("consent.label"), consent.clone()));
            vec![
                say("consent.text"),
                Block::Facts(facts),
                order_page(words, head, "keys.button", order, true),
            ]
        }
        EmailTemplate::OrderNotPlaced {
            checkout,
            reason,
            total,
            balance,
            ..
        } => vec![
            say("not_placed.text"),
            Block::Facts(vec![
                (words.text("not_placed.why"), words.text(not_placed(*reason))),
                (words.text("order.total"), words.price(*total)),
                (words.text("top_up.balance"), words.price(*balance)),
            ]),
            Block::Button {
                label: words.text("not_placed.button"),
                url: format!("{}/checkout/{checkout}", head.public_url),
            },
            Block::Quiet(words.text("not_placed.kept")),
        ],
        EmailTemplate::WithdrawalReceived {
            reference, contact, at, ..
        } => {
            // Anyone can name somebody else's address; forms refuse such names, too.
            let name = Some(safe_nickname(email)).filter(|name| !name.is_empty());
            let mut facts: Vec<_> = name
                .map(|name| (words.text("withdrawal.name"), name.to_owned()))
                .into_iter()
                .collect();
            facts.push((words.text("order.number"), reference.clone()));
            facts.push((words.text("withdrawal.contact"), contact.clone()));
            facts.push((words.text("withdrawal.at"), at.clone()));
            vec![
                say("withdrawal.text"),
                Block::Facts(facts),
                Block::Quiet(words.text("withdrawal.next")),
            ]
        }
        EmailTemplate::WithdrawalDecided {
            reference,
            is_accepted,
            reason,
            refunded,
            to_card,
            ..
        } => {
            let decision = if *is_accepted {
                "withdrawal.accepted"
            } else {
                "withdrawal.refused"
            };
            let mut facts = vec![
                (words.text("order.number"), reference.clone()),
                (words.text("withdrawal.decision"), words.text(decision)),
            ];
            if *is_accepted {
                facts.push((words.text("refund.total"), words.price(*refunded)));
            }
            facts.extend(to_card.map(|amount| (words.text("withdrawal.to_card"), words.price(amount))));
            facts.extend(
                reason
                    .iter()
                    .map(|reason| (words.text("withdrawal.reason"), reason.clone())),
            );
            vec![say("withdrawal.decided.text"), Block::Facts(facts)]
        }
        EmailTemplate::Refund {
            order,
            number,
            amount,
            copies,
            ..
        } => {
            let mut facts = vec![(words.text("refund.total"), words.price(*amount))];
            facts.extend(numbered(words, number.as_deref()));
            vec![
                say("refund.text"),
                Block::Items(returned(words, copies)),
                Block::Facts(facts),
                link(words.text("order.button"), format!("/orders/{order}")),
            ]
        }
        EmailTemplate::SecondFactorAdded { .. } => vec![
            say("factor.on.text"),
            say("factor.on.other"),
            link(words.text("password.button"), "/forgot-password".into()),
        ],
        EmailTemplate::SecondFactorRemoved { .. } => vec![
            say("factor.off.text"),
            say("password.other"),
            link(words.text("password.button"), "/forgot-password".into()),
        ],
        EmailTemplate::SecondFactorReset { .. } => vec![
            say("factor.reset.text"),
            link(words.text("factor.reset.button"), "/account/second-factor".into()),
            say("factor.reset.other"),
        ],
        EmailTemplate::AccountDeleted { .. } => vec![say("deleted.text"), say("deleted.other")],
        EmailTemplate::Announcement { message, link, .. } => {
            let paragraphs = message.split('\n').map(str::trim).filter(|text| !text.is_empty());
            let mut blocks: Vec<Block> = paragraphs.map(|text| Block::Text(text.to_owned())).collect();
            blocks.extend(link.iter().map(|url| Block::Button {
                label: words.text("announcement.button"),
                url: url.clone(),
            }));
            blocks
        }
        EmailTemplate::BackInStock { title, slug, price, .. } => vec![
            say("back.text"),
            Block::Items(vec![Item {
                price: words.price(*price),
                ..Item::of(words, title)
            }]),
            link(words.text("back.button"), format!("/game/{slug}")),
            Block::Quiet(words.text("back.once")),
        ],
    }
}

/// The text about why an order was not placed.
const fn not_placed(reason: CheckoutReason) -> &'static str {
    match reason {
        CheckoutReason::PriceRisen => "not_placed.price_risen",
        CheckoutReason::SoldOut => "not_placed.sold_out",
        CheckoutReason::Gone => "not_placed.gone",
        CheckoutReason::PromoCode => "not_placed.promo_code",
        CheckoutReason::Balance => "not_placed.balance",
        CheckoutReason::TooMuch => "not_placed.too_much",
        CheckoutReason::Late | CheckoutReason::NotPaid | CheckoutReason::Replaced => "not_placed.late",
    }
}

/// What leads to the order's page: that of the shop itself where it asks for consent, whatever front-end there is.
fn order_page(words: Words, head: &EmailBranding, label: &str, order: &str, is_own: bool) -> Block {
    let base = if is_own { &head.public_url } else { &head.front_url };
    Block::Button {
        label: words.text(label),
        url: format!("{base}/orders/{order}"),
    }
}

impl Item {
    /// One unit of the product `title`.
    fn of(words: Words, title: &str) -> Self {
        let title = Title::new(title);
        Self {
            count: 1,
            name: title.name().to_owned(),
            about: title.offer(words.0),
            price: String::new(),
            keys: Vec::new(),
            redeem: None,
        }
    }
}

/// Groups equal units, in the order of their first occurrence.
fn folded<T>(copies: &[T], same: impl Fn(&T, &T) -> bool) -> Vec<Vec<&T>> {
    let mut groups: Vec<Vec<&T>> = Vec::new();
    for copy in copies {
        match groups
            .iter_mut()
            .find(|group| group.first().is_some_and(|first| same(first, copy)))
        {
            Some(group) => group.push(copy),
            None => groups.push(vec![copy]),
        }
    }
    groups
}

fn counted<T>(group: &[T]) -> u32 {
    u32::try_from(group.len()).unwrap_or(u32::MAX)
}

fn ordered(words: Words, lines: &[OrderedLine]) -> Vec<Item> {
    lines
        .iter()
        .map(|line| Item {
            count: line.quantity,
            price: line
                .price
                .and_then(|price| price.checked_mul(line.quantity))
                .map_or_else(String::new, |price| words.price(price)),
            ..Item::of(words, &line.title)
        })
        .collect()
}

fn delivered(words: Words, copies: &[DeliveredCopy]) -> Vec<Item> {
    folded(copies, |one, other| one.title == other.title)
        .into_iter()
        .filter_map(|group| {
            let title = &group.first()?.title;
            let keys: Vec<Secret> = group.iter().filter_map(|copy| copy.key.clone()).collect();
            let service = Title::new(title).service().filter(|_| !keys.is_empty());
            Some(Item {
                count: counted(&group),
                keys,
                redeem: service
                    .and_then(|service| Some((words.with("keys.redeem", &[&service]), redeem::page(service)?))),
                ..Item::of(words, title)
            })
        })
        .collect()
}

fn returned(words: Words, copies: &[RefundedCopy]) -> Vec<Item> {
    let same = |one: &RefundedCopy, other: &RefundedCopy| {
        (&one.title, one.reason, one.price) == (&other.title, other.reason, other.price)
    };
    folded(copies, same)
        .into_iter()
        .filter_map(|group| {
            let first = group.first()?;
            let mut item = Item::of(words, &first.title);
            item.count = counted(&group);
            if let Some(reason) = first.reason {
                let reason = words.text(&format!("reason.{}", reason.as_str()));
                item.about = if item.about.is_empty() {
                    reason
                } else {
                    format!("{}: {reason}", item.about)
                };
            }
            if let Some(price) = first.price.and_then(|price| price.checked_mul(item.count)) {
                item.price = words.price(price);
            }
            Some(item)
        })
        .collect()
}

/// An order's total, discount and number.
fn sums(words: Words, total: Money, discount: Option<Money>, number: Option<&str>) -> Vec<(String, String)> {
    let mut sums = Vec::new();
    if let Some(discount) = discount.filter(|discount| discount.is_positive())
        && let (Some(subtotal), Some(less)) = (total.checked_add(discount), Money::ZERO.checked_sub(discount))
    {
        sums.push((words.text("order.subtotal"), words.price(subtotal)));
        sums.push((words.text("order.discount"), words.price(less)));
    }
    sums.push((words.text("order.total"), words.price(total)));
    sums.extend(numbered(words, number));
    sums
}

fn numbered(words: Words, number: Option<&str>) -> Vec<(String, String)> {
    number
        .map(|number| (words.text("order.number"), number.to_owned()))
        .into_iter()
        .collect()
}

/// The same blocks as plain text.
fn text(greeting: &str, blocks: &[Block], head: &EmailBranding, unsubscribe: Option<&(String, String)>) -> String {
    let mut out = format!("{greeting}\n");
    for block in blocks {
        match block {
            Block::Facts(facts) if facts.is_empty() => {}
            _ => {
                out.push('\n');
                write_block(block, &mut out);
            }
        }
    }
    out + &foot(head, unsubscribe)
}

fn write_block(block: &Block, out: &mut String) {
    let mut line = |text: &str| {
        let _infallible = writeln!(out, "{text}");
    };
    match block {
        Block::Text(text) | Block::Quiet(text) | Block::Code(text) => line(text),
        Block::Button { label, url } => line(&format!("{label}:\n{url}")),
        Block::Items(items) => {
            for item in items {
                let mut text = match item.count {
                    1 => item.name.clone(),
                    count => format!("{count} × {}", item.name),
                };
                if !item.about.is_empty() {
                    let _infallible = write!(text, " ({})", item.about);
                }
                if !item.price.is_empty() {
                    let _infallible = write!(text, ": {}", item.price);
                }
                line(&text);
                for key in &item.keys {
                    line(&format!("    {}", key.expose()));
                }
                if let Some((label, url)) = &item.redeem {
                    line(&format!("    {label}: {url}"));
                }
            }
        }
        Block::Facts(facts) => {
            for (label, value) in facts {
                line(&format!("{label}: {value}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_domain::order::RefundReason;

    fn head() -> EmailBranding {
        EmailBranding {
            shop: "Lockstep".into(),
            front_url: "https://shop.example".into(),
            public_url: "https://shop.example".into(),
            logo: None,
        }
    }

    fn one_of_each(nickname: &str) -> Vec<(EmailTemplate, Vec<&'static str>)> {
        let nickname = nickname.to_owned();
        let code = Secret::new("123456");
        vec![
            (
                EmailTemplate::Welcome {
                    nickname: nickname.clone(),
                    code: Some(code.clone()),
                    minutes: 60,
                },
                vec!["123456", "60 minutes", "https://shop.example/verify-email?code=123456"],
            ),
            (
                EmailTemplate::Verification {
                    nickname: nickname.clone(),
                    code,
                    minutes: 60,
                },
                vec!["123456", "60 minutes", "https://shop.example/verify-email?code=123456"],
            ),
            (
                EmailTemplate::Reset {
                    nickname: nickname.clone(),
                    token: Secret::new("abc123"),
                    minutes: 30,
                },
                vec!["https://shop.example/reset-password?token=abc123", "30 minutes"],
            ),
            (
                EmailTemplate::OrderReceived {
                    nickname: nickname.clone(),
                    order: "0197".into(),
                    number: Some("7ZK3M0Q9XA".into()),
                    total: "30.25".parse().unwrap(),
                    discount: Some("0.50".parse().unwrap()),
                    lines: vec![OrderedLine {
                        title: "Half-Life (PC) - Steam Key - UNITED STATES".into(),
                        quantity: 3,
                        price: Some("10.25".parse().unwrap()),
                    }],
                    consent: Some("I ask for my keys at once.".into()),
                    needs_consent: false,
                },
                vec![
                    "30.25",
                    "-€0.50",
                    "3 × ",
                    "Half-Life",
                    "Steam · United States",
                    "€30.75",
                    "7ZK3M0Q9XA",
                    "I ask for my keys at once.",
                    "https://shop.example/orders/0197",
                ],
            ),
            (
                EmailTemplate::TopUp {
                    nickname: nickname.clone(),
                    amount: "25".parse().unwrap(),
                    balance: "31.50".parse().unwrap(),
                },
                vec!["25.00", "31.50"],
            ),
            (
                EmailTemplate::PasswordChanged {
                    nickname: nickname.clone(),
                },
                vec!["was changed"],
            ),
            (
                EmailTemplate::SecondFactorAdded {
                    nickname: nickname.clone(),
                },
                vec!["recovery codes", "https://shop.example/forgot-password"],
            ),
            (
                EmailTemplate::SecondFactorRemoved {
                    nickname: nickname.clone(),
                },
                vec!["no longer requires a code", "https://shop.example/forgot-password"],
            ),
            (
                EmailTemplate::SecondFactorReset {
                    nickname: nickname.clone(),
                },
                vec![
                    "removed the authenticator app",
                    "https://shop.example/account/second-factor",
                ],
            ),
            (
                EmailTemplate::AccountDeleted {
                    nickname: nickname.clone(),
                    language: None,
                },
                vec!["is deleted"],
            ),
            (
                EmailTemplate::NewDevice {
                    nickname: nickname.clone(),
                    address: Some("203.0.113.7".into()),
                    user_agent: Some("Browser 1.0".into()),
                },
                vec!["203.0.113.7", "Browser 1.0"],
            ),
            (
                EmailTemplate::KeysReady {
                    nickname: nickname.clone(),
                    order: "0198".into(),
                    number: Some("7ZK3M0Q9XA".into()),
                    copies: vec![
                        DeliveredCopy {
                            title: "Portal".into(),
                            key: None,
                        },
                        DeliveredCopy {
                            title: "Portal".into(),
                            key: None,
                        },
                        DeliveredCopy {
                            title: "Myst".into(),
                            key: Some(Secret::new("AAAA-BBBB")),
                        },
                    ],
                    needs_consent: false,
                },
                vec![
                    "https://shop.example/orders/0198",
                    "2 × ",
                    "Portal",
                    "Myst",
                    "AAAA-BBBB",
                    "7ZK3M0Q9XA",
                ],
            ),
            (
                EmailTemplate::BackInStock {
                    nickname: nickname.clone(),
                    title: "Portal".into(),
                    slug: "portal-steam".into(),
                    price: "9.99".parse().unwrap(),
                },
                vec!["Portal", "9.99", "https://shop.example/game/portal-steam"],
            ),
            (
                EmailTemplate::OrderNotPlaced {
                    nickname: nickname.clone(),
                    checkout: "0199".into(),
                    reason: CheckoutReason::PriceRisen,
                    total: "19.98".parse().unwrap(),
                    balance: "20.50".parse().unwrap(),
                },
                vec!["19.98", "20.50", "https://shop.example/checkout/0199"],
            ),
            (
                EmailTemplate::ConsentConfirmed {
                    nickname: nickname.clone(),
                    order: "0198".into(),
                    number: "7ZK3M0Q9XA".into(),
                    consent: "I ask for my keys at once.".into(),
                },
                vec![
                    "7ZK3M0Q9XA",
                    "I ask for my keys at once.",
                    "https://shop.example/orders/0198",
                ],
            ),
            (
                EmailTemplate::WithdrawalReceived {
                    nickname: nickname.clone(),
                    reference: "7ZK3-M0Q9-XA".into(),
                    contact: "ada@example.org".into(),
                    at: "2026-11-30 17:05:00 UTC".into(),
                    language: "en".into(),
                },
                vec!["7ZK3-M0Q9-XA", "ada@example.org", "2026-11-30 17:05:00 UTC"],
            ),
            (
                EmailTemplate::WithdrawalDecided {
                    nickname: nickname.clone(),
                    reference: "7ZK3-M0Q9-XA".into(),
                    is_accepted: true,
                    reason: Some("As you wished.".into()),
                    refunded: "9.99".parse().unwrap(),
                    to_card: Some("5".parse().unwrap()),
                    language: "en".into(),
                },
                vec!["7ZK3-M0Q9-XA", "9.99", "5.00", "As you wished."],
            ),
            (
                EmailTemplate::Refund {
                    nickname,
                    order: "0198".into(),
                    number: None,
                    amount: "12.30".parse().unwrap(),
                    copies: vec![
                        RefundedCopy {
                            title: "Portal - Steam Key - GLOBAL".into(),
                            reason: Some(RefundReason::SoldOut),
                            price: Some("6.15".parse().unwrap()),
                        };
                        2
                    ],
                },
                vec![
                    "12.30",
                    "2 × ",
                    "Portal",
                    "Steam · Worldwide: sold out before it could be bought",
                    "https://shop.example/orders/0198",
                ],
            ),
        ]
    }

    #[test]
    fn every_email_has_its_contents_in_text_and_html() {
        for (email, says) in one_of_each("Ada") {
            let written = write(&email, Language::English, &head()).unwrap();
            assert!(!written.subject.is_empty() && !written.subject.contains('\n'));
            for form in [&written.text, &written.html] {
                for what in says.iter().chain(&["Ada", "https://shop.example"]) {
                    assert!(form.contains(what), "{what:?} is missing in {form}");
                }
                assert!(!form.contains("{{") && !form.contains("{%"));
            }
        }
    }

    /// What recipients read, whole. After an intended change: `INSTA_UPDATE=always cargo test -p lockstep-mail`.
    #[test]
    fn the_texts_of_all_emails_are_as_reviewed() {
        for language in [Language::English, Language::German] {
            let texts = one_of_each("Ada").into_iter().map(|(email, _)| {
                let written = write(&email, language, &head()).unwrap();
                format!("Subject: {}\n\n{}", written.subject, written.text.trim_end())
            });
            let texts: Vec<String> = texts.collect();
            insta::assert_snapshot!(format!("emails_{}", language.code()), texts.join("\n\n----\n\n"));
        }
    }

    #[test]
    fn keys_come_with_the_page_where_they_are_redeemed() {
        let written = |title: &str, key: Option<&str>| {
            let copy = DeliveredCopy {
                title: title.to_owned(),
                key: key.map(Secret::new),
            };
            let email = EmailTemplate::KeysReady {
                nickname: "Ursula".into(),
                order: "0198".into(),
                number: None,
                copies: vec![copy.clone(), copy],
                needs_consent: false,
            };
            write(&email, Language::German, &head()).unwrap()
        };
        for (title, service, address) in [
            (
                "Portal 2 (PC) - Steam Key - GLOBAL",
                "Steam",
                "https://store.steampowered.com/account/registerkey",
            ),
            ("Portal 2 GOG.COM Key GLOBAL", "GOG", "https://www.gog.com/redeem"),
            (
                "Woven Relic (PS5) - PSN Key - LATAM",
                "PlayStation",
                "https://store.playstation.com/redeem",
            ),
            (
                "Woven Relic Battle.net Key EUROPE",
                "Battle.net",
                "https://account.battle.net/overview",
            ),
        ] {
            let email = written(title, Some("AAAA-BBBB"));
            assert_eq!(
                email
                    .text
                    .matches(&format!("Bei {service} einlösen: {address}"))
                    .count(),
                1,
                "{}",
                email.text
            );
            assert_eq!(
                email.html.matches(&format!("href=\"{address}\"")).count(),
                1,
                "{}",
                email.html
            );
        }
        // Services without such a page, and keys that are shown only on the order's page.
        for (title, key) in [
            ("Woven Relic EA App Key GLOBAL", Some("AAAA")),
            ("Portal 2 - Steam Key - GLOBAL", None),
        ] {
            assert!(!written(title, key).text.contains("einlösen"), "{title}");
        }
    }

    #[test]
    fn emails_use_the_recipients_language_and_clean_titles() {
        let german = |email: &EmailTemplate| write(email, Language::German, &head()).unwrap();
        for (email, _) in one_of_each("Ada") {
            let (english, written) = (write(&email, Language::English, &head()).unwrap(), german(&email));
            assert!(written.text.starts_with("Hallo Ada,\n"), "{}", written.text);
            assert!(written.html.contains("<html lang=\"de\">") && english.html.contains("<html lang=\"en\">"));
            assert_ne!(english.subject, written.subject);
            for form in [&english.text, &english.html, &written.text, &written.html] {
                assert!(!form.contains(" Key - ") && !form.contains('…'), "{form}");
            }
        }
        let order = one_of_each("Ada").remove(3).0;
        let written = german(&order);
        assert_eq!(written.subject, "Deine Bestellung 7ZK3M0Q9XA bei Lockstep");
        assert_eq!(
            written.text,
            "Hallo Ada,\n\nDanke für deine Bestellung. Du hast die Summe von deinem Guthaben bezahlt:\n\n\
             3 × Half-Life (Steam · USA): 30,75\u{a0}€\n\n\
             Zwischensumme: 30,75\u{a0}€\nRabatt: -0,50\u{a0}€\nSumme: 30,25\u{a0}€\nBestellnummer: 7ZK3M0Q9XA\n\
             Deine Zustimmung: I ask for my keys at once.\n\n\
             Bestellung ansehen:\nhttps://shop.example/orders/0197\n\nDeine Keys erscheinen dort, sobald sie geliefert sind.\n\n\
             Lockstep\nhttps://shop.example\n"
        );
    }

    #[test]
    fn names_are_escaped_in_html() {
        for (email, _) in one_of_each("<b>Ada</b>") {
            let written = write(&email, Language::English, &head()).unwrap();
            assert!(!written.html.contains("<b>") && written.text.contains("<b>Ada</b>"));
        }
    }

    #[test]
    fn names_that_resemble_links_are_not_shown() {
        for name in [
            "win 50 EUR at evil.example",
            "https://evil.example/a",
            "www.evil.example.",
            "a@evil.example",
        ] {
            for (email, _) in one_of_each(name) {
                let written = write(&email, Language::English, &head()).unwrap();
                assert!(
                    !written.html.contains("evil") && !written.text.contains("evil"),
                    "{}",
                    written.text
                );
                assert!(written.text.contains("Hello there,"));
            }
        }
        for name in ["Ada", "J.R.R. T.", "St. John", "Ada (42)", "..", "Zoë"] {
            let (email, _) = one_of_each(name).remove(0);
            assert!(
                write(&email, Language::English, &head())
                    .unwrap()
                    .text
                    .contains(&format!("Hello {name},")),
                "{name}"
            );
        }
    }

    #[test]
    fn device_without_user_agent_is_described_as_unknown() {
        let email = EmailTemplate::NewDevice {
            nickname: "Ada".into(),
            address: None,
            user_agent: None,
        };
        assert!(
            write(&email, Language::English, &head())
                .unwrap()
                .text
                .contains("unknown")
        );
    }
}
