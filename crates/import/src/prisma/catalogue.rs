//! Games, what they are filed under, and promo codes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use lockstep_domain::{html, slug};
use lockstep_store::imports::{self, Game, GameTerm, Promo, TermKind};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::rows::{OldFinding, OldGame, OldLink, OldPromo, OldTerm};
use super::{BATCH, Work, line, own, positive};
use crate::{Finding, ImportError};

/// How often the supplier is asked for one product; a synchronisation brings all costs.
const MOST_ASKED: u32 = 500;

/// Names of languages as the other shop's games have them, in lower case, with their codes.
const LANGUAGES: &[(&str, &str)] = &[
    ("english", "en"),
    ("german", "de"),
    ("deutsch", "de"),
    ("french", "fr"),
    ("italian", "it"),
    ("spanish", "es"),
    ("spanish - spain", "es"),
    ("spanish - latin america", "es"),
    ("polish", "pl"),
    ("portuguese", "pt"),
    ("portuguese - brazil", "pt"),
    ("portuguese-brazil", "pt"),
    ("russian", "ru"),
    ("ukrainian", "uk"),
    ("czech", "cs"),
    ("slovak", "sk"),
    ("hungarian", "hu"),
    ("romanian", "ro"),
    ("bulgarian", "bg"),
    ("greek", "el"),
    ("turkish", "tr"),
    ("dutch", "nl"),
    ("danish", "da"),
    ("swedish", "sv"),
    ("norwegian", "no"),
    ("finnish", "fi"),
    ("japanese", "ja"),
    ("korean", "ko"),
    ("chinese", "zh"),
    ("simplified chinese", "zh"),
    ("traditional chinese", "zh"),
    ("arabic", "ar"),
    ("thai", "th"),
    ("vietnamese", "vi"),
    ("hebrew", "he"),
    ("croatian", "hr"),
    ("slovenian", "sl"),
    ("serbian", "sr"),
];

fn language(name: &str) -> Option<String> {
    let name = name.trim().to_lowercase();
    if name.len() == 2 && name.bytes().all(|b| b.is_ascii_lowercase()) {
        return Some(name);
    }
    LANGUAGES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, code)| (*code).to_owned())
}

const TERMS: [(TermKind, &str, &str, &str); 4] = [
    (
        TermKind::Category,
        "categories",
        "game_categories",
        r#"select "gameId" as game_id, "categoryId" as term_id from game_categories
            where ("gameId", "categoryId") > ($1, $2) and ($3::timestamp is null or true) order by 1, 2 limit 5000"#,
    ),
    (
        TermKind::Genre,
        "genres",
        "game_genres",
        r#"select "gameId" as game_id, "genreId" as term_id from game_genres
            where ("gameId", "genreId") > ($1, $2) and ($3::timestamp is null or true) order by 1, 2 limit 5000"#,
    ),
    (
        TermKind::Platform,
        "platforms",
        "game_platforms",
        r#"select "gameId" as game_id, "platformId" as term_id from game_platforms
            where ("gameId", "platformId") > ($1, $2) and ($3::timestamp is null or true) order by 1, 2 limit 5000"#,
    ),
    (
        TermKind::Tag,
        "tags",
        "game_tags",
        r#"select "gameId" as game_id, "tagId" as term_id from game_tags
            where ("gameId", "tagId") > ($1, $2) and ($3::timestamp is null or true) order by 1, 2 limit 5000"#,
    ),
];

const GAMES: &str = r#"select id, title, slug, description, "shortDescription" as short_description, {m:price} as price,
        nullif("originalPrice", 'NaN') as original_price, discount, image, {a:images} as images, "inStock" as in_stock,
        nullif("g2aProductId", '') as g2a_product_id,
        {t:g2aLastSync} as g2a_last_sync, {t:releaseDate} as release_date, "metacriticScore" as metacritic_score,
        nullif("userRating", 'NaN') as user_rating, "ageRating" as age_rating, multiplayer,
        "activationService" as activation_service, region, publisher, "isBestSeller" as is_best_seller, "isNew" as is_new,
        "isPreorder" as is_preorder, ({ratingCritic})::integer as rating_critic, ({ratingUser})::integer as rating_user,
        {languages} as languages, {t:createdAt} as created_at
   from games g
  where id > $1 and ($2::timestamp is null or "updatedAt" >= $2::timestamp)
    order by id limit 500"#;

/// The game of a product is the earliest one; the others are games of the shop's own.
const LATER_GAMES: &str = r#"select g.id, null::numeric as amount, '' as evidence
   from (select id, row_number() over (partition by "g2aProductId" order by "createdAt", id) as place from games
          where "g2aProductId" <> '') g where g.place > 1"#;

