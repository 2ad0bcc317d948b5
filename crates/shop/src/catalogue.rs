//! The read model of the public catalogue: for each answer its cache key, its loader and its type, in one place.
//!
//! `api, web → [this] → cache → store`
//!
//! API and pages read the same answers. The API serves the finished bytes of a [`Cached`] answer; pages read its value
//! when they have to render, and its validator to learn whether they have to.

use bytes::Bytes;
use lockstep_cache::{Cache, Cached, ReadError};
use lockstep_clock::Random;
use lockstep_domain::GameId;
use lockstep_domain::branding::{MAX_PICKS, Shelf};
use lockstep_domain::cached::{Document, ValueKey};
use lockstep_domain::catalogue::{
    Answer, CatalogQuery, Collection, CollectionType, FacetCounts, FilterOptions, Game, GenreTiles, Home, NameSlug,
    Page, Suggestion, Tile,
};
use lockstep_domain::site::{OwnPage, Site};
use lockstep_store::{StoreError, Tx, branding, games, site};
use rand::seq::IndexedRandom as _;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use lockstep_store::games::Address;

/// Maximum number of games of a plain search.
const MAX_SEARCH: u32 = 50;
/// Number of games from which random games are drawn, until the catalogue changes.
const RANDOM_POOL: u32 = 150;
/// Games in a large row of the home page: two rows of six.
const LARGE_ROW: usize = 12;
/// Games in a small row of the home page.
const SMALL_ROW: usize = 6;

/// The answers about the catalogue, read through the cache. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalogue(Cache, Random);

impl Catalogue {
    pub(crate) fn new(cache: Cache, random: Random) -> Self {
        Self(cache, random)
    }

    /// A game by its ID.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn game(&self, id: GameId) -> Result<Option<Cached<Game>>, ReadError> {
        self.0
            .find(ValueKey::game(id), move |tx| Box::pin(games::by_id(tx, id)))
            .await
    }

    /// A game by its slug, current or former.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn game_by_slug(&self, slug: String) -> Result<Option<Cached<Game>>, ReadError> {
        self.0
            .find(ValueKey::game_by_slug(slug.clone()), move |tx| {
                Box::pin(async move { games::by_slug(tx, &slug).await })
            })
            .await
    }

    /// At most `count` games that are similar to a game; none for an unknown ID.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn similar(&self, id: GameId, count: u32) -> Result<Cached<Vec<Game>>, ReadError> {
        self.0
            .get(ValueKey::similar(id, count), move |tx| {
                Box::pin(games::similar(tx, id, count))
            })
            .await
    }

    /// The other offers of the same game.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn editions(&self, id: GameId) -> Result<Cached<Vec<Game>>, ReadError> {
        self.0
            .get(ValueKey::editions(id), move |tx| Box::pin(games::editions(tx, id)))
            .await
    }

    /// A page of the catalogue.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn page(&self, query: CatalogQuery) -> Result<Cached<Page<Game>>, ReadError> {
        self.0
            .get(ValueKey::catalogue_page(&query), move |tx| {
                Box::pin(async move { games::page(tx, &query).await })
            })
            .await
    }

    /// The number of games that each filter value would match.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn facet_counts(&self, query: CatalogQuery) -> Result<Cached<FacetCounts>, ReadError> {
        self.0
            .get(ValueKey::facet_counts(&query), move |tx| {
                Box::pin(async move { games::facet_counts(tx, &query).await })
            })
            .await
    }

    /// The values by which the catalogue can be filtered.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn filter_options(&self) -> Result<Cached<FilterOptions>, ReadError> {
        self.0
            .get(ValueKey::filter_options(), |tx| Box::pin(games::filter_options(tx)))
            .await
    }

    /// At most 50 games that match a text, best match first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn search(&self, text: String) -> Result<Cached<Vec<Game>>, ReadError> {
        self.0
            .get(ValueKey::search(&text), move |tx| {
                Box::pin(async move { games::search(tx, &text, MAX_SEARCH).await })
            })
            .await
    }

    /// At most `limit` suggestions for a partly typed text.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn suggest(&self, text: String, limit: u32) -> Result<Cached<Vec<Suggestion>>, ReadError> {
        self.0
            .get(ValueKey::suggestions(&text, limit), move |tx| {
                Box::pin(async move { games::suggest(tx, &text, limit).await })
            })
            .await
    }

    /// The best-selling games, of all or of one genre, whose slug or name is in lower case.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn best_sellers(&self, genre: Option<String>) -> Result<Cached<Vec<Game>>, ReadError> {
        self.0
            .get(ValueKey::best_sellers(genre.clone()), move |tx| {
                Box::pin(async move { games::best_sellers(tx, genre.as_deref()).await })
            })
            .await
    }

    /// The latest additions to the catalogue.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn new_in_catalog(&self) -> Result<Cached<Vec<Game>>, ReadError> {
        self.0
            .get(ValueKey::new_in_catalog(), |tx| Box::pin(games::new_in_catalog(tx)))
            .await
    }

    /// Announced games, earliest release first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn preorders(&self) -> Result<Cached<Vec<Game>>, ReadError> {
        self.0
            .get(ValueKey::preorders(), |tx| Box::pin(games::preorders(tx)))
            .await
    }

    /// Recently released games.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn new_releases(&self) -> Result<Cached<Vec<Game>>, ReadError> {
        self.0
            .get(ValueKey::new_releases(), |tx| Box::pin(games::new_releases(tx)))
            .await
    }

    /// The most popular games of a genre, whose slug or name is in lower case; the best sellers if it has none.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn by_genre(&self, genre: String) -> Result<Cached<Vec<Game>>, ReadError> {
        self.0
            .get(ValueKey::genre(genre.clone()), move |tx| {
                Box::pin(async move { games::by_genre(tx, &genre).await })
            })
            .await
    }

    /// Collections of games by genre and by publisher.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn collections(&self) -> Result<Cached<Vec<Collection>>, ReadError> {
        self.0
            .get(ValueKey::collections(), |tx| Box::pin(games::collections(tx)))
            .await
    }

    /// The genres, sorted by name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn genres(&self) -> Result<Cached<Vec<NameSlug>>, ReadError> {
        self.0.get(ValueKey::genres(), |tx| Box::pin(games::genres(tx))).await
    }

    /// The platforms, sorted by name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn platforms(&self) -> Result<Cached<Vec<NameSlug>>, ReadError> {
        self.0
            .get(ValueKey::platforms(), |tx| Box::pin(games::platforms(tx)))
            .await
    }

    /// At most `count` random games, a new selection for each call: the body of a response with them.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn random(&self, count: u32) -> Result<Bytes, ReadError> {
        let pool = self
            .0
            .get(ValueKey::random_pool(), |tx| {
                Box::pin(games::random_pool(tx, RANDOM_POOL))
            })
            .await?;
        draw(pool.body(), count, &self.1)
    }

    /// The data of the home page, read in one snapshot.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn home(&self) -> Result<Cached<Home>, ReadError> {
        self.0.get(ValueKey::home(), |tx| Box::pin(home(tx))).await
    }

    /// What the operator writes on every page.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn site(&self) -> Result<Cached<Site>, ReadError> {
        self.0.get(ValueKey::site(), |tx| Box::pin(site::site(tx))).await
    }

    /// A published page of the operator's in `language`, or in another one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn own_page(&self, slug: &str, language: &'static str) -> Result<Option<Cached<OwnPage>>, ReadError> {
        let (key, slug) = (ValueKey::own_page(slug, language), slug.to_owned());
        self.0
            .find(key, move |tx| {
                Box::pin(async move { site::page(tx, &slug, language).await })
            })
            .await
    }

    /// The list of the sitemap's parts, which `write` makes from the number of games.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn sitemap(&self, write: impl FnOnce(u64) -> String + Send + 'static) -> Result<Bytes, ReadError> {
        let document = self
            .0
            .get(ValueKey::sitemap(), |tx| {
                Box::pin(async move { Ok(Document(write(games::listed(tx).await?))) })
            })
            .await?;
        Ok(document.body().clone())
    }

    /// Part `part` of the sitemap, from 1, which `write` makes from at most `size` games. There is always a first part.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn sitemap_part(
        &self,
        part: u32,
        size: u32,
        write: impl FnOnce(&[Address]) -> String + Send + 'static,
    ) -> Result<Option<Bytes>, ReadError> {
        let document = self
            .0
            .find(ValueKey::sitemap_part(part), move |tx| {
                Box::pin(async move {
                    let games = games::addresses(tx, part.saturating_sub(1), size).await?;
                    Ok((part <= 1 || !games.is_empty()).then(|| Document(write(&games))))
                })
            })
            .await?;
        Ok(document.map(|document| document.body().clone()))
    }
}

