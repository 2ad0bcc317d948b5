//! Every change of a row is logged: for every cached answer and every table that it is made from, a change writes a tag
//! that the answer carries.

use std::collections::BTreeSet;

use lockstep_domain::CacheKey;
use lockstep_domain::cache_key::game_tag;
use lockstep_domain::ids::{GameId, OrderId, SessionId, ShopperId, UserId};
use lockstep_testkit::TestDb;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::world::World;

/// The tables that an answer is made from. A new answer needs its tables here, and an instance in [`keys`].
fn reads(key: &CacheKey) -> &'static [&'static str] {
    const ONE_GAME: &[&str] = &[
        "games",
        "game_pictures",
        "categories",
        "genres",
        "platforms",
        "tags",
        "game_categories",
        "game_genres",
        "game_platforms",
        "game_tags",
    ];
    const GAME: &[&str] = &[
        "games",
        "categories",
        "genres",
        "platforms",
        "tags",
        "game_categories",
        "game_genres",
        "game_platforms",
        "game_tags",
    ];
    const BY_SLUG: &[&str] = &[
        "games",
        "game_pictures",
        "game_slugs",
        "categories",
        "genres",
        "platforms",
        "tags",
        "game_categories",
        "game_genres",
        "game_platforms",
        "game_tags",
    ];
    /// Also what the operator writes on every page.
    const PAGE: &[&str] = &[
        "games",
        "categories",
        "genres",
        "platforms",
        "tags",
        "game_categories",
        "game_genres",
        "game_platforms",
        "game_tags",
        "pages",
        "banners",
        "branding",
        "branding_logo",
        "picked_games",
        "tax_settings",
    ];
    match key {
        CacheKey::GameBySlug(_) => BY_SLUG,
        CacheKey::HomePage(_) => PAGE,
        CacheKey::Game(_) => ONE_GAME,
        CacheKey::SimilarGames(..)
        | CacheKey::GameEditions(_)
        | CacheKey::HomeBestSellers(_)
        | CacheKey::HomeNewInCatalog
        | CacheKey::HomePreorders
        | CacheKey::HomeNewGames
        | CacheKey::HomeGenre(_)
        | CacheKey::HomeCollections
        | CacheKey::HomeRandomPool
        | CacheKey::CatalogFilterOptions
        | CacheKey::CatalogGenres
        | CacheKey::CatalogPlatforms
        | CacheKey::CatalogPage(_)
        | CacheKey::CatalogAutocomplete(_) => GAME,
        CacheKey::UserCart(_) | CacheKey::SessionCart(_) => &["cart_items", "games"],
        CacheKey::UserWishlist(_) | CacheKey::SessionWishlist(_) => &["wishlist", "games"],
        // Includes statistics of purchases.
        CacheKey::UserProfile(_) => &["users", "user_totp", "orders", "order_items", "order_units"],
        CacheKey::UserSession(..) => &["users", "user_sessions"],
        CacheKey::UserOrders(_) | CacheKey::Order(_) => &[
            "orders",
            "order_items",
            "order_units",
            "game_keys",
            "games",
            "order_consents",
        ],
        CacheKey::UserTransactions(_) => &["transactions"],
    }
}

