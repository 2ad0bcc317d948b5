//! Which cached answers staff mean by a pattern such as `game:*`: the tags that invalidate them, and their keys.
//!
//! A pattern is not searched for among the keys of Redis. Only patterns that tags stand for are accepted, so that every
//! process and every tier drops the same answers, and nothing that is not the shop's is touched.

use std::fmt;

use uuid::Uuid;

use crate::cache_key::{
    TAG_ALL_GAMES, TAG_ALL_ORDERS, TAG_ALL_SHOPPERS, TAG_ALL_USERS, TAG_CATALOG, TAG_EVERYTHING, TAG_HOME,
};

/// The key of the note about a running synchronisation. No cached answer: nothing reads it back.
pub const SYNC_PROGRESS_KEY: &str = "g2a:sync:progress";

/// The families of keys, as patterns. The first six are those of the existing console.
pub const FAMILY_PATTERNS: [&str; 7] = [
    "home:*",
    "game:*",
    "catalog:*",
    "user:*",
    "g2a:*",
    "session:*",
    "order:*",
];

/// A pattern that tags stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePattern {
    text: String,
    tags: Vec<String>,
    keys: Keys,
}

/// The keys of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// Every key.
    All,
    /// Every key of a family, one of [`FAMILY_PATTERNS`].
    Family(&'static str),
    /// These.
    Named(Vec<String>),
}

/// No tag stands for a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be home:*, game:*, catalog:*, user:*, g2a:*, session:*, order:* or *, or name one game, user, session or order \
     (game:ID, user:ID:*)"
)]
pub struct UnknownPattern;

impl CachePattern {
    /// Every cached answer.
    pub fn everything() -> Self {
        Self {
            text: "*".to_owned(),
            tags: vec![TAG_EVERYTHING.to_owned()],
            keys: Keys::All,
        }
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// [`UnknownPattern`].
    pub fn parse(text: &str) -> Result<Self, UnknownPattern> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self::everything());
        }
        if let Some(family) = FAMILY_PATTERNS.into_iter().find(|family| *family == text) {
            let tags: &[&str] = match family {
                "home:*" => &[TAG_HOME],
                "game:*" => &[TAG_ALL_GAMES],
                "catalog:*" => &[TAG_CATALOG],
                "user:*" => &[TAG_ALL_USERS, TAG_ALL_SHOPPERS],
                "session:*" => &[TAG_ALL_SHOPPERS],
                "order:*" => &[TAG_ALL_ORDERS],
                _ => &[],
            };
            return Ok(Self {
                text: text.to_owned(),
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                keys: Keys::Family(family),
            });
        }
        let (tags, keys) = one(text).ok_or(UnknownPattern)?;
        Ok(Self {
            text: text.to_owned(),
            tags,
            keys: Keys::Named(keys),
        })
    }

    /// The tags whose answers become invalid. They may cover more than the pattern: the log does not distinguish the
    /// carts of users and of guests.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The keys.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether a key belongs to the pattern.
    pub fn covers(&self, name: &str) -> bool {
        match &self.keys {
            Keys::All => true,
            Keys::Family(family) => family_of(name) == Some(*family),
            Keys::Named(names) => names.iter().any(|one| one == name),
        }
    }
}

impl fmt::Display for CachePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The family of a key, one of [`FAMILY_PATTERNS`].
pub fn family_of(name: &str) -> Option<&'static str> {
    FAMILY_PATTERNS
        .into_iter()
        .find(|family| name.starts_with(family.trim_end_matches('*')))
}

/// The tags and keys of one game, user, session or order.
fn one(text: &str) -> Option<(Vec<String>, Vec<String>)> {
    let (kind, rest) = text.split_once(':')?;
    if let Some(slug) = rest.strip_prefix("slug:").filter(|_| kind == "game") {
        let is_slug = crate::slug::is_slug(slug);
        return is_slug.then(|| (vec![text.to_owned()], vec![text.to_owned()]));
    }
    let (id, part) = rest.split_once(':').unwrap_or((rest, ""));
    let Ok(uuid) = Uuid::try_parse(id) else {
        // Nothing has such an id, as in the existing console's example `user:123:*`.
        let (_, keys) = one_with(kind, Uuid::nil(), part)?;
        let is_word = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        return (is_word && !keys.is_empty()).then(Default::default);
    };
    // As keys spell it: lower case, with hyphens.
    one_with(kind, uuid, part).filter(|_| uuid.to_string() == id)
}

