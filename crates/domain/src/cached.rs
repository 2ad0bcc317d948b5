//! Cache keys typed by their values: a value cannot be stored or read under the key of another type.
//!
//! Only the constructors here create a [`ValueKey`], one for each kind of cached response.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::account::ProfileFacts;
use crate::cache_key::{CacheKey, game_tag};
use crate::cart::{Cart, CartOwner, Wishlist};
use crate::catalogue::{
    Answer, CatalogQuery, Collection, FacetCounts, FilterOptions, Game, Home, NameSlug, Page, Suggestion,
    search_digest, suggestions_digest,
};
use crate::ids::{GameId, OrderId, SessionId, ShopperId, UserId};
use crate::purchase::{OrderView, TransactionView};
use crate::site::{OwnPage, Site};

/// A value that is cached as the body of an HTTP response.
pub trait CachedValue: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The tags of the rows that it shows and that its key's name does not imply.
    fn shown(&self) -> Vec<String> {
        Vec::new()
    }

    /// The finished body: by default, JSON in the envelope of a successful response.
    ///
    /// # Errors
    /// Fails if the value has no JSON form (a map whose keys are not text).
    fn body(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Answer::new(self))
    }

    /// Reads the value back from its [`body`](Self::body).
    ///
    /// # Errors
    /// Fails if the body has another form.
    fn parse(body: &[u8]) -> serde_json::Result<Self> {
        Ok(serde_json::from_slice::<Answer<Self>>(body)?.data)
    }
}

/// A finished text that is served as it is, such as a sitemap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document(pub String);

impl CachedValue for Document {
    fn body(&self) -> serde_json::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }

    fn parse(body: &[u8]) -> serde_json::Result<Self> {
        std::str::from_utf8(body)
            .map(|text| Self(text.to_owned()))
            .map_err(serde::de::Error::custom)
    }
}

impl CachedValue for Game {
    fn shown(&self) -> Vec<String> {
        // It was found by its ID, its slug or a former slug.
        vec![game_tag(self.id)]
    }
}

impl CachedValue for Cart {
    fn shown(&self) -> Vec<String> {
        self.tags()
    }
}

impl CachedValue for Wishlist {
    fn shown(&self) -> Vec<String> {
        self.tags()
    }
}

impl CachedValue for OrderView {
    fn shown(&self) -> Vec<String> {
        self.tags().collect()
    }
}

impl CachedValue for Vec<OrderView> {
    fn shown(&self) -> Vec<String> {
        self.iter().flat_map(OrderView::tags).collect()
    }
}

// The keys of these carry the tags of the whole catalogue, of one game, or of one user.
impl CachedValue for Vec<Game> {}
impl CachedValue for Page<Game> {}
impl CachedValue for Vec<NameSlug> {}
impl CachedValue for Vec<Collection> {}
impl CachedValue for Vec<Suggestion> {}
impl CachedValue for FilterOptions {}
impl CachedValue for FacetCounts {}
impl CachedValue for Home {}
impl CachedValue for Site {}
impl CachedValue for OwnPage {}
impl CachedValue for ProfileFacts {}
impl CachedValue for Vec<TransactionView> {}

/// The key of a cached response with the value `T`.
pub struct ValueKey<T> {
    key: CacheKey,
    value: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for ValueKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

impl<T> ValueKey<T> {
    const fn of(key: CacheKey) -> Self {
        Self {
            key,
            value: PhantomData,
        }
    }

    /// The key without the type of its value.
    pub fn untyped(self) -> CacheKey {
        self.key
    }

    /// A session. Its value never leaves the process, so its type is that of the code that reads it.
    pub const fn session(user: UserId, session: SessionId) -> Self {
        Self::of(CacheKey::UserSession(user, session))
    }
}

impl ValueKey<Game> {
    /// One game.
    pub const fn game(id: GameId) -> Self {
        Self::of(CacheKey::Game(id))
    }

    /// One game by its slug.
    pub const fn game_by_slug(slug: String) -> Self {
        Self::of(CacheKey::GameBySlug(slug))
    }
}

impl ValueKey<Vec<Game>> {
    /// Games that are similar to a game.
    pub const fn similar(id: GameId, count: u32) -> Self {
        Self::of(CacheKey::SimilarGames(id, count))
    }

    /// A game's other editions, regions and platforms.
    pub const fn editions(id: GameId) -> Self {
        Self::of(CacheKey::GameEditions(id))
    }

    /// Best sellers, of all games or of one genre.
    pub const fn best_sellers(genre: Option<String>) -> Self {
        Self::of(CacheKey::HomeBestSellers(genre))
    }

    /// Latest additions to the catalogue.
    pub const fn new_in_catalog() -> Self {
        Self::of(CacheKey::HomeNewInCatalog)
    }

    /// Announced games.
    pub const fn preorders() -> Self {
        Self::of(CacheKey::HomePreorders)
    }

    /// Recently released games.
    pub const fn new_releases() -> Self {
        Self::of(CacheKey::HomeNewGames)
    }

    /// The most popular games of a genre.
    pub const fn genre(genre: String) -> Self {
        Self::of(CacheKey::HomeGenre(genre))
    }

