//! `GET /style`, in development only: every component in both themes, as a reference for work on the stylesheet.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::catalogue::Tile;
use lockstep_domain::{GameId, Money};

use crate::cards::Card;
use crate::error::PageError;
use crate::forms::{Field, Form};
use crate::layout::Layout;
use crate::visit::{Preferences, Theme};
use crate::{WebState, page};

#[derive(Template)]
#[template(path = "style.html")]
struct StylePage {
    layout: Layout,
    themes: [&'static str; 2],
    colours: &'static [&'static str],
    cards: Vec<Card>,
    fields: Vec<Field>,
}

const COLOURS: &[&str] = &[
    "ground", "surface", "raised", "ink", "quiet", "line", "accent", "good", "warn", "bad", "deal",
];

pub(crate) async fn style(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    if state.settings.production {
        return Err(PageError::NotFound);
    }
    let words = visit.language;
    let tile = |title: &str, slug: &str, in_stock, is_preorder, cents: i64, original: Option<i64>| Tile {
        id: GameId(uuid::Uuid::nil()),
        slug: slug.to_owned(),
        title: title.to_owned(),
        about: None,
        image: String::new(),
        service: Some("Steam".to_owned()),
        region: Some("GLOBAL".to_owned()),
        price: Money::from_cents(cents).unwrap_or_default(),
        original: original.and_then(|cents| Money::from_cents(cents).ok()),
        discount: original.map(|_| 50),
        lowest: None,
        in_stock,
        is_preorder,
        release: state.now(),
        release_known: true,
    };
    let mut form = Form::default();
    form.wrong("wrong", words.text("style.error"));
    let cards = [
        tile("Stellar Harvest", "stellar-harvest", true, false, 1299, None),
        tile(
            "Iron Meridian: Complete Edition",
            "iron-meridian",
            true,
            false,
            1499,
            Some(2999),
        ),
        tile("The Lantern Keepers", "the-lantern-keepers", true, true, 4999, None),
        tile("Harbour of Glass", "harbour-of-glass", false, false, 899, None),
    ];
    page::private(&StylePage {
        themes: [Theme::Light.name(), Theme::Dark.name()],
        colours: COLOURS,
        cards: cards.iter().map(|tile| Card::new(words, tile)).collect(),
        fields: vec![
            form.field("sound", "text", words.text("style.field")).required(),
            form.field("hinted", "text", words.text("style.field"))
                .hint(words.text("style.hint")),
            form.field("wrong", "email", words.text("style.field")).required(),
        ],
        layout: Layout::new(&state, &visit).unlisted(),
    })
}