/// Tables that no cached answer is made from.
const NOT_CACHED: &[&str] = &[
    "_sqlx_migrations",
    "api_tokens",
    "audit_chain",
    "audit_log",
    // Its address stands in `users`, and no other picture ever has that address.
    "avatars",
    "card_bookings",
    "card_refunds",
    "cache_floor",
    "cache_incarnation",
    "billing_profiles",
    "blog_articles",
    "bulk_change_games",
    "bulk_changes",
    "buying_stops",
    "cache_inval",
    "disposable_domains",
    "dispute_evidence",
    "dispute_statuses",
    "disputes",
    "email_jobs",
    "email_settings",
    "email_subscriptions",
    "email_template_edits",
    "evidence_key",
    "excluded_products",
    "faqs",
    "fraud_rules",
    "g2a_budget",
    "g2a_orders",
    "g2a_settings",
    "game_stops",
    "guest_sessions",
    "idempotency_keys",
    "impersonation_requests",
    "impersonations",
    // What an import brings is written in the tables of customers, games and orders.
    "import_balances",
    "import_rows",
    "import_runs",
    "incidents",
    "instances",
    "key_reveals",
    "key_secret_in_use",
    "login_history",
    "mail_outbox",
    "one_time_codes",
    "order_taxes",
    "receipt_lines",
    "receipt_series",
    "receipts",
    "vat_rate_sets",
    "outgoing_events",
    "payment_comparisons",
    "payment_differences",
    "payment_events",
    "payment_inbox",
    "payment_holds",
    "payment_incidents",
    "pending_checkouts",
    "price_changes",
    // What it changes of games is written in their own tables.
    "merged_terms",
    "supplier_values",
    "price_jobs",
    "price_policy",
    "price_rules",
    "promo_batches",
    "promo_code_customers",
    "promo_code_games",
    "promo_code_genres",
    "promo_code_platforms",
    "promo_codes",
    "rate_limits",
    // For staff only, who see nothing cached.
    "recent_things",
    "relay_cursor",
    "saved_views",
    "scheduled_changes",
    "seen_balances",
    "seen_email_templates",
    "seen_games",
    "shoppers",
    "space_probe",
    // Asked for with every request of staff.
    "staff_role_permissions",
    "staff_roles",
    "supplier_calls",
    "supplier_jobs",
    "stock_alerts",
    "supplier_alarms",
    "sync_lease",
    "sync_runs",
    "sync_seen",
    "top_up_origins",
    "top_up_charges",
    "top_ups",
    "unreadable_answers",
    "unused_deliveries",
    "webhook_deliveries",
    "webhook_endpoints",
    "webhook_events",
    "webhook_secrets",
    "withdrawals",
    "write_probe",
    // Written only by the triggers of `games`, in the statement that is logged as a change of games.
    "catalog_totals",
    "game_edits",
    "game_search",
    // Written only by the triggers of `orders` and `order_units`, whose changes are logged.
    "user_totals",
    // The same: for staff only, who see nothing cached.
    "game_sums",
    "key_counts",
    "sales_sums",
    "verifications",
];

/// Whom and what a change concerns.
#[derive(Clone)]
struct About {
    game: &'static str,
    slug: &'static str,
    person: &'static str,
    order: &'static str,
}

const USUAL: About = About {
    game: "game",
    slug: "portal",
    person: "user",
    order: "order",
};

/// One of every cached answer, about these, with the tags a value would carry.
fn keys(world: &World, about: &About) -> Vec<(CacheKey, BTreeSet<String>)> {
    let game = GameId(world.id(about.game));
    let user = UserId(world.id(about.person));
    let shopper = ShopperId(user.0);
    let order = OrderId(world.id(about.order));
    let name = || "puzzle".to_owned();
    [
        CacheKey::Game(game),
        CacheKey::GameBySlug(about.slug.into()),
        CacheKey::SimilarGames(game, 10),
        CacheKey::GameEditions(game),
        CacheKey::HomeBestSellers(None),
        CacheKey::HomeBestSellers(Some(name())),
        CacheKey::HomeNewInCatalog,
        CacheKey::HomePreorders,
        CacheKey::HomeNewGames,
        CacheKey::HomeGenre(name()),
        CacheKey::HomeCollections,
        CacheKey::HomeRandomPool,
        CacheKey::HomePage(name()),
        CacheKey::CatalogFilterOptions,
        CacheKey::CatalogGenres,
        CacheKey::CatalogPlatforms,
        CacheKey::CatalogPage(name()),
        CacheKey::CatalogAutocomplete(name()),
        CacheKey::UserProfile(user),
        CacheKey::UserSession(user, SessionId(world.id("session"))),
        CacheKey::UserCart(shopper),
        CacheKey::UserWishlist(shopper),
        CacheKey::SessionCart(shopper),
        CacheKey::SessionWishlist(shopper),
        CacheKey::UserOrders(user),
        CacheKey::UserTransactions(user),
        CacheKey::Order(order),
    ]
    .into_iter()
    .map(|key| {
        let mut tags: BTreeSet<String> = key.tags().into_iter().collect();
        if matches!(
            key,
            CacheKey::Order(_)
                | CacheKey::UserOrders(_)
                | CacheKey::UserCart(_)
                | CacheKey::SessionCart(_)
                | CacheKey::UserWishlist(_)
                | CacheKey::SessionWishlist(_)
        ) {
            tags.insert(game_tag(game));
        }
        (key, tags)
    })
    .collect()
}

