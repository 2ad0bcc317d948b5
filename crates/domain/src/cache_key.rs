//! The registry of cached responses: every Redis key, its TTL, and the tags that invalidate it.
//!
//! Key names and TTLs are those of the existing shop where it has one. The invalidation log records *tags*: database
//! triggers write them (`crates/store/migrations`, "cache"), and a cached value is rejected when one of its tags was
//! invalidated after the value was read (`docs/consistency.md`). A value must therefore carry a tag for every row that
//! it was made from; a family's coarse tag (`game:*`) invalidates a large number of them at once.

use std::time::Duration;

use crate::ids::{GameId, OrderId, SessionId, ShopperId, UserId};

const HOUR: Duration = Duration::from_hours(1);

/// The longest TTL of any key; the invalidation log must retain its entries for longer.
pub const MAX_TTL: Duration = Duration::from_hours(24);

/// Tag of every cached value; written when a whole table is truncated.
pub const TAG_EVERYTHING: &str = "*";
/// Coarse tag of all games.
pub const TAG_ALL_GAMES: &str = "game:*";
/// Coarse tag of all carts and wishlists.
pub const TAG_ALL_SHOPPERS: &str = "shopper:*";
/// Coarse tag of all users' private responses.
pub const TAG_ALL_USERS: &str = "user:*";
/// Coarse tag of all orders.
pub const TAG_ALL_ORDERS: &str = "order:*";
/// Tag of the home page's lists (`home:*` in the existing shop).
pub const TAG_HOME: &str = "home";
/// Tag of catalogue pages, facets and search results (`catalog:*` in the existing shop).
pub const TAG_CATALOG: &str = "catalog";

/// The tags of whole families. Every value in Redis carries at least one of them.
const FAMILIES: [&str; 6] = [
    TAG_ALL_GAMES,
    TAG_ALL_SHOPPERS,
    TAG_ALL_USERS,
    TAG_ALL_ORDERS,
    TAG_HOME,
    TAG_CATALOG,
];

/// The key of one cached response.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CacheKey {
    /// `game:{id}`: one game's details.
    Game(GameId),
    /// `game:slug:{slug}`: one game's details by slug.
    GameBySlug(String),
    /// `game:{id}:similar:{count}`: similar games.
    SimilarGames(GameId, u32),
    /// `game:{id}:editions`: its other editions, regions and platforms.
    GameEditions(GameId),
    /// `home:bestSellers` or `home:bestSellers:{genre slug}`.
    HomeBestSellers(Option<String>),
    /// `home:newInCatalog`: latest additions to the catalogue.
    HomeNewInCatalog,
    /// `home:preorders`: announced games, by release date.
    HomePreorders,
    /// `home:newGames`: recently released games.
    HomeNewGames,
    /// `home:genre:{genre slug}`.
    HomeGenre(String),
    /// `home:collections`: lists by genre and publisher.
    HomeCollections,
    /// `home:random`: the pool for random picks.
    HomeRandomPool,
    /// `home:page:{name}`: a rendered page made of home lists.
    HomePage(String),
    /// `catalog:filterOptions`: facets of the catalogue.
    CatalogFilterOptions,
    /// `catalog:genres`.
    CatalogGenres,
    /// `catalog:platforms`.
    CatalogPlatforms,
    /// `catalog:page:{digest}`: one page of the catalogue; the digest covers filters, sort order and page.
    CatalogPage(String),
    /// `catalog:autocomplete:{digest}`.
    CatalogAutocomplete(String),
    /// `user:{id}:profile`.
    UserProfile(UserId),
    /// `user:{id}:session:{sid}`: a session's user and permissions. Kept in process memory only.
    UserSession(UserId, SessionId),
    /// `user:{id}:cart`; also carries the tags of the games in it (pass them when filling).
    UserCart(ShopperId),
    /// `user:{id}:wishlist`; also carries the tags of the games in it.
    UserWishlist(ShopperId),
    /// `session:{sid}:cart`.
    SessionCart(ShopperId),
    /// `session:{sid}:wishlist`.
    SessionWishlist(ShopperId),
    /// `user:{id}:orders`.
    UserOrders(UserId),
    /// `user:{id}:transactions`.
    UserTransactions(UserId),
    /// `order:{id}`.
    Order(OrderId),
}