/// The tags and keys of what has this id.
fn one_with(kind: &str, id: Uuid, part: &str) -> Option<(Vec<String>, Vec<String>)> {
    let parts = |known: &[&'static str]| -> Option<Vec<&'static str>> {
        let wanted: Vec<&str> = known
            .iter()
            .copied()
            .filter(|one| part == "*" || part == *one)
            .collect();
        (!wanted.is_empty()).then_some(wanted)
    };
    match kind {
        "game" if matches!(part, "" | "*") => Some((
            vec![format!("game:{id}")],
            vec![format!("game:{id}"), format!("game:{id}:editions")],
        )),
        "order" if matches!(part, "" | "*") => Some((vec![format!("order:{id}")], vec![format!("order:{id}")])),
        "user" | "session" => {
            let wanted = if kind == "user" {
                parts(&["profile", "orders", "transactions", "cart", "wishlist"])?
            } else {
                parts(&["cart", "wishlist"])?
            };
            let mut tags: Vec<String> = wanted
                .iter()
                .map(|part| match *part {
                    "cart" | "wishlist" => format!("shopper:{id}:{part}"),
                    part => format!("user:{id}:{part}"),
                })
                .collect();
            if part == "*" && kind == "user" {
                tags.push(format!("user:{id}:session:all"));
            }
            Some((tags, wanted.iter().map(|part| format!("{kind}:{id}:{part}")).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache_key::CacheKey;
    use crate::ids::{GameId, OrderId, SessionId, ShopperId, UserId};

    const ID: &str = "0192f0c1-0000-7000-8000-000000000001";

    fn keys() -> Vec<CacheKey> {
        let id: Uuid = ID.parse().unwrap();
        vec![
            CacheKey::Game(GameId(id)),
            CacheKey::GameBySlug("portal".into()),
            CacheKey::SimilarGames(GameId(id), 10),
            CacheKey::GameEditions(GameId(id)),
            CacheKey::HomeBestSellers(Some("rpg".into())),
            CacheKey::HomePage("index".into()),
            CacheKey::CatalogGenres,
            CacheKey::CatalogPage("d".into()),
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

    /// What a pattern covers carries one of its tags, so that invalidating the tags drops it everywhere.
    #[test]
    fn every_answer_that_a_pattern_covers_has_one_of_its_tags() {
        let specific = [
            format!("game:{ID}"),
            format!("game:{ID}:*"),
            "game:slug:portal".to_owned(),
            format!("user:{ID}:*"),
            format!("user:{ID}:cart"),
            format!("user:{ID}:orders"),
            format!("session:{ID}:*"),
            format!("order:{ID}"),
        ];
        let families = FAMILY_PATTERNS.map(str::to_owned);
        let mut covered = 0;
        for text in specific.iter().chain(&families).map(String::as_str).chain(["*"]) {
            let pattern = CachePattern::parse(text).unwrap();
            assert_eq!(pattern.to_string(), text);
            for key in keys().into_iter().filter(|key| pattern.covers(&key.name())) {
                covered += 1;
                assert!(
                    key.tags().iter().any(|tag| pattern.tags().contains(tag)),
                    "{text} does not drop {}",
                    key.name()
                );
            }
        }
        assert!(covered > 40, "{covered}");
    }

    #[test]
    fn every_key_has_one_family() {
        for key in keys() {
            assert!(family_of(&key.name()).is_some(), "{}", key.name());
        }
        assert_eq!(family_of(SYNC_PROGRESS_KEY), Some("g2a:*"));
        assert_eq!(family_of("bull:orders"), None);
    }

    #[test]
    fn an_id_that_nothing_has_covers_nothing() {
        for text in ["user:123:*", "game:1", "order:x"] {
            let pattern = CachePattern::parse(text).unwrap();
            assert!(
                pattern.tags().is_empty() && pattern.keys() == &Keys::Named(Vec::new()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_no_tag_stands_for_is_refused() {
        let upper = format!("game:{}", ID.to_uppercase());
        for wrong in [
            "",
            "home",
            "home:?",
            "**",
            "ga*",
            "user:*:cart",
            "bull:*",
            "game:slug:",
            "game:slug:a b",
            "order:x:y",
            "game:\0",
            &upper,
        ] {
            assert_eq!(CachePattern::parse(wrong), Err(UnknownPattern), "{wrong:?}");
        }
    }
}