/// The tags that `change` writes after `before`, in a transaction that is rolled back.
async fn tags_of(world: &World, before: &str, change: &str) -> BTreeSet<String> {
    let mut tx = world.db.sql.begin().await.unwrap();
    tx.execute(AssertSqlSafe(world.fill(before)))
        .await
        .unwrap_or_else(|e| panic!("{before}: {e}"));
    let seq: i64 = sqlx::query_scalar("select coalesce(max(seq), 0) from cache_inval")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.execute(AssertSqlSafe(world.fill(change)))
        .await
        .unwrap_or_else(|e| panic!("{change}: {e}"));
    let tags = written_since(&mut tx, seq).await;
    tx.rollback().await.unwrap();
    tags
}

async fn written_since(connection: &mut PgConnection, seq: i64) -> BTreeSet<String> {
    sqlx::query_scalar::<_, String>(
        "select distinct t from cache_inval, unnest(tags) t where seq > $1 and xid = pg_current_xact_id()",
    )
    .bind(seq)
    .fetch_all(connection)
    .await
    .unwrap()
    .into_iter()
    .collect()
}

/// A table, the entities of its row, the setup, and a change of each kind.
struct Changes {
    table: &'static str,
    about: About,
    before: &'static str,
    insert: &'static str,
    /// The entities of the inserted row.
    inserted: About,
    update: &'static str,
    delete: &'static str,
}

fn taxonomy(table: &'static str, insert: &'static str, update: &'static str, delete: &'static str) -> Changes {
    Changes {
        table,
        about: USUAL,
        before: "",
        insert,
        inserted: USUAL,
        update,
        delete,
    }
}

