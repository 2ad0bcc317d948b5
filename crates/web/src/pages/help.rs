//! `GET /help`: answers for customers who do not know the shop yet. The texts are the shop's own; what only the
//! operator can supply (contact address, imprint) is shown when it is set.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::error::PageError;
use crate::i18n::Language;
use crate::layout::{Layout, moment};
use crate::page::fingerprint;
use crate::visit::Preferences;
use crate::{Operator, WebState, seo};

/// Services where keys are activated, each with a text under `activate.`.
const SERVICES: [(&str, &str); 11] = [
    ("Steam", "activate.steam"),
    ("Epic Games", "activate.epic-games"),
    ("GOG", "activate.gog"),
    ("EA App", "activate.ea-app"),
    ("Ubisoft Connect", "activate.ubisoft-connect"),
    ("Battle.net", "activate.battle-net"),
    ("Rockstar", "activate.rockstar"),
    ("Microsoft Store", "activate.microsoft-store"),
    ("Xbox Live", "activate.xbox-live"),
    ("PlayStation Network", "activate.playstation-network"),
    ("Nintendo eShop", "activate.nintendo-eshop"),
];

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    layout: Layout,
    answers: Vec<Answer>,
    json_ld: String,
}

/// A question of customers and its answer.
struct Answer {
    /// Id of the element in the page; other pages link to it.
    id: &'static str,
    question: &'static str,
    paragraphs: Vec<String>,
    /// Services and how keys are activated there.
    services: Vec<(&'static str, &'static str)>,
    /// A link to a related page: text and address.
    more: Option<(&'static str, String)>,
}

impl Answer {
    fn new(words: Language, id: &'static str, question: &str, paragraphs: &[&str]) -> Self {
        Self {
            id,
            question: words.text(question),
            paragraphs: paragraphs.iter().map(|key| words.text(key).to_owned()).collect(),
            services: Vec::new(),
            more: None,
        }
    }

    fn leading_to(mut self, text: &'static str, address: impl Into<String>) -> Self {
        self.more = Some((text, address.into()));
        self
    }

    /// The complete answer as plain text.
    fn text(&self) -> String {
        let services = self.services.iter().map(|(name, how)| format!("{name}: {how}"));
        self.paragraphs
            .iter()
            .cloned()
            .chain(services)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

pub(crate) async fn help(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    let made_of = fingerprint(&[&moment(&state)]);
    let page = state.page_cache.get(format!("help:{}", visit.variant()), made_of, || {
        let words = visit.language;
        let layout = Layout::new(&state, &visit)
            .canonical("/help".to_owned())
            .about(words.text("help.lead").to_owned());
        let answers = answers(words, &state.settings.operator);
        let page = HelpPage {
            json_ld: seo::questions(&layout, answers.iter().map(|answer| (answer.question, answer.text()))),
            layout,
            answers,
        };
        Ok(page.render()?)
    })?;
    Ok(page.serve(&visit))
}

fn answers(words: Language, operator: &Operator) -> Vec<Answer> {
    let mut answers = vec![
        Answer::new(words, "key", "help.key.q", &["help.key.a"]),
        Answer::new(
            words,
            "delivery",
            "help.delivery.q",
            &["help.delivery.a", "help.delivery.preorder"],
        )
        .leading_to(words.text("help.delivery.more"), "/account/keys"),
        Answer {
            services: SERVICES.map(|(name, how)| (name, words.text(how))).into(),
            ..Answer::new(words, "activation", "help.activation.q", &["help.activation.a"])
        },
        Answer::new(words, "region", "help.region.q", &["help.region.a"])
            .leading_to(words.text("help.region.more"), "/games?region=GLOBAL"),
        Answer::new(words, "paying", "help.paying.q", &["help.paying.a", "help.paying.safe"]),
        Answer::new(words, "account", "help.account.q", &["help.account.a"]),
        Answer::new(
            words,
            "sold-out",
            "help.sold_out.q",
            &["help.sold_out.meanwhile", "help.sold_out.a"],
        ),
        Answer::new(
            words,
            "refunds",
            "help.refunds.q",
            &["help.refunds.a", "help.refunds.use"],
        )
        .leading_to(words.text("help.refunds.more"), "/account/balance"),
    ];
    let mut broken = Answer::new(words, "broken", "help.broken.q", &["help.broken.a"]);
    broken.paragraphs.push(match &operator.contact_email {
        Some(email) => words.with("help.broken.write", email),
        None => words.text("help.broken.reply").to_owned(),
    });
    answers.push(broken);
    if let Some(email) = &operator.contact_email {
        let mut contact = Answer::new(words, "contact", "help.contact.q", &[]);
        contact.paragraphs.push(words.with("help.contact.a", email));
        answers.push(contact.leading_to(words.text("help.contact.more"), format!("mailto:{email}")));
    }
    answers
}
