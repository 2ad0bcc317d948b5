//! Games in lists: a [`Card`] is a [`Tile`] in the reader's language, for `components/card.html`.

use lockstep_domain::catalogue::Tile;
use lockstep_domain::title;

use crate::format;
use crate::i18n::Language;
use crate::pictures::Picture;

/// A game as `components/card.html` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) slug: String,
    pub(crate) title: String,
    pub(crate) picture: Picture,
    /// `Steam · Europe`
    pub(crate) place: String,
    pub(crate) price: String,
    pub(crate) original: Option<String>,
    pub(crate) discount: i32,
    /// The lowest price of the 30 days before the reduction.
    pub(crate) lowest: Option<String>,
    /// It cannot be bought at the moment.
    pub(crate) is_out: bool,
    /// A label on the cover: sold out, preorder.
    pub(crate) tag: Option<(&'static str, &'static str)>,
    /// A note below the price: the release date.
    pub(crate) state: Option<String>,
}

impl Card {
    pub(crate) fn new(words: Language, tile: &Tile) -> Self {
        let place = [
            tile.service.clone(),
            tile.region.as_deref().map(|region| region_name(words, region)),
        ];
        Self {
            slug: tile.slug.clone(),
            title: title::own(&tile.title, tile.region.as_deref()).to_owned(),
            picture: Picture::cover(tile.id, &tile.slug, &tile.image),
            place: place.into_iter().flatten().collect::<Vec<_>>().join(" · "),
            price: format::price(words, tile.price),
            // A reduction is shown only for a game that can be bought.
            original: tile
                .original
                .filter(|_| tile.in_stock || tile.is_preorder)
                .map(|price| format::price(words, price)),
            discount: tile.discount.unwrap_or(0),
            lowest: tile
                .lowest
                .filter(|_| tile.in_stock || tile.is_preorder)
                .map(|price| format::price(words, price)),
            is_out: !tile.in_stock,
            tag: match (tile.in_stock, tile.is_preorder) {
                (_, true) => Some(("warn", words.text("card.preorder"))),
                (false, false) => Some(("", words.text("card.out"))),
                (true, false) => None,
            },
            state: (tile.is_preorder && tile.release_known)
                .then(|| words.with("card.released", format::date(words, tile.release))),
        }
    }

    /// The cards of `tiles`, in the same order.
    pub(crate) fn all(words: Language, tiles: &[Tile]) -> Vec<Self> {
        tiles.iter().map(|tile| Self::new(words, tile)).collect()
    }
}

/// The name of a region in the reader's language.
pub(crate) fn region_name(words: Language, region: &str) -> String {
    title::region_name(words.speech(), region)
}