impl CacheKey {
    /// The key's name in Redis (before an optional prefix).
    pub fn name(&self) -> String {
        match self {
            Self::Game(id) => format!("game:{id}"),
            Self::GameBySlug(slug) => format!("game:slug:{slug}"),
            Self::SimilarGames(id, count) => format!("game:{id}:similar:{count}"),
            Self::GameEditions(id) => format!("game:{id}:editions"),
            Self::HomeBestSellers(None) => "home:bestSellers".into(),
            Self::HomeBestSellers(Some(genre)) => format!("home:bestSellers:{genre}"),
            Self::HomeNewInCatalog => "home:newInCatalog".into(),
            Self::HomePreorders => "home:preorders".into(),
            Self::HomeNewGames => "home:newGames".into(),
            Self::HomeGenre(genre) => format!("home:genre:{genre}"),
            Self::HomeCollections => "home:collections".into(),
            Self::HomeRandomPool => "home:random".into(),
            Self::HomePage(name) => format!("home:page:{name}"),
            Self::CatalogFilterOptions => "catalog:filterOptions".into(),
            Self::CatalogGenres => "catalog:genres".into(),
            Self::CatalogPlatforms => "catalog:platforms".into(),
            Self::CatalogPage(digest) => format!("catalog:page:{digest}"),
            Self::CatalogAutocomplete(digest) => format!("catalog:autocomplete:{digest}"),
            Self::UserProfile(id) => format!("user:{id}:profile"),
            Self::UserSession(id, session) => format!("user:{id}:session:{session}"),
            Self::UserCart(id) => format!("user:{id}:cart"),
            Self::UserWishlist(id) => format!("user:{id}:wishlist"),
            Self::SessionCart(id) => format!("session:{id}:cart"),
            Self::SessionWishlist(id) => format!("session:{id}:wishlist"),
            Self::UserOrders(id) => format!("user:{id}:orders"),
            Self::UserTransactions(id) => format!("user:{id}:transactions"),
            Self::Order(id) => format!("order:{id}"),
        }
    }

    /// The longest time a value may be kept: the existing shop's TTL, or, where that has none, 15 minutes for home
    /// lists and 5 minutes for catalogue pages.
    pub const fn ttl(&self) -> Duration {
        match self {
            Self::Game(_)
            | Self::GameBySlug(_)
            | Self::CatalogFilterOptions
            | Self::CatalogGenres
            | Self::CatalogPlatforms
            | Self::UserProfile(_)
            | Self::UserWishlist(_) => HOUR,
            Self::UserCart(_) | Self::UserOrders(_) => Duration::from_mins(30),
            Self::UserTransactions(_)
            | Self::Order(_)
            | Self::HomeBestSellers(_)
            | Self::HomeNewInCatalog
            | Self::HomePreorders
            | Self::HomeNewGames
            | Self::HomeGenre(_)
            | Self::HomeCollections
            | Self::HomeRandomPool
            | Self::HomePage(_) => Duration::from_mins(15),
            Self::SessionCart(_) | Self::SessionWishlist(_) => MAX_TTL,
            Self::SimilarGames(..)
            | Self::GameEditions(_)
            | Self::CatalogPage(_)
            | Self::CatalogAutocomplete(_)
            | Self::UserSession(..) => Duration::from_mins(5),
        }
    }

    /// Whether the same rows always give the same value. A selection by chance does not, nor does a session, which
    /// depends on the time as well.
    pub const fn is_repeatable(&self) -> bool {
        !matches!(self, Self::HomeRandomPool | Self::UserSession(..))
    }

    /// Whether the value may be stored in Redis. Sessions stay in the process that read them: write access to Redis
    /// must not be enough to revive an ended session or to turn a customer into an administrator.
    pub const fn is_shared(&self) -> bool {
        !matches!(self, Self::UserSession(..))
    }