impl Work<'_> {
    pub(super) async fn terms_and_games(&mut self) -> Result<(), ImportError> {
        let mut terms: [HashMap<String, Uuid>; 4] = Default::default();
        for ((kind, table, ..), ids) in TERMS.iter().zip(&mut terms) {
            self.put_terms(*kind, table, ids).await?;
        }
        self.put_games().await?;
        for ((kind, _, table, statement), ids) in TERMS.iter().zip(&terms) {
            self.put_term_links(*kind, table, statement, ids).await?;
        }
        Ok(())
    }

    async fn put_terms(
        &mut self,
        kind: TermKind,
        table: &'static str,
        ids: &mut HashMap<String, Uuid>,
    ) -> Result<(), ImportError> {
        let mut after = String::new();
        loop {
            let statement = format!(
                "select id, name, slug from {table} where id > $1 and ($2::timestamp is null or true) order by id limit {BATCH}"
            );
            let rows: Vec<OldTerm> = self.source.page(&statement, &[after], None).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id.clone();
            let foreign: Vec<String> = rows.iter().map(|row| format!("{kind:?}/{}", row.id)).collect();
            let known = match self.target() {
                Some((store, _, run)) => imports::known(store, run.source, "term", &foreign).await?,
                None => HashMap::new(),
            };
            for (row, foreign) in rows.into_iter().zip(foreign) {
                if let Some(id) = known.get(&foreign) {
                    ids.insert(row.id, *id);
                    self.table(table).duplicates += 1;
                    continue;
                }
                let Some(name) = line(Some(row.name)) else {
                    self.skip(table, "it has no name", 1);
                    continue;
                };
                let address = if slug::is_slug(&row.slug) {
                    row.slug
                } else {
                    slug::slug_of_name(&name)
                };
                let mut id = own(table, &row.id);
                let mut is_new = true;
                if let Some((store, _, run)) = self.target() {
                    (id, is_new) = imports::put_term(store, run, kind, &row.id, id, (&address, &name)).await?;
                }
                ids.insert(row.id, id);
                let table = self.table(table);
                if is_new {
                    table.taken += 1;
                } else {
                    table.duplicates += 1;
                }
            }
        }
    }

    async fn put_games(&mut self) -> Result<(), ImportError> {
        let later: Vec<OldFinding> = self.source.rows(LATER_GAMES, &[]).await?;
        let later: std::collections::HashSet<String> = later.into_iter().map(|row| row.id).collect();
        let (since, mut after, mut done) = (self.options.since, String::new(), 0);
        loop {
            let mut rows: Vec<OldGame> = self.source.page(GAMES, &[after], since).await?;
            let Some(last) = rows.last() else { break };
            after = last.id.clone();
            done += rows.len();
            for row in &mut rows {
                if later.contains(&row.id) {
                    row.g2a_product_id = None;
                }
            }
            let count = rows.len();
            let games: Vec<Game> = rows.into_iter().map(|row| self.game(row)).collect();
            let mut ids: HashMap<String, Uuid> = games.iter().map(|game| (game.foreign_id.clone(), game.id)).collect();
            let many = u64::try_from(count).unwrap_or_default();
            if let Some((store, _, run)) = self.target() {
                let known = imports::put_games(store, run, &games).await?;
                ids.extend(known.ids);
                let table = self.table("games");
                table.taken += known.taken;
                table.duplicates += many - known.taken;
                for foreign in known.matched {
                    let evidence = "Its G2A product is a game of this shop already, which stands for it.";
                    self.findings
                        .push(Finding::new("game_matched", foreign, evidence, "None is needed."));
                }
            } else {
                self.table("games").taken += many;
            }
            self.games.extend(ids);
            self.progress("games", done);
        }
        if since.is_some() {
            self.older_games().await?;
        }
        Ok(())
    }

    /// The ids of games that did not change since.
    async fn older_games(&mut self) -> Result<(), ImportError> {
        let mut after = String::new();
        loop {
            let statement = "select id, slug as name, slug from games where id > $1 and ($2::timestamp is null or true) order by id limit 5000";
            let rows: Vec<OldTerm> = self.source.page(statement, &[after], None).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id.clone();
            let foreign: Vec<String> = rows
                .into_iter()
                .map(|row| row.id)
                .filter(|id| !self.games.contains_key(id))
                .collect();
            self.table("games").duplicates += u64::try_from(foreign.len()).unwrap_or_default();
            let known = match self.target() {
                Some((store, _, run)) => imports::known(store, run.source, "game", &foreign).await?,
                None => foreign.iter().map(|id| (id.clone(), own("game", id))).collect(),
            };
            self.games.extend(known);
        }
    }

    fn game(&mut self, row: OldGame) -> Game {
        let id = own("game", &row.id);
        let title = line(Some(row.title)).unwrap_or_else(|| "Untitled".to_owned());
        let is_address = slug::is_slug(&row.slug)
            && !row.slug.starts_with('-')
            && !row.slug.ends_with('-')
            && !row.slug.contains("--");
        let address = if is_address {
            row.slug
        } else {
            let made = slug::slugify(if row.slug.trim().is_empty() { &title } else { &row.slug });
            let head = if made.is_empty() { "game".to_owned() } else { made };
            let changed = format!("{head}-{}", id.simple().to_string().get(..8).unwrap_or_default());
            let evidence = format!("The slug {:?} is no address; it became {changed}.", row.slug);
            self.findings
                .push(Finding::new("slug_changed", &row.id, evidence, "None is needed."));
            changed
        };
        let mut withdrawn_at = None;
        let price = positive(Some(row.price)).unwrap_or_else(|| {
            withdrawn_at = Some(self.source.at);
            Decimal::new(1, 2)
        });
        if withdrawn_at.is_some() {
            let evidence = format!("The price is {}; the game is brought as withdrawn.", row.price);
            self.findings.push(Finding::new(
                "price_impossible",
                &row.id,
                evidence,
                "Set a price in the console.",
            ));
        }
        let original = positive(row.original_price);
        let is_reduced = original.is_some_and(|original| original > price);
        let percent = |value: Option<i32>| value.filter(|value| (0..=100).contains(value));
        let languages = row.languages.iter().filter_map(|name| language(name)).collect();
        let created_at = row.created_at.unwrap_or(self.source.at);
        Game {
            foreign_id: row.id,
            id,
            title,
            slug: address,
            description: html::description(&row.description),
            short_description: line(row.short_description),
            price,
            original_price: original.filter(|_| is_reduced),
            discount: if is_reduced {
                percent(row.discount).unwrap_or(0)
            } else {
                0
            },
            image: row.image,
            images: row.images,
            in_stock: row.in_stock && withdrawn_at.is_none(),
            g2a_product_id: line(row.g2a_product_id),
            g2a_last_sync: row.g2a_last_sync,
            release_date: row.release_date.filter(in_range).unwrap_or(created_at),
            metacritic_score: percent(row.metacritic_score),
            user_rating: row
                .user_rating
                .filter(|rating| (Decimal::ZERO..=Decimal::from(5)).contains(rating)),
            age_rating: line(row.age_rating),
            multiplayer: row.multiplayer,
            activation_service: line(row.activation_service),
            region: line(row.region),
            publisher: line(row.publisher),
            is_best_seller: row.is_best_seller,
            is_new: row.is_new,
            is_preorder: row.is_preorder,
            rating_critic: percent(row.rating_critic),
            rating_user: percent(row.rating_user),
            languages,
            created_at,
            withdrawn_at,
        }
    }

    async fn put_term_links(
        &mut self,
        kind: TermKind,
        table: &'static str,
        statement: &str,
        terms: &HashMap<String, Uuid>,
    ) -> Result<(), ImportError> {
        let (mut game, mut term) = (String::new(), String::new());
        loop {
            let rows: Vec<OldLink> = self.source.page(statement, &[game, term], None).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            (game, term) = (last.game_id.clone(), last.term_id.clone());
            let links: Vec<GameTerm> = rows
                .iter()
                .filter_map(|row| {
                    Some(GameTerm {
                        game: *self.games.get(&row.game_id)?,
                        term: *terms.get(&row.term_id)?,
                    })
                })
                .collect();
            let many = u64::try_from(links.len()).unwrap_or_default();
            let taken = match self.target() {
                Some((store, ..)) => imports::put_links(store, kind, &links).await?,
                None => many,
            };
            let table = self.table(table);
            table.taken += taken;
            table.duplicates += many - taken;
        }
    }

    /// `price_below_cost`, for games whose cost is known here.
    pub(super) async fn check_prices(&mut self) -> Result<(), ImportError> {
        const PAGE: &str = r#"select id, {m:price} as amount, "g2aProductId" as evidence from games
             where id > $1 and ($2::timestamp is null or true) and "inStock" and "g2aProductId" <> '' order by id limit 1000"#;
        let (mut after, mut unknown, mut asks) = (String::new(), 0_u64, MOST_ASKED);
        loop {
            let rows: Vec<OldFinding> = self.source.page(PAGE, &[after], None).await?;
            let Some(last) = rows.last() else { break };
            after = last.id.clone();
            let products: Vec<String> = rows.iter().map(|row| row.evidence.clone()).collect();
            let mut costs = match self.options.costs {
                Some(store) => imports::supplier_costs(store, &products).await?,
                None => HashMap::new(),
            };
            for row in rows {
                if let (Some(ask), false, 1..) = (self.options.ask, costs.contains_key(&row.evidence), asks) {
                    asks -= 1;
                    match ask(row.evidence.clone()).await {
                        Ok(Some(cost)) => {
                            costs.insert(row.evidence.clone(), cost);
                        }
                        Ok(None) => {}
                        Err(error) => {
                            asks = 0;
                            self.notes
                                .push(format!("price_below_cost: G2A was not asked on: {error}."));
                        }
                    }
                }
                let (Some(cost), Some(price)) = (costs.get(&row.evidence), row.amount) else {
                    unknown += 1;
                    continue;
                };
                if price < *cost {
                    let evidence = format!(
                        "The price is {price}, and G2A asks {} for product {}.",
                        cost.normalize(),
                        row.evidence
                    );
                    let proposal = "The next synchronisation sets the price by your rules; nothing is sold below cost.";
                    let finding = Finding::new("price_below_cost", row.id, evidence, proposal);
                    self.findings.push(finding.about(super::plan::cents(*cost - price)));
                }
            }
        }
        if unknown > 0 {
            self.notes.push(format!(
                "price_below_cost: not checked for {unknown} game(s) whose cost is not known; `lockstep sync --full` brings them."
            ));
        }
        Ok(())
    }

    pub(super) async fn put_promo_codes(&mut self) -> Result<(), ImportError> {
        const CODES: &str = r#"select p.id, p.code, {m:p.discount} as discount, p."maxUses" as max_uses,
                greatest(p."usedCount"::bigint, coalesce(n.orders, 0)) as used_count,
                {t:p.validFrom} as valid_from, {t:p.validUntil} as valid_until, p.active, {t:p.createdAt} as created_at
           from promo_codes p
           left join (select upper(btrim("promoCode")) as code, count(*) as orders from orders
                       where "promoCode" is not null group by 1) n on n.code = upper(btrim(p.code))
          order by p."createdAt", p.id"#;
        let rows: Vec<OldPromo> = self.source.rows(CODES, &[]).await?;
        for row in rows {
            let code = row.code.trim().to_uppercase();
            let is_code = (2..=40).contains(&code.len())
                && code
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
            let is_percent = row.discount > Decimal::ZERO && row.discount <= Decimal::ONE_HUNDRED;
            let from = row.valid_from.or(row.created_at).unwrap_or(self.source.at);
            if !is_code || !is_percent || row.valid_until.is_some_and(|until| until <= from) {
                self.skip(
                    "promo_codes",
                    "its code, discount or time of validity cannot be one of a code",
                    1,
                );
                continue;
            }
            if !self.promo_codes.insert(code.clone()) {
                self.table("promo_codes").duplicates += 1;
                continue;
            }
            let used = i32::try_from(row.used_count.max(0)).unwrap_or(i32::MAX);
            let promo = Promo {
                id: own("promo_code", &row.id),
                foreign_id: row.id,
                code,
                discount: row.discount,
                active: row.active && row.max_uses.is_none_or(|most| most > 0),
                valid_from: from,
                valid_until: row.valid_until,
                max_uses: row.max_uses.map(|most| most.max(used).max(1)),
                used_count: used,
                created_at: row.created_at.unwrap_or(from),
            };
            let is_new = match self.target() {
                Some((store, _, run)) => imports::put_promo(store, run, promo).await?,
                None => true,
            };
            let table = self.table("promo_codes");
            if is_new {
                table.taken += 1;
            } else {
                table.duplicates += 1;
            }
        }
        Ok(())
    }
}

/// The times that our columns take.
fn in_range(at: &DateTime<Utc>) -> bool {
    use chrono::Datelike as _;
    (1..10_000).contains(&at.year())
}

#[cfg(test)]
mod tests {
    use super::language;

    #[test]
    fn languages_become_codes() {
        for (name, code) in [
            ("English", Some("en")),
            ("DE", Some("de")),
            (" pl ", Some("pl")),
            ("Portuguese - Brazil", Some("pt")),
            ("Klingon", None),
        ] {
            assert_eq!(language(name).as_deref(), code, "{name}");
        }
    }
}
