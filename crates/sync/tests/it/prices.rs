//! Price rules in passes: a pass writes the prices that the rules say, whatever it reads of a game.

use lockstep_domain::Money;
use lockstep_domain::admin::{Page, PricePreview};
use lockstep_domain::ids::UserId;
use lockstep_domain::price::Pricing;
use lockstep_domain::price_rules::{MinMargin, PriceEnding, PriceRule, PriceRules, Rounding, RuleEnding};
use lockstep_store::admin::price_rules;
use lockstep_store::repricing::next_part;
use lockstep_sync::What;
use sqlx::types::Uuid;

use crate::support::Shop;

/// The id of the entry of a taxonomy that most games have.
async fn commonest(shop: &Shop, table: &str, column: &str) -> Uuid {
    let sql = format!("select {column} from {table} group by 1 order by count(*) desc, 1 limit 1");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(&shop.db.sql)
        .await
        .unwrap()
}

async fn rules(shop: &Shop, markup: i64) -> PriceRules {
    let rule = |name: &str, markup: i64| PriceRule {
        name: name.into(),
        markup_percent: Some(markup.into()),
        ..PriceRule::default()
    };
    PriceRules {
        min_margin: MinMargin {
            amount: "0.30".parse().unwrap(),
            percent: 3.into(),
        },
        ending: PriceEnding::new(95, Rounding::Nearest),
        rules: vec![
            PriceRule {
                genre: Some(commonest(shop, "game_genres", "genre_id").await),
                ..rule("genre", markup)
            },
            PriceRule {
                platform: Some(commonest(shop, "game_platforms", "platform_id").await),
                ending: RuleEnding::None,
                ..rule("platform", markup + 5)
            },
            PriceRule {
                activation_service: Some("steam".into()),
                cost_to: Some("20".parse().unwrap()),
                ..rule("cheap on Steam", markup + 10)
            },
        ],
        ..PriceRules::default()
    }
}

async fn preview(shop: &Shop, rules: &PriceRules) -> PricePreview {
    let rules = rules.clone();
    let page = Page { number: 1, size: 5 };
    let read = shop
        .db
        .store
        .read(|tx| Box::pin(async move { price_rules::preview(tx, &rules, &Pricing::default(), page).await }));
    let read: lockstep_store::Result<_> = read.await;
    read.unwrap().value
}

#[tokio::test]
async fn passes_price_games_by_the_rules_as_the_job_does() {
    let shop = Shop::with(80).await;
    shop.run(What::Full).await;
    let admin = UserId(shop.db.user("root@example.org", "0").await);
    let first = rules(&shop, 20).await;
    let seen = preview(&shop, &first).await;
    assert!(seen.raised > 40 && seen.unknown_cost == 0, "{seen:?}");
    price_rules::save(&shop.db.store, admin, 0, &first).await.unwrap();
    // The job has not run: the pass alone prices every game.
    shop.run(What::Full).await;
    let seen = preview(&shop, &first).await;
    assert_eq!((seen.paging.total, seen.held_back), (0, 0), "{:?}", seen.changes);
    let before = shop.bytes().await;
    shop.run(What::Full).await;
    while next_part(&shop.db.store, &Pricing::default(), 30)
        .await
        .unwrap()
        .is_some()
    {}
    assert_eq!(shop.bytes().await, before, "nothing is left to change");

    // A check of prices and stock looks at what the shop knows of a game, also what staff have set.
    let genre = first.rules[0].genre.unwrap();
    shop.db
        .execute(&format!(
            "update games set fields_by_hand = '{{genres}}' where id in (select id from games order by id limit 10);
             insert into game_genres select id, '{genre}' from games where fields_by_hand <> '{{}}' on conflict do nothing"
        ))
        .await;
    let second = rules(&shop, 40).await;
    price_rules::save(&shop.db.store, admin, 1, &second).await.unwrap();
    let products = shop.products();
    for (cents, product) in (300_i64..).step_by(101).zip(&products) {
        let id = product["id"].as_str().unwrap();
        shop.g2a.set_stock(id, 3);
        let [price, retail] = [cents, cents + 200].map(|cents| Money::from_cents(cents).unwrap());
        shop.g2a.set_price(id, price, retail);
    }
    for what in [What::Stock, What::Full] {
        shop.run(what.clone()).await;
        let seen = preview(&shop, &second).await;
        assert_eq!(seen.paging.total, 0, "{what:?}: {:?}", seen.changes);
    }
    // Without rules, prices are those of the settings again.
    price_rules::save(&shop.db.store, admin, 2, &PriceRules::default())
        .await
        .unwrap();
    while next_part(&shop.db.store, &Pricing::default(), 30)
        .await
        .unwrap()
        .is_some()
    {}
    shop.assert_in_line().await;
}