    /// The tags that follow from the key's name. Carts, wishlists and orders show games and also need [`game_tag`] for
    /// each.
    pub fn tags(&self) -> Vec<String> {
        let mut tags = vec![TAG_EVERYTHING.to_owned()];
        match self {
            Self::Game(id) => tags.extend([game_tag(*id), TAG_ALL_GAMES.into()]),
            Self::GameBySlug(slug) => tags.extend([format!("game:slug:{slug}"), TAG_ALL_GAMES.into()]),
            Self::SimilarGames(id, _) | Self::GameEditions(id) => {
                tags.extend([game_tag(*id), TAG_ALL_GAMES.into(), TAG_CATALOG.into()]);
            }
            Self::HomeBestSellers(_)
            | Self::HomeNewInCatalog
            | Self::HomePreorders
            | Self::HomeNewGames
            | Self::HomeGenre(_)
            | Self::HomeCollections
            | Self::HomeRandomPool
            | Self::HomePage(_) => tags.push(TAG_HOME.into()),
            Self::CatalogFilterOptions
            | Self::CatalogGenres
            | Self::CatalogPlatforms
            | Self::CatalogPage(_)
            | Self::CatalogAutocomplete(_) => tags.push(TAG_CATALOG.into()),
            Self::UserProfile(id) => tags.extend([format!("user:{id}:profile"), TAG_ALL_USERS.into()]),
            Self::UserSession(id, session) => tags.extend([
                format!("user:{id}:session:{session}"),
                // Not the profile's tag: every order invalidates that.
                format!("user:{id}:session:all"),
                TAG_ALL_USERS.into(),
            ]),
            Self::UserOrders(id) => {
                tags.extend([
                    format!("user:{id}:orders"),
                    TAG_ALL_USERS.into(),
                    TAG_ALL_ORDERS.into(),
                    TAG_ALL_GAMES.into(),
                ]);
            }
            Self::UserTransactions(id) => tags.extend([format!("user:{id}:transactions"), TAG_ALL_USERS.into()]),
            Self::Order(id) => tags.extend([format!("order:{id}"), TAG_ALL_ORDERS.into(), TAG_ALL_GAMES.into()]),
            Self::UserCart(id) | Self::SessionCart(id) => {
                tags.extend([
                    format!("shopper:{id}:cart"),
                    TAG_ALL_SHOPPERS.into(),
                    TAG_ALL_GAMES.into(),
                ]);
            }
            Self::UserWishlist(id) | Self::SessionWishlist(id) => {
                tags.extend([
                    format!("shopper:{id}:wishlist"),
                    TAG_ALL_SHOPPERS.into(),
                    TAG_ALL_GAMES.into(),
                ]);
            }
        }
        tags
    }
}

impl CacheKey {
    /// The tags under which the key is indexed in Redis, so that it can be dropped without a scan: its families, and
    /// those tags from which [`names_to_drop`] cannot derive the key's name. `shown` are the value's tags beyond those
    /// of its name.
    pub fn listed_under(&self, shown: &[String]) -> Vec<String> {
        let name = self.name();
        let mut lists = self.tags();
        lists.extend_from_slice(shown);
        lists.retain(|tag| {
            tag != TAG_EVERYTHING && (FAMILIES.contains(&tag.as_str()) || !names_to_drop(tag).contains(&name))
        });
        lists.sort_unstable();
        lists.dedup();
        lists
    }
}

/// The indexes ([`CacheKey::listed_under`]) whose keys an invalidated tag makes stale.
pub fn lists_to_drop(tag: &str) -> Vec<String> {
    if tag == TAG_EVERYTHING {
        FAMILIES.map(str::to_owned).to_vec()
    } else if tag.contains(":session:") {
        // Never in Redis.
        Vec::new()
    } else {
        vec![tag.to_owned()]
    }
}

/// The tag of one game, for values that show it.
pub fn game_tag(id: GameId) -> String {
    format!("game:{id}")
}