/// Draws `count` games from the pool without parsing them.
fn draw(pool: &[u8], count: u32, random: &Random) -> Result<Bytes, ReadError> {
    #[derive(Deserialize)]
    struct Pool<'b> {
        #[serde(borrow)]
        data: Vec<&'b RawValue>,
    }
    let pool: Pool<'_> = serde_json::from_slice(pool).map_err(ReadError::from)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let picked: Vec<&RawValue> = pool.data.choose_multiple(&mut random.rng(), count).copied().collect();
    Ok(serde_json::to_vec(&Answer::new(picked))?.into())
}

async fn home(tx: &mut Tx) -> Result<Home, StoreError> {
    let tiles =
        |games: Vec<Game>, count: usize| -> Vec<Tile> { games.into_iter().take(count).map(Tile::from).collect() };
    let mut best = games::best_sellers(tx, None).await?.into_iter();
    let first = best.next().map(Tile::from);
    let best: Vec<Tile> = best.take(LARGE_ROW).map(Tile::from).collect();
    let fresh = tiles(games::new_in_catalog(tx).await?, LARGE_ROW);
    let shelves = branding::shelves(tx).await?;
    let picked = if shelves.contains(&Shelf::Picked) {
        tiles(games::picked(tx).await?, MAX_PICKS)
    } else {
        Vec::new()
    };
    Ok(Home {
        picked,
        shelves,
        sells: first.is_some(),
        hero: first.or_else(|| fresh.first().cloned()),
        best,
        fresh,
        preorders: tiles(games::preorders(tx).await?, SMALL_ROW),
        genres: games::collections(tx)
            .await?
            .into_iter()
            .filter(|collection| collection.kind == CollectionType::Genre)
            .map(|collection| GenreTiles {
                games: tiles(collection.games, SMALL_ROW),
                name: collection.title,
                slug: collection.value,
            })
            .collect(),
    })
}
