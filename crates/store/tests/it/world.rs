//! A small populated shop, and the macro that tests constraints on it.

use lockstep_testkit::TestDb;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use uuid::Uuid;

/// A database with one row of everything. SQL for it uses names in braces: `{game}`, `{user}`, `{order}` …
pub(crate) struct World {
    pub(crate) db: TestDb,
    names: Vec<(&'static str, Uuid)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let db = TestDb::new().await;
        let game = db.game("Portal", "portal", "25.00").await;
        let other_game = db.game("Half-Life", "half-life", "10.00").await;
        let sold_out = db.game("Myst", "myst", "5.00").await;
        let g2a_game = db.game("Doom", "doom", "30.00").await;
        let user = db.user("ada@example.org", "500.00").await;
        let other_user = db.user("bob@example.org", "0").await;
        let guest = db.guest().await;
        let order = db.order(user, game, 2).await;
        let delivered = db.order(user, game, 1).await;
        let sold_key = db.deliver(delivered.units[0]).await;
        let key = db.key(game).await;
        let mut world = Self {
            names: vec![
                ("game", game),
                ("other_game", other_game),
                ("sold_out", sold_out),
                ("g2a_game", g2a_game),
                ("user", user),
                ("other_user", other_user),
                ("guest", guest),
                ("order", order.id),
                ("item", order.item),
                ("unit", order.units[0]),
                ("unit2", order.units[1]),
                ("delivered_order", delivered.id),
                ("delivered_item", delivered.item),
                ("delivered_unit", delivered.units[0]),
                ("sold_key", sold_key),
                ("key", key),
            ],
            db,
        };
        for name in [
            "category",
            "genre",
            "platform",
            "tag",
            "new_game",
            "new_user",
            "session",
            "new_order",
            "new_item",
            "new",
        ] {
            world.names.push((name, Uuid::new_v4()));
        }
        let rest = world.fill(
            "update games set in_stock = false where id = {sold_out};
             update games set g2a_product_id = 'g1', in_stock = true, g2a_stock = true where id = {g2a_game};
             insert into categories values ({category}, 'Games', 'games');
             insert into genres values ({genre}, 'Puzzle', 'puzzle');
             insert into platforms values ({platform}, 'Windows', 'windows');
             insert into tags values ({tag}, 'Portals', 'portals');
             insert into game_categories values ({game}, {category});
             insert into game_genres values ({game}, {genre});
             insert into game_platforms values ({game}, {platform});
             insert into game_tags values ({game}, {tag});
             insert into cart_items (user_id, game_id, quantity) values ({user}, {game}, 2), ({guest}, {game}, 1);
             insert into wishlist (user_id, game_id) values ({user}, {game}), ({guest}, {game});
             insert into login_history (user_id, succeeded) values ({user}, true);
             insert into promo_codes (code, discount, max_uses) values ('ONCE', 50, 1)",
        );
        world.db.execute(&rest).await;
        world
    }

    /// The id of `{name}`.
    pub(crate) fn id(&self, name: &str) -> Uuid {
        let (_, id) = self
            .names
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("nothing is called {name}"));
        *id
    }

    /// `sql` with every `{name}` replaced by its id.
    pub(crate) fn fill(&self, sql: &str) -> String {
        let sql = self.names.iter().fold(sql.to_owned(), |sql, (name, id)| {
            sql.replace(&format!("{{{name}}}"), &format!("'{id}'"))
        });
        assert!(!sql.contains(" {") && !sql.contains("({"), "unknown name in {sql}");
        sql
    }

    /// Runs statements in one transaction, checks the deferred constraints, and rolls back. Returns the error that a
    /// commit would have returned.
    pub(crate) async fn attempt(&self, sql: &str) -> Result<(), sqlx::Error> {
        let mut tx = self.db.sql.begin().await.unwrap();
        tx.execute(AssertSqlSafe(self.fill(sql))).await?;
        tx.execute("set constraints all immediate").await?;
        tx.rollback().await
    }

    /// Tests `rule` and returns the failures: each of `refused` that passed or broke another rule first, and each of
    /// `allowed` that was refused.
    pub(crate) async fn try_rule(&self, rule: &str, refused: &[&str], allowed: &[&str]) -> Vec<String> {
        let mut wrong = Vec::new();
        for sql in refused {
            match self.attempt(sql).await {
                Ok(()) => wrong.push(format!("{rule} let this pass: {sql}")),
                Err(error) if rule_of(&error) != rule => wrong.push(format!("not {rule} refused {sql}: {error}")),
                Err(_) => {}
            }
        }
        for sql in allowed {
            if let Err(error) = self.attempt(sql).await {
                wrong.push(format!("this is legal: {sql}: {error}"));
            }
        }
        wrong
    }
}

/// The constraint that refused: its name, or `not null COLUMN`, or the error's text.
pub(crate) fn rule_of(error: &sqlx::Error) -> String {
    let Some(refusal) = error.as_database_error() else {
        return error.to_string();
    };
    match (refusal.constraint(), refusal.code().as_deref()) {
        (Some(constraint), _) => constraint.to_owned(),
        (None, Some("23502")) => {
            let column = refusal
                .downcast_ref::<sqlx::postgres::PgDatabaseError>()
                .column()
                .unwrap_or_default();
            format!("not null {column}")
        }
        _ => refusal.to_string(),
    }
}

/// The rules of a module. Each has a name, its constraint, statements that it refuses, and similar statements that it
/// allows. All are tested on one world, because each attempt is rolled back. `RULES` lists the constraints for
/// `coverage`.
macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident: $rule:literal refuses [$($refused:literal),+ $(,)?] allows [$($allowed:literal),+ $(,)?])+) => {
        pub(crate) const RULES: &[&str] = &[$($rule),+];

        #[tokio::test]
        async fn every_rule_refuses_what_it_should_and_nothing_else() {
            let world = crate::world::World::new().await;
            let mut broken = std::collections::BTreeMap::new();
            $(
                let wrong = world.try_rule($rule, &[$($refused),+], &[$($allowed),+]).await;
                if !wrong.is_empty() {
                    broken.insert(stringify!($name), wrong);
                }
            )+
            assert!(broken.is_empty(), "{broken:#?}");
        }
    };
}
pub(crate) use rules;

/// A connection that runs statements one after the other, as a session of `psql` does.
pub(crate) async fn session(world: &World) -> PgConnection {
    use sqlx::Connection as _;
    PgConnection::connect(world.db.url()).await.unwrap()
}