fn all_changes() -> Vec<Changes> {
    let bare = "insert into orders (id, user_id, subtotal, total) values ({new_order}, {user}, 10, 10);
                insert into order_items (id, order_id, game_id, quantity, price) values ({new_item}, {new_order}, {game}, 2, 10);
                insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ({new_order}, {new_item}, {game}, 1, 10)";
    let new_order = About {
        order: "new_order",
        ..USUAL
    };
    let other_user = About {
        person: "other_user",
        ..USUAL
    };
    vec![
        Changes {
            table: "games",
            about: About {
                game: "other_game",
                slug: "half-life",
                ..USUAL
            },
            before: "insert into cart_items (user_id, game_id) values ({user}, {other_game})",
            insert: "insert into games (id, title, slug, description, price, image, release_date) values ({new_game}, 'N', 'new', 'd', 1, 'i', now())",
            inserted: About {
                game: "new_game",
                slug: "new",
                ..USUAL
            },
            update: "update games set price = 12 where id = {other_game}",
            delete: "delete from games where id = {other_game}",
        },
        Changes {
            before: "delete from game_categories",
            ..taxonomy(
                "categories",
                "insert into categories (name, slug) values ('N', 'n')",
                "update categories set name = 'N' where id = {category}",
                "delete from categories where id = {category}",
            )
        },
        Changes {
            before: "delete from game_genres",
            ..taxonomy(
                "genres",
                "insert into genres (name, slug) values ('N', 'n')",
                "update genres set name = 'N' where id = {genre}",
                "delete from genres where id = {genre}",
            )
        },
        Changes {
            before: "delete from game_platforms",
            ..taxonomy(
                "platforms",
                "insert into platforms (name, slug) values ('N', 'n')",
                "update platforms set name = 'N' where id = {platform}",
                "delete from platforms where id = {platform}",
            )
        },
        Changes {
            before: "delete from game_tags",
            ..taxonomy(
                "tags",
                "insert into tags (name, slug) values ('N', 'n')",
                "update tags set name = 'N' where id = {tag}",
                "delete from tags where id = {tag}",
            )
        },
        Changes {
            before: "delete from game_categories; insert into categories values ({new}, 'N', 'n'); insert into game_categories values ({game}, {category})",
            ..taxonomy(
                "game_categories",
                "insert into game_categories values ({game}, {new})",
                "update game_categories set category_id = {new} where game_id = {game}",
                "delete from game_categories where game_id = {game}",
            )
        },
        Changes {
            before: "insert into genres values ({new}, 'N', 'n')",
            ..taxonomy(
                "game_genres",
                "insert into game_genres values ({game}, {new})",
                // Moved from one game to another: both change.
                "update game_genres set game_id = {other_game} where game_id = {game}",
                "delete from game_genres where game_id = {game}",
            )
        },
        Changes {
            before: "insert into platforms values ({new}, 'N', 'n')",
            ..taxonomy(
                "game_platforms",
                "insert into game_platforms values ({game}, {new})",
                "update game_platforms set platform_id = {new} where game_id = {game}",
                "delete from game_platforms where game_id = {game}",
            )
        },
        Changes {
            before: "insert into game_pictures (game_id, address, alt) values ({game}, 'https://a.example/1', 'x')",
            ..taxonomy(
                "game_pictures",
                "insert into game_pictures (game_id, address, alt) values ({game}, 'https://a.example/2', 'x')",
                "update game_pictures set alt = 'y' where game_id = {game}",
                "delete from game_pictures where game_id = {game}",
            )
        },
        Changes {
            before: "insert into tags values ({new}, 'N', 'n')",
            ..taxonomy(
                "game_tags",
                "insert into game_tags values ({game}, {new})",
                "update game_tags set tag_id = {new} where game_id = {game}",
                "delete from game_tags where game_id = {game}",
            )
        },
        Changes {
            table: "users",
            about: other_user.clone(),
            before: "",
            insert: "insert into users (id, email, password_hash) select {new_user}, 'n@example.org', max(password_hash) from users",
            inserted: About {
                person: "new_user",
                ..USUAL
            },
            update: "update users set nickname = 'Bobby', role = 'ADMIN' where id = {other_user}",
            delete: "delete from users where id = {other_user}",
        },
        Changes {
            table: "user_totp",
            about: USUAL,
            before: "insert into user_totp (user_id, nonce) values ({user}, sha256('x'))",
            insert: "insert into user_totp (user_id, nonce) values ({other_user}, sha256('x'))",
            inserted: other_user.clone(),
            update: "update user_totp set confirmed_at = now() where user_id = {user}",
            delete: "delete from user_totp where user_id = {user}",
        },
        Changes {
            table: "user_sessions",
            about: USUAL,
            before: "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {user}, now() + interval '1 day', {new})",
            insert: "delete from user_sessions;
                     insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new})",
            inserted: other_user.clone(),
            // Moved to another user: both answers change.
            update: "update user_sessions set user_id = {other_user} where id = {session}",
            delete: "delete from user_sessions where id = {session}",
        },
        Changes {
            table: "cart_items",
            about: USUAL,
            before: "",
            insert: "insert into cart_items (user_id, game_id) values ({other_user}, {game})",
            inserted: other_user.clone(),
            update: "update cart_items set quantity = 5 where user_id = {user}",
            delete: "delete from cart_items where user_id = {user}",
        },
        Changes {
            table: "wishlist",
            about: USUAL,
            before: "",
            insert: "insert into wishlist (user_id, game_id) values ({other_user}, {game})",
            inserted: other_user,
            update: "update wishlist set user_id = {other_user} where user_id = {user}",
            delete: "delete from wishlist where user_id = {user}",
        },
        Changes {
            table: "orders",
            about: new_order.clone(),
            before: bare,
            insert: "insert into orders (id, user_id, subtotal, total) values ({new}, {user}, 1, 1)",
            inserted: About { order: "new", ..USUAL },
            update: "update orders set payment_method = 'CARD' where id = {new_order}",
            delete: "delete from orders where id = {new_order}",
        },
        Changes {
            table: "order_items",
            about: new_order.clone(),
            before: bare,
            insert: "insert into order_items (order_id, game_id, price) values ({new_order}, {other_game}, 1)",
            inserted: new_order.clone(),
            update: "update order_items set price = 11 where id = {new_item}",
            delete: "delete from order_items where id = {new_item}",
        },
        Changes {
            table: "order_units",
            about: new_order.clone(),
            before: bare,
            insert: "insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ({new_order}, {new_item}, {game}, 2, 10)",
            inserted: new_order.clone(),
            update: "update order_units set state = 'ORDERING' where order_id = {new_order}",
            delete: "delete from order_units where order_id = {new_order}",
        },
        Changes {
            table: "game_keys",
            about: About {
                order: "delivered_order",
                ..USUAL
            },
            before: "alter table game_keys disable trigger game_keys_guard",
            insert: "insert into game_keys (game_id, order_id, order_unit_id, key_ciphertext, key_hash) values ({game}, {order}, {unit}, 'x', sha256('x'))",
            inserted: USUAL,
            update: "update game_keys set activated = true, activation_date = now() where id = {sold_key}",
            delete: "delete from game_keys where id = {sold_key}",
        },
        Changes {
            table: "order_consents",
            about: USUAL,
            before: "alter table order_consents disable trigger order_consents_stay;
                     insert into orders (id, user_id, subtotal, total, asks_consent) values ({new_order}, {user}, 10, 10, true)",
            insert: "insert into order_consents (order_id, source) values ({new_order}, 'front')",
            inserted: new_order.clone(),
            update: "update order_consents set source = 'front' where order_id = {order}",
            delete: "delete from order_consents where order_id = {order}",
        },
        Changes {
            table: "game_slugs",
            about: About {
                slug: "old-portal",
                ..USUAL
            },
            before: "insert into game_slugs (slug, game_id) values ('old-portal', {game})",
            insert: "insert into game_slugs (slug, game_id) values ('older-portal', {game})",
            inserted: About {
                slug: "older-portal",
                ..USUAL
            },
            update: "update game_slugs set game_id = {other_game} where slug = 'old-portal'",
            delete: "delete from game_slugs where slug = 'old-portal'",
        },
        Changes {
            table: "pages",
            about: USUAL,
            before: "insert into pages (slug, language, title, source, html) values ('terms', 'en', 'T', 'x', 'x')",
            insert: "insert into pages (slug, language, title, source, html) values ('terms', 'de', 'T', 'x', 'x')",
            inserted: USUAL,
            update: "update pages set published = true where slug = 'terms'",
            delete: "delete from pages where slug = 'terms'",
        },
        Changes {
            table: "banners",
            about: USUAL,
            before: "insert into banners (language, text, begins_at, ends_at) values ('en', 'Sale', now(), now() + interval '1 day')",
            insert: "insert into banners (language, text, begins_at, ends_at) values ('de', 'Sale', now(), now() + interval '1 day')",
            inserted: USUAL,
            update: "update banners set text = 'Over' where language = 'en'",
            delete: "delete from banners where language = 'en'",
        },
        Changes {
            table: "branding",
            about: USUAL,
            before: "",
            insert: "delete from branding; insert into branding default values",
            inserted: USUAL,
            update: "update branding set name = 'Keys'",
            delete: "delete from branding",
        },
        Changes {
            table: "branding_logo",
            about: USUAL,
            before: "insert into branding_logo (id, width, height, plate_light, plate_dark, image)
                     values ({new}, 24, 24, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'))",
            insert: "delete from branding_logo; insert into branding_logo (id, width, height, plate_light, plate_dark, image)
                     values ({new}, 48, 24, false, false, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'))",
            inserted: USUAL,
            update: "update branding_logo set plate_dark = true",
            delete: "delete from branding_logo",
        },
        Changes {
            table: "picked_games",
            about: USUAL,
            before: "insert into picked_games (place, game_id) values (1, {game})",
            insert: "insert into picked_games (place, game_id) values (2, {other_game})",
            inserted: USUAL,
            update: "update picked_games set place = 3",
            delete: "delete from picked_games",
        },
        Changes {
            table: "tax_settings",
            about: USUAL,
            // Statements are never changed or deleted otherwise.
            before: "alter table tax_settings disable trigger tax_settings_kept; insert into tax_settings (status) values ('OFF')",
            insert: "insert into tax_settings (status, country) values ('EXEMPT', 'DE')",
            inserted: USUAL,
            update: "update tax_settings set country = 'FR'",
            delete: "delete from tax_settings",
        },
        Changes {
            table: "transactions",
            about: USUAL,
            before: "insert into transactions (id, user_id, type, amount, status) values ({new}, {user}, 'TOP_UP', 1, 'PENDING')",
            insert: "insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 1, 'PENDING')",
            inserted: USUAL,
            update: "update transactions set status = 'PROCESSING' where id = {new}",
            delete: "delete from transactions where id = {new}",
        },
    ]
}