/// The names of all Redis keys that an invalidated tag makes stale and that can be named without a scan.
///
/// The relay drops them after the transaction commits. Keys that cannot be named here (catalogue pages, carts with a
/// certain game) are found through [`lists_to_drop`].
pub fn names_to_drop(tag: &str) -> Vec<String> {
    match tag {
        TAG_HOME => [
            CacheKey::HomeBestSellers(None),
            CacheKey::HomeNewInCatalog,
            CacheKey::HomePreorders,
            CacheKey::HomeNewGames,
            CacheKey::HomeCollections,
            CacheKey::HomeRandomPool,
        ]
        .iter()
        .map(CacheKey::name)
        .collect(),
        TAG_CATALOG => [
            CacheKey::CatalogFilterOptions,
            CacheKey::CatalogGenres,
            CacheKey::CatalogPlatforms,
        ]
        .iter()
        .map(CacheKey::name)
        .collect(),
        _ if tag.contains('*') || tag.contains(":session:") => Vec::new(),
        _ => match tag.strip_prefix("shopper:") {
            // The log names the shopper without saying whether it is a user or a guest: drop both names.
            Some(rest) => vec![format!("user:{rest}"), format!("session:{rest}")],
            None => vec![tag.to_owned()],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn one_of_each() -> Vec<CacheKey> {
        let id = Uuid::nil();
        vec![
            CacheKey::Game(GameId(id)),
            CacheKey::GameBySlug("portal".into()),
            CacheKey::SimilarGames(GameId(id), 10),
            CacheKey::GameEditions(GameId(id)),
            CacheKey::HomeBestSellers(None),
            CacheKey::HomeBestSellers(Some("rpg".into())),
            CacheKey::HomeNewInCatalog,
            CacheKey::HomePreorders,
            CacheKey::HomeNewGames,
            CacheKey::HomeGenre("rpg".into()),
            CacheKey::HomeCollections,
            CacheKey::HomeRandomPool,
            CacheKey::HomePage("index".into()),
            CacheKey::CatalogFilterOptions,
            CacheKey::CatalogGenres,
            CacheKey::CatalogPlatforms,
            CacheKey::CatalogPage("d".into()),
            CacheKey::CatalogAutocomplete("d".into()),
            CacheKey::UserProfile(UserId(id)),
            CacheKey::UserSession(UserId(id), SessionId(id)),
            CacheKey::UserCart(ShopperId(id)),
            CacheKey::UserWishlist(ShopperId(id)),
            CacheKey::SessionCart(ShopperId(id)),
            CacheKey::SessionWishlist(ShopperId(id)),
            CacheKey::UserOrders(UserId(id)),
            CacheKey::UserTransactions(UserId(id)),
            CacheKey::Order(OrderId(id)),
        ]
    }

    #[test]
    fn keys_and_ttls_match_the_existing_shop() {
        let id = Uuid::nil();
        let minutes = |key: CacheKey| (key.name().replace(&id.to_string(), "{id}"), key.ttl().as_secs() / 60);
        assert_eq!(
            minutes(CacheKey::UserProfile(UserId(id))),
            ("user:{id}:profile".into(), 60)
        );
        assert_eq!(
            minutes(CacheKey::UserCart(ShopperId(id))),
            ("user:{id}:cart".into(), 30)
        );
        assert_eq!(
            minutes(CacheKey::UserWishlist(ShopperId(id))),
            ("user:{id}:wishlist".into(), 60)
        );
        assert_eq!(
            minutes(CacheKey::SessionCart(ShopperId(id))),
            ("session:{id}:cart".into(), 24 * 60)
        );
        assert_eq!(
            minutes(CacheKey::SessionWishlist(ShopperId(id))),
            ("session:{id}:wishlist".into(), 24 * 60)
        );
        assert_eq!(minutes(CacheKey::Game(GameId(id))), ("game:{id}".into(), 60));
        assert_eq!(
            minutes(CacheKey::UserOrders(UserId(id))),
            ("user:{id}:orders".into(), 30)
        );
        assert_eq!(minutes(CacheKey::Order(OrderId(id))), ("order:{id}".into(), 15));
        assert_eq!(
            minutes(CacheKey::UserTransactions(UserId(id))),
            ("user:{id}:transactions".into(), 15)
        );
        assert_eq!(
            minutes(CacheKey::CatalogFilterOptions),
            ("catalog:filterOptions".into(), 60)
        );
        assert_eq!(CacheKey::HomeBestSellers(None).name(), "home:bestSellers");
        assert_eq!(CacheKey::HomeNewInCatalog.name(), "home:newInCatalog");
        assert_eq!(CacheKey::HomePreorders.name(), "home:preorders");
    }

    #[test]
    fn names_are_distinct_and_ttls_stay_below_log_retention() {
        let keys = one_of_each();
        let names: std::collections::HashSet<String> = keys.iter().map(CacheKey::name).collect();
        assert_eq!(names.len(), keys.len());
        assert!(keys.iter().all(|key| key.ttl() <= MAX_TTL));
        assert!(
            keys.iter()
                .all(|key| key.tags().first().map(String::as_str) == Some(TAG_EVERYTHING))
        );
    }

    #[test]
    fn dropping_a_tag_only_names_keys_that_carry_it() {
        let keys = one_of_each();
        for tag in keys.iter().flat_map(CacheKey::tags) {
            assert!(
                keys.iter()
                    .all(|key| key.is_shared() || !names_to_drop(&tag).contains(&key.name())),
                "{tag} drops what is never there"
            );
            for name in names_to_drop(&tag) {
                let Some(key) = keys.iter().find(|key| key.name() == name) else {
                    continue;
                };
                assert!(key.tags().contains(&tag), "{tag} drops {name}, which does not carry it");
            }
        }
    }

    #[test]
    fn every_shared_key_can_be_dropped_with_each_of_its_tags() {
        let game = game_tag(GameId(Uuid::max()));
        for key in one_of_each().into_iter().filter(CacheKey::is_shared) {
            let listed = key.listed_under(std::slice::from_ref(&game));
            for tag in key.tags().into_iter().chain([game.clone()]) {
                let by_name = names_to_drop(&tag).contains(&key.name());
                let by_list = lists_to_drop(&tag).iter().any(|list| listed.contains(list));
                assert!(by_name || by_list, "{tag} does not drop {}", key.name());
            }
        }
    }

    #[test]
    fn an_index_only_lists_keys_that_carry_its_tag() {
        for key in one_of_each().into_iter().filter(CacheKey::is_shared) {
            let tags = key.tags();
            assert!(key.listed_under(&[]).iter().all(|list| tags.contains(list)));
        }
    }
}