    /// The games from which random ones are drawn.
    pub const fn random_pool() -> Self {
        Self::of(CacheKey::HomeRandomPool)
    }

    /// Results of a plain search.
    pub fn search(text: &str) -> Self {
        Self::of(CacheKey::CatalogPage(search_digest(text)))
    }
}

impl ValueKey<Page<Game>> {
    /// A page of the catalogue. Equivalent queries have the same key.
    pub fn catalogue_page(query: &CatalogQuery) -> Self {
        Self::of(CacheKey::CatalogPage(query.digest()))
    }
}

impl ValueKey<FacetCounts> {
    /// The number of games per filter value.
    pub fn facet_counts(query: &CatalogQuery) -> Self {
        Self::of(CacheKey::CatalogPage(query.facets_digest()))
    }
}

impl ValueKey<Vec<Suggestion>> {
    /// Suggestions for a partly typed text.
    pub fn suggestions(text: &str, limit: u32) -> Self {
        Self::of(CacheKey::CatalogAutocomplete(suggestions_digest(text, limit)))
    }
}

impl ValueKey<Vec<NameSlug>> {
    /// The genres of the catalogue.
    pub const fn genres() -> Self {
        Self::of(CacheKey::CatalogGenres)
    }

    /// The platforms of the catalogue.
    pub const fn platforms() -> Self {
        Self::of(CacheKey::CatalogPlatforms)
    }
}

impl ValueKey<Vec<Collection>> {
    /// Collections of games by genre and by publisher.
    pub const fn collections() -> Self {
        Self::of(CacheKey::HomeCollections)
    }
}

impl ValueKey<FilterOptions> {
    /// The values by which the catalogue can be filtered.
    pub const fn filter_options() -> Self {
        Self::of(CacheKey::CatalogFilterOptions)
    }
}

impl ValueKey<Home> {
    /// The data of the home page.
    pub fn home() -> Self {
        Self::of(CacheKey::HomePage("index".to_owned()))
    }
}

impl ValueKey<Site> {
    /// What stands on every page of the shop.
    pub fn site() -> Self {
        Self::of(CacheKey::HomePage("site".to_owned()))
    }
}

impl ValueKey<OwnPage> {
    /// An own page of the shop in a language.
    pub fn own_page(slug: &str, language: &str) -> Self {
        Self::of(CacheKey::HomePage(format!("page:{slug}:{language}")))
    }
}

impl ValueKey<Document> {
    /// The list of the sitemap's parts.
    pub fn sitemap() -> Self {
        Self::of(CacheKey::CatalogPage("sitemap".to_owned()))
    }

    /// Part `part` of the sitemap, from 1.
    pub fn sitemap_part(part: u32) -> Self {
        Self::of(CacheKey::CatalogPage(format!("sitemap:{part}")))
    }

    /// The mark of the catalogue's state, which stands for its feeds.
    pub fn feeds() -> Self {
        Self::of(CacheKey::CatalogPage("feeds".to_owned()))
    }
}

impl ValueKey<ProfileFacts> {
    /// A user's profile.
    pub const fn profile(user: UserId) -> Self {
        Self::of(CacheKey::UserProfile(user))
    }
}

impl ValueKey<Cart> {
    /// A user's or guest's cart.
    pub const fn cart(owner: CartOwner) -> Self {
        Self::of(match owner {
            CartOwner::User(id) => CacheKey::UserCart(ShopperId(id.0)),
            CartOwner::Guest(id) => CacheKey::SessionCart(id),
        })
    }
}

impl ValueKey<Wishlist> {
    /// A user's or guest's wishlist.
    pub const fn wishlist(owner: CartOwner) -> Self {
        Self::of(match owner {
            CartOwner::User(id) => CacheKey::UserWishlist(ShopperId(id.0)),
            CartOwner::Guest(id) => CacheKey::SessionWishlist(id),
        })
    }
}

impl ValueKey<OrderView> {
    /// One order, without the content of its keys.
    pub const fn order(id: OrderId) -> Self {
        Self::of(CacheKey::Order(id))
    }
}

impl ValueKey<Vec<OrderView>> {
    /// A user's newest orders, without the content of their keys.
    pub const fn orders(user: UserId) -> Self {
        Self::of(CacheKey::UserOrders(user))
    }
}

impl ValueKey<Vec<TransactionView>> {
    /// A user's newest transactions.
    pub const fn transactions(user: UserId) -> Self {
        Self::of(CacheKey::UserTransactions(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cached_in_the_envelope_of_a_response_and_documents_as_they_are() {
        let names = vec![NameSlug {
            name: "RPG".to_owned(),
            slug: "rpg".to_owned(),
        }];
        let body = names.body().unwrap();
        assert_eq!(body, br#"{"success":true,"data":[{"name":"RPG","slug":"rpg"}]}"#);
        assert_eq!(Vec::<NameSlug>::parse(&body).unwrap(), names);
        let document = Document("<a>ä</a>".to_owned());
        assert_eq!(document.body().unwrap(), "<a>ä</a>".as_bytes());
        assert_eq!(Document::parse(&document.body().unwrap()).unwrap(), document);
    }
}