#[tokio::test]
async fn changes_invalidate_every_answer_made_from_the_row() {
    let world = World::new().await;
    for changes in all_changes() {
        for (change, about) in [
            (changes.insert, &changes.inserted),
            (changes.update, &changes.about),
            (changes.delete, &changes.about),
        ] {
            let written = tags_of(&world, changes.before, change).await;
            for (key, carried) in keys(&world, about) {
                // No game has the genre yet.
                let unaffected = change == changes.insert
                    && ["categories", "genres", "platforms", "tags"].contains(&changes.table)
                    && matches!(key, CacheKey::Game(_) | CacheKey::GameBySlug(_));
                if reads(&key).contains(&changes.table) && !unaffected {
                    assert!(
                        !carried.is_disjoint(&written),
                        "{key:?} carries {carried:?}, but {change} wrote {written:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn every_table_is_logged_or_listed_as_not_cached() {
    let world = World::new().await;
    let tables: BTreeSet<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
            .fetch_all(&world.db.sql)
            .await
            .unwrap()
            .into_iter()
            .collect();
    let read: BTreeSet<String> = keys(&world, &USUAL)
        .iter()
        .flat_map(|(key, _)| reads(key))
        .map(|table| (*table).to_owned())
        .collect();
    let tried: BTreeSet<String> = all_changes().iter().map(|changes| changes.table.to_owned()).collect();
    assert_eq!(
        read, tried,
        "every table that an answer reads is changed in `all_changes`"
    );
    let known: BTreeSet<String> = read
        .iter()
        .cloned()
        .chain(NOT_CACHED.iter().map(|t| (*t).to_owned()))
        .collect();
    assert_eq!(tables, known, "a new table belongs into `reads` or into `NOT_CACHED`");
}

#[tokio::test]
async fn truncating_a_table_invalidates_everything() {
    let world = World::new().await;
    // Transactions and sold keys normally refuse a truncate.
    world
        .db
        .execute(
            "alter table transactions disable trigger transactions_kept_all;
             alter table audit_log disable trigger audit_log_stays_all;
             alter table audit_chain disable trigger audit_chain_stays_all;
             alter table order_consents disable trigger order_consents_stay_all;
             alter table game_keys disable trigger game_keys_guard_all",
        )
        .await;
    for changes in all_changes() {
        let written = tags_of(&world, "", &format!("truncate {} cascade", changes.table)).await;
        assert!(written.contains("*"), "{}: {written:?}", changes.table);
        for (key, carried) in keys(&world, &USUAL) {
            assert!(carried.contains("*"), "{key:?}");
        }
    }
}

/// More than 256 rows in one statement are logged as their families and still reach every answer.
#[tokio::test]
async fn large_changes_are_logged_as_families() {
    let world = World::new().await;
    world
        .db
        .execute(&world.fill(
            "alter table game_keys disable trigger game_keys_guard;
             insert into games (title, slug, description, price, image, release_date)
             select 'G', 'many-' || n, 'd', 1, 'i', now() from generate_series(1, 300) n;
             insert into categories (name, slug) select 'C' || n, 'c' || n from generate_series(1, 300) n",
        ))
        .await;
    let games = "(select id, row_number() over (order by slug) as n from games where slug like 'many-%') g";
    let bare = "insert into orders (id, user_id, subtotal, total) values ({new_order}, {user}, 10, 10);
                insert into order_items (id, order_id, game_id, quantity, price) values ({new_item}, {new_order}, {game}, 2, 10);";
    let units = "insert into order_units (order_id, order_item_id, game_id, position, price_paid)
                 select {new_order}, {new_item}, {game}, n, 1 from generate_series(1, 300) n";
    let game_families: &[&str] = &["catalog", "game:*", "home"];
    let order_families: &[&str] = &["order:*", "user:*"];
    let link = |table: &str| {
        let column = match table {
            "game_categories" => "{category}",
            "game_genres" => "{genre}",
            "game_platforms" => "{platform}",
            _ => "{tag}",
        };
        format!("insert into {table} select id, {column} from {games}")
    };
    for (table, before, insert, update, delete, expected) in [
        (
            "games",
            String::new(),
            "insert into games (title, slug, description, price, image, release_date)
             select 'H', 'more-' || n, 'd', 1, 'i', now() from generate_series(1, 257) n"
                .to_owned(),
            "update games set price = 2",
            "delete from games where slug like 'm%-%'",
            game_families,
        ),
        ("game_categories", String::new(), link("game_categories"), "update game_categories set game_id = game_id", "delete from game_categories", game_families),
        ("game_genres", String::new(), link("game_genres"), "update game_genres set game_id = game_id", "delete from game_genres", game_families),
        ("game_platforms", String::new(), link("game_platforms"), "update game_platforms set game_id = game_id", "delete from game_platforms", game_families),
        ("game_tags", String::new(), link("game_tags"), "update game_tags set game_id = game_id", "delete from game_tags", game_families),
        (
            "users",
            String::new(),
            "insert into users (email, password_hash) select n || '@example.org', (select max(password_hash) from users) from generate_series(1, 257) n".to_owned(),
            "update users set nickname = 'X'",
            "delete from users where email ~ '^[0-9]'",
            &["user:*"],
        ),
        (
            "user_sessions",
            String::new(),
            "insert into user_sessions (id, user_id, expires_at, refresh_id)
             select gen_random_uuid(), {user}, now() + interval '1 day', {new} from generate_series(1, 257)"
                .to_owned(),
            "update user_sessions set last_used_at = now()",
            "delete from user_sessions",
            &["user:*"],
        ),
        (
            "game_slugs",
            String::new(),
            "insert into game_slugs (slug, game_id) select 'old-' || n, {game} from generate_series(1, 257) n".to_owned(),
            "update game_slugs set since = now()",
            "delete from game_slugs",
            &["game:*"],
        ),
        (
            "cart_items",
            String::new(),
            format!("insert into cart_items (user_id, game_id) select {{user}}, id from {games}"),
            "update cart_items set quantity = 1",
            "delete from cart_items",
            &["shopper:*"],
        ),
        (
            "wishlist",
            String::new(),
            format!("insert into wishlist (user_id, game_id) select {{guest}}, id from {games}"),
            "update wishlist set price_seen = 1",
            "delete from wishlist",
            &["shopper:*"],
        ),
        (
            "orders",
            String::new(),
            "insert into orders (user_id, subtotal, total) select {user}, 1, 1 from generate_series(1, 257)".to_owned(),
            "update orders set payment_method = 'X'",
            "delete from orders where total = 1",
            order_families,
        ),
        (
            "order_items",
            bare.to_owned(),
            format!("insert into order_items (order_id, game_id, price) select {{new_order}}, id, 1 from {games}"),
            "update order_items set discount = 0",
            "delete from order_items where order_id = {new_order}",
            order_families,
        ),
        (
            "order_units",
            bare.to_owned(),
            units.to_owned(),
            "update order_units set attempts = 1",
            "delete from order_units where order_id = {new_order}",
            order_families,
        ),
        (
            "game_keys",
            format!("{bare}{units}"),
            "insert into game_keys (game_id, order_id, order_unit_id, key_ciphertext, key_hash)
             select game_id, order_id, id, 'x', sha256(id::text::bytea) from order_units where order_id = {new_order}"
                .to_owned(),
            "update game_keys set activated = false",
            "delete from game_keys",
            order_families,
        ),
        (
            "transactions",
            String::new(),
            "insert into transactions (user_id, type, amount, status) select {user}, 'TOP_UP', 1, 'PENDING' from generate_series(1, 257)".to_owned(),
            "update transactions set description = 'x'",
            "delete from transactions where status = 'PENDING'",
            &["user:*"],
        ),
    ] {
        for (before, change) in [
            (before.clone(), insert.as_str()),
            (format!("{before};{insert}"), update),
            (format!("{before};{insert}"), delete),
        ] {
            let written = tags_of(&world, &before, change).await;
            // Rows changed by a cascade are logged by their own table.
            let own: Vec<&str> = written.iter().map(String::as_str).filter(|tag| expected.contains(tag)).collect();
            assert_eq!(own, expected, "{change}: {written:?}");
            assert!(written.len() <= expected.len() + 2, "{change} is logged finely: {written:?}");
            for (key, carried) in keys(&world, &USUAL) {
                if reads(&key).contains(&table) {
                    assert!(!carried.is_disjoint(&written), "{key:?} does not notice {change}, which wrote {written:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn game_changes_are_tagged_by_id_and_slug() {
    let world = World::new().await;
    let named = |slugs: &[&str]| -> BTreeSet<String> {
        slugs
            .iter()
            .map(|slug| format!("game:slug:{slug}"))
            .chain([game_tag(GameId(world.id("game"))), "home".into(), "catalog".into()])
            .collect()
    };
    let price = tags_of(&world, "", "update games set price = 1 where id = {game}").await;
    assert_eq!(price, named(&["portal"]));
    let address = tags_of(&world, "", "update games set slug = 'portal-2' where id = {game}").await;
    assert_eq!(address, named(&["portal", "portal-2"]));
}

/// A moved cart item changes two carts, a cascade changes the carts with the game, and an upsert logs both inserted and
/// updated rows.
#[tokio::test]
async fn moved_cascaded_and_upserted_rows_are_logged() {
    let world = World::new().await;
    let tags = tags_of(
        &world,
        "delete from cart_items where user_id = {user}",
        "update cart_items set user_id = {user} where user_id = {guest}",
    )
    .await;
    for shopper in ["user", "guest"] {
        assert!(
            tags.contains(&format!("shopper:{}:cart", world.id(shopper))),
            "{tags:?}"
        );
    }
    let tags = tags_of(
        &world,
        "insert into cart_items (user_id, game_id) values ({user}, {other_game})",
        "delete from games where id = {other_game}",
    )
    .await;
    assert!(tags.contains(&format!("shopper:{}:cart", world.id("user"))), "{tags:?}");
    let tags = tags_of(&world, "", "delete from guest_sessions").await;
    assert!(
        tags.contains(&format!("shopper:{}:wishlist", world.id("guest"))),
        "{tags:?}"
    );
    let tags = tags_of(
        &world,
        "",
        "insert into games (id, title, slug, description, price, image, release_date)
         values ({new_game}, 'N', 'new', 'd', 1, 'i', now()), ({new}, 'P', 'portal', 'd', 1, 'i', now())
         on conflict (slug) do update set price = excluded.price",
    )
    .await;
    assert!(
        tags.contains("game:slug:new") && tags.contains("game:slug:portal"),
        "{tags:?}"
    );
    assert!(tags.contains(&game_tag(GameId(world.id("game")))), "{tags:?}");
}

#[tokio::test]
async fn statements_without_changes_log_nothing() {
    let world = World::new().await;
    for changes in all_changes() {
        for statement in [
            format!(
                "update {0} set {1} = {1} where false",
                changes.table,
                column_of(&world.db, changes.table).await
            ),
            format!("delete from {} where false", changes.table),
            format!(
                "insert into {0} ({1}) overriding user value select {1} from {0} where false",
                changes.table,
                columns_of(&world.db, changes.table).await
            ),
        ] {
            assert_eq!(tags_of(&world, "", &statement).await, BTreeSet::new(), "{statement}");
        }
    }
}

async fn column_of(db: &TestDb, table: &str) -> String {
    sqlx::query_scalar(
        "select attname::text from pg_attribute
          where attrelid = $1::text::regclass and attnum > 0 and attidentity = '' and not attisdropped order by attnum limit 1",
    )
    .bind(table)
    .fetch_one(&db.sql)
    .await
    .unwrap()
}

/// The columns of `table` that are written, with commas.
async fn columns_of(db: &TestDb, table: &str) -> String {
    sqlx::query_scalar(
        "select string_agg(quote_ident(attname), ', ') from pg_attribute
          where attrelid = $1::text::regclass and attnum > 0 and attgenerated = '' and not attisdropped",
    )
    .bind(table)
    .fetch_one(&db.sql)
    .await
    .unwrap()
}

/// The log is part of the transaction: a rollback leaves no entry, and the next poll finds a committed one.
#[tokio::test]
async fn only_committed_changes_are_logged() {
    let world = World::new().await;
    let seen = world
        .db
        .store
        .look_at_invalidations(&lockstep_store::Snapshot::ORIGIN)
        .await
        .unwrap()
        .snapshot;
    let mut tx = world.db.sql.begin().await.unwrap();
    tx.execute("update games set price = 2").await.unwrap();
    let look = world.db.store.look_at_invalidations(&seen).await.unwrap();
    assert_eq!(look.news, [], "not committed yet");
    tx.rollback().await.unwrap();
    let look = world.db.store.look_at_invalidations(&look.snapshot).await.unwrap();
    assert_eq!(look.news, [], "taken back");

    let mut tx = world.db.sql.begin().await.unwrap();
    tx.execute("savepoint s; update games set price = 3; rollback to s; update users set nickname = 'N'")
        .await
        .unwrap();
    let xid: String = sqlx::query_scalar("select pg_current_xact_id()::text")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let look = world.db.store.look_at_invalidations(&look.snapshot).await.unwrap();
    let [news] = look.news.as_slice() else {
        panic!("one row: {:?}", look.news);
    };
    assert_eq!(news.xid.to_string(), xid);
    assert!(news.tags.iter().all(|tag| tag.starts_with("user:")), "{news:?}");
}

#[tokio::test]
async fn sessions_are_invalidated_by_user_changes_but_not_by_orders() {
    let world = World::new().await;
    let user = UserId(world.id("user"));
    let session = CacheKey::UserSession(user, SessionId(world.id("session")));
    let carried: BTreeSet<String> = session.tags().into_iter().collect();
    let touches = async |change: &str| !tags_of(&world, "", change).await.is_disjoint(&carried);
    for says in [
        "email = 'other@example.org'",
        "role = 'ADMIN'",
        "staff_role = 'SUPPORT'",
        "email_verified = not email_verified",
        "deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null, first_name = null, last_name = null,
         avatar = null",
    ] {
        let change = format!("update users set {says} where id = {{user}}");
        assert!(touches(&change).await, "{change}");
    }
    for other in [
        "update users set balance = balance + 1 where id = {user}",
        "update users set nickname = 'Bobby' where id = {user}",
        "update orders set updated_at = now() where user_id = {user}",
    ] {
        assert!(!touches(other).await, "{other}");
    }
}
