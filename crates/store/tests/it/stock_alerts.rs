//! Users who wait for a sold-out game are notified once, in the transaction that restocks it.

use lockstep_domain::cart::CartLimits;
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::{GameId, UserId};
use lockstep_store::accounts::{self, Deleted};
use lockstep_store::guests::ShopperError;
use lockstep_store::stock_alerts;
use lockstep_testkit::TestDb;
use sqlx::Connection as _;
use sqlx::types::Json;
use uuid::Uuid;

const LIMITS: CartLimits = CartLimits {
    per_line: 99,
    lines: 100,
    wishes: 2,
};

async fn sold_out(db: &TestDb, title: &str) -> GameId {
    let id = db.game(title, &title.to_lowercase(), "12.50").await;
    db.execute(&format!("update games set in_stock = false where id = '{id}'"))
        .await;
    GameId(id)
}

async fn member(db: &TestDb, email: &str) -> UserId {
    UserId(db.user(email, "0").await)
}

async fn restock(db: &TestDb, game: GameId) {
    db.execute(&format!("update games set in_stock = true where id = '{game}'"))
        .await;
}

async fn queued_emails(db: &TestDb) -> Vec<(String, EmailTemplate)> {
    let rows: Vec<(String, Json<EmailTemplate>)> =
        sqlx::query_as("select recipient, letter from mail_outbox where kind = 'back-in-stock' order by recipient")
            .fetch_all(&db.sql)
            .await
            .unwrap();
    rows.into_iter().map(|(to, letter)| (to, letter.0)).collect()
}

async fn waiting(db: &TestDb, user: UserId) -> Vec<String> {
    let read = db
        .store
        .read(|tx| Box::pin(stock_alerts::list(tx, user)))
        .await
        .unwrap();
    read.value.into_iter().map(|alert| alert.game.title).collect()
}

#[tokio::test]
async fn waiting_users_are_notified_once_when_a_game_returns() {
    let db = TestDb::new().await;
    let (portal, myst) = (sold_out(&db, "Portal").await, sold_out(&db, "Myst").await);
    let (ada, bob) = (
        member(&db, "ada@example.org").await,
        member(&db, "bob@example.org").await,
    );
    let wait = |user, game| stock_alerts::add(&db.store, user, game, LIMITS);
    wait(ada, portal).await.unwrap();
    wait(ada, portal).await.unwrap();
    wait(ada, myst).await.unwrap();
    wait(bob, portal).await.unwrap();
    stock_alerts::remove(&db.store, bob, portal).await.unwrap();
    stock_alerts::remove(&db.store, bob, portal).await.unwrap();
    assert_eq!(waiting(&db, ada).await, ["Myst", "Portal"]);
    assert_eq!(waiting(&db, bob).await, [] as [&str; 0]);
    assert_eq!(queued_emails(&db).await, []);

    // A change that is rolled back notifies no user.
    let mut connection = sqlx::PgConnection::connect(db.url()).await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    sqlx::query("update games set in_stock = true")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert_eq!((waiting(&db, ada).await.len(), queued_emails(&db).await), (2, vec![]));

    restock(&db, portal).await;
    let told = queued_emails(&db).await;
    let letter = EmailTemplate::BackInStock {
        nickname: "Newbie Guy".into(),
        title: "Portal".into(),
        slug: "portal".into(),
        price: "12.50".parse().unwrap(),
    };
    assert_eq!(told, [("ada@example.org".to_owned(), letter)]);
    assert_eq!(waiting(&db, ada).await, ["Myst"]);
    // Sold out and restocked again: no user is waiting any more.
    db.execute("update games set in_stock = false").await;
    restock(&db, portal).await;
    assert_eq!(queued_emails(&db).await.len(), 1);
    assert_eq!(stock_alerts::sweep(&db.store).await.unwrap(), 0);
}

#[tokio::test]
async fn alerts_are_limited_and_only_for_sold_out_games() {
    let db = TestDb::new().await;
    let ada = member(&db, "ada@example.org").await;
    let wait = |game| stock_alerts::add(&db.store, ada, game, LIMITS);
    let there = GameId(db.game("Doom", "doom", "1.00").await);
    let withdrawn = sold_out(&db, "Gone").await;
    db.execute(&format!(
        "update games set withdrawn_at = now() where id = '{withdrawn}'"
    ))
    .await;
    assert!(matches!(wait(there).await, Err(ShopperError::InStock)));
    assert!(matches!(wait(withdrawn).await, Err(ShopperError::NoSuchGame)));
    assert!(matches!(
        wait(GameId(Uuid::new_v4())).await,
        Err(ShopperError::NoSuchGame)
    ));
    let first = sold_out(&db, "A").await;
    wait(first).await.unwrap();
    wait(sold_out(&db, "B").await).await.unwrap();
    assert!(matches!(
        wait(sold_out(&db, "C").await).await,
        Err(ShopperError::TooManyGames { most: 2 })
    ));
    wait(first).await.unwrap();
    let nobody = stock_alerts::add(&db.store, UserId(Uuid::new_v4()), first, LIMITS).await;
    assert!(matches!(nobody, Err(ShopperError::NoSuchShopper)), "{nobody:?}");
    assert_eq!(db.count("stock_alerts").await, 2);
}

#[tokio::test]
async fn mass_restocks_notify_a_thousand_and_the_sweep_the_rest() {
    let db = TestDb::new().await;
    db.execute(
        "insert into games (title, slug, description, price, image, release_date, in_stock)
         select 'Game ' || n, 'game-' || n, 'd', 1, '/i.png', now(), false from generate_series(1, 10000) n;
         insert into users (email, password_hash)
         select n || '@example.org', '$2a$10$' || repeat('a', 53) from generate_series(1, 5) n;
         insert into stock_alerts (user_id, game_id, created_at)
         select u.id, g.id, now() - right(g.slug, 3)::integer * interval '1 second'
           from users u join games g on g.slug like 'game-___'",
    )
    .await;
    assert_eq!(db.count("stock_alerts").await, 4500);
    db.execute("update games set in_stock = true").await;
    assert_eq!(db.count("mail_outbox").await, 1000);
    let longest: bool =
        sqlx::query_scalar("select not exists (select from mail_outbox where letter ->> 'slug' < 'game-800')")
            .fetch_one(&db.sql)
            .await
            .unwrap();
    assert!(longest, "who has waited longest is told first");
    let mut rounds = Vec::new();
    loop {
        let told = stock_alerts::sweep(&db.store).await.unwrap();
        rounds.push(told);
        if told < 1000 {
            break;
        }
    }
    assert_eq!(rounds, [1000, 1000, 1000, 500]);
    assert_eq!(
        (db.count("mail_outbox").await, db.count("stock_alerts").await),
        (4500, 0)
    );
}

#[tokio::test]
async fn deleted_accounts_have_no_alerts() {
    let db = TestDb::new().await;
    let game = sold_out(&db, "Portal").await;
    // An account with transactions, which are kept.
    let ada = UserId(db.user("ada@example.org", "5.00").await);
    stock_alerts::add(&db.store, ada, game, LIMITS).await.unwrap();
    assert_eq!(
        accounts::delete(&db.store, ada, true).await.unwrap(),
        Deleted::Anonymised
    );
    assert_eq!(db.count("stock_alerts").await, 0);
    restock(&db, game).await;
    assert_eq!(queued_emails(&db).await, []);
}
