//! The use cases, without HTTP, in two processes on one database: a cache each, and nothing in common but PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_auth::{AuthError, ClientInfo, CurrentUser};
use lockstep_cache::Config;
use lockstep_clock::Random;
use lockstep_domain::account::{Credentials, ProfileChange, Registration};
use lockstep_domain::cart::{Moved, Principal};
use lockstep_domain::ids::GameId;
use lockstep_mail::{EmailBranding, EmailTransport, EmailWorker, Sending};
use lockstep_payments::Payments;
use lockstep_shop::{Shop, ShopError, SignedIn};
use lockstep_store::{Options, Store};
use lockstep_testkit::{TestDb, TestRedis, shop};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PASSWORD: &str = "Correct-Horse-1";

/// A process of the shop.
async fn process(db: &TestDb, config: Config) -> Shop {
    process_at(db.url(), config).await
}

async fn process_at(url: &str, config: Config) -> Shop {
    let store = Store::new(url, &Options::default()).unwrap();
    let payments = Payments::new(store.clone(), None, None, lockstep_payments::Limits::default());
    shop::process(store, config, shop::accounts(), payments).await
}

async fn games(db: &TestDb, count: usize) -> Vec<GameId> {
    let mut games = Vec::new();
    for n in 0..count {
        games.push(GameId(db.game("Game", &format!("game-{n}"), "10.00").await));
    }
    games
}

async fn register(shop: &Shop, email: &str, guest: Option<Uuid>) -> SignedIn {
    let registration = Registration::check(email, PASSWORD, None, None, None).unwrap();
    shop.register(registration, &ClientInfo::default(), guest)
        .await
        .unwrap()
}

async fn caller(shop: &Shop, signed_in: &SignedIn) -> CurrentUser {
    shop.caller(signed_in.data.tokens.token.expose()).await.unwrap()
}

async fn cart(shop: &Shop, principal: Principal) -> BTreeMap<GameId, u32> {
    let cart = shop.cart(principal).await.unwrap().read().unwrap();
    cart.items.iter().map(|line| (line.game_id, line.quantity)).collect()
}

#[tokio::test]
async fn anonymous_visitors_have_empty_lists_without_a_database() {
    let away = process_at("postgres://nobody@127.0.0.1:1/nowhere", Config::default()).await;
    let context = away.arrive(None, None).await.unwrap();
    assert!(context.cart().await.unwrap().read().unwrap().items.is_empty());
    assert!(context.wishlist().await.unwrap().read().unwrap().items.is_empty());
    // Neither does an invalid token.
    let context = away.arrive(Some("a.b.c"), None).await.unwrap();
    assert!(matches!(
        context.signed_in(),
        Err(ShopError::Refused(AuthError::NotSignedIn))
    ));
    // A guest cookie cannot be resolved without the database: that is an error, not an empty cart.
    assert!(away.arrive(None, Some(Uuid::new_v4())).await.is_err());
}

#[tokio::test]
async fn guest_items_follow_at_login_and_a_failed_move_does_not_block_it() {
    let db = TestDb::new().await;
    let shop = process(&db, Config::default()).await;
    let device = ClientInfo::default();
    let portal = games(&db, 1).await[0];
    let collect = || async {
        let writer = shop.add_to_cart(Principal::Guest(None), portal, 2, &device, None).await;
        let guest = writer.unwrap().owner.shopper().0;
        let principal = Principal::Guest(Some(guest));
        shop.add_to_wishlist(principal, portal, &device).await.unwrap();
        guest
    };
    let ada = register(&shop, "ada@example.com", Some(collect().await)).await;
    let moved = |part: &Option<Moved>| part.as_ref().map(|moved| moved.moved);
    assert_eq!((moved(&ada.moved.cart), moved(&ada.moved.wishlist)), (Some(2), Some(1)));
    let credentials = Credentials::check("ada@example.com", PASSWORD, None).unwrap();
    let again = shop.log_in(&credentials, &device, Some(collect().await)).await.unwrap();
    assert_eq!(moved(&again.moved.cart), Some(2));
    let member = caller(&shop, &ada).await;
    assert_eq!(shop.move_cart(&member, None).await.unwrap().moved, 0);
    let unknown = Some(Uuid::new_v4());
    assert_eq!(shop.move_wishlist(&member, unknown).await.unwrap().moved, 0);

    let guest = collect().await;
    db.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create trigger refuse before delete on cart_items for each row execute function refuse()",
    )
    .await;
    let signed_in = shop.log_in(&credentials, &device, Some(guest)).await.unwrap();
    assert_eq!(signed_in.moved.cart, None);
    assert!(signed_in.moved.wishlist.is_some());
    let member = caller(&shop, &signed_in).await;
    db.execute("drop trigger refuse on cart_items").await;
    assert_eq!(shop.move_cart(&member, Some(guest)).await.unwrap().moved, 2);
    assert_eq!(cart(&shop, member.principal()).await, BTreeMap::from([(portal, 6)]));
}

#[tokio::test]
async fn sessions_are_cached_and_end_everywhere_at_once() {
    let redis = TestRedis::start().await;
    let db = TestDb::new().await;
    let config = Config {
        redis_url: Some(redis.url()),
        ..Config::default()
    };
    let (here, there) = (process(&db, config.clone()).await, process(&db, config).await);
    let signed_in = register(&here, "ada@example.com", None).await;
    let token = signed_in.data.tokens.token.expose();
    let caller = here.caller(token).await.unwrap();
    assert_eq!(there.caller(token).await.unwrap(), caller);
    let loads = there.cache().status().counters.loads;
    for _ in 0..50 {
        there.caller(token).await.unwrap();
    }
    assert_eq!(there.cache().status().counters.loads, loads, "from memory");
    // Sessions are not stored in Redis.
    let names: Vec<String> = redis.keys().await;
    assert!(names.iter().all(|name| !name.contains(":session:")), "{names:?}");

    // A log-out, a deletion by plain SQL and an expiry take effect in the other process at once.
    here.auth().log_out(&caller).await.unwrap();
    assert!(matches!(
        there.caller(token).await,
        Err(ShopError::Refused(AuthError::NotSignedIn))
    ));
    let credentials = Credentials::check("ada@example.com", PASSWORD, None).unwrap();
    let device = ClientInfo::default();
    for sql in [
        "delete from user_sessions",
        "update user_sessions set created_at = now() - interval '2 days', expires_at = now() - interval '1 day'",
    ] {
        let again = there.log_in(&credentials, &device, None).await.unwrap();
        let token = again.data.tokens.token.expose();
        for process in [&here, &there] {
            process.caller(token).await.unwrap();
        }
        db.execute(sql).await;
        for process in [&here, &there] {
            assert!(
                matches!(
                    process.caller(token).await,
                    Err(ShopError::Refused(AuthError::NotSignedIn))
                ),
                "{sql}"
            );
        }
    }
}

#[tokio::test]
async fn use_of_a_session_updates_its_last_use() {
    let db = TestDb::new().await;
    let shop = process(&db, Config::default()).await;
    let signed_in = register(&shop, "ada@example.com", None).await;
    db.execute("update user_sessions set last_used_at = now() - interval '1 hour'")
        .await;
    for _ in 0..3 {
        caller(&shop, &signed_in).await;
    }
    let fresh: bool = sqlx::query_scalar("select last_used_at > now() - interval '1 minute' from user_sessions")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert!(fresh);
}

#[tokio::test]
async fn writes_are_visible_to_other_processes_on_the_next_request() {
    let db = TestDb::new().await;
    let games = games(&db, 2).await;
    let (here, there) = (
        process(&db, Config::default()).await,
        process(&db, Config::default()).await,
    );
    let signed_in = register(&here, "ada@example.com", None).await;
    let caller = caller(&here, &signed_in).await;
    let device = ClientInfo::default();
    for round in 1..=12u32 {
        let (writer, reader) = if round % 2 == 0 {
            (&here, &there)
        } else {
            (&there, &here)
        };
        writer
            .add_to_cart(caller.principal(), games[0], 1, &device, None)
            .await
            .unwrap();
        assert_eq!(cart(reader, caller.principal()).await, [(games[0], round)].into());
        let change = ProfileChange::check(Some(&format!("Ada {round}")), None, None, None).unwrap();
        writer.change_profile(&caller, &change).await.unwrap();
        let profile = reader.profile(&caller).await.unwrap();
        assert_eq!(profile.nickname, Some(format!("Ada {round}")));
        // A price changed by plain SQL appears in the carts with the game.
        db.execute(&format!("update games set price = {round} where id = '{}'", games[0]))
            .await;
        let total = reader.cart(caller.principal()).await.unwrap().read().unwrap().total;
        assert_eq!(total.cents(), i64::from(round * round) * 100);
    }
}

#[tokio::test]
async fn account_emails_are_delivered_to_the_folder() {
    let db = TestDb::new().await;
    let shop = process(&db, Config::default()).await;
    let device = |address: &str| ClientInfo::new(Some(address.parse().unwrap()), Some("Browser/1.0"));
    let registration = Registration::check("ada@example.com", PASSWORD, Some("Ada"), None, None).unwrap();
    let signed_in = shop.register(registration, &device("203.0.113.7"), None).await.unwrap();
    let caller = caller(&shop, &signed_in).await;
    shop.auth()
        .send_verification(&caller, &device("203.0.113.7"))
        .await
        .unwrap();
    let credentials = Credentials::check("ada@example.com", PASSWORD, None).unwrap();
    shop.log_in(&credentials, &device("198.51.100.7"), None).await.unwrap();
    let old = lockstep_domain::secret::Secret::new(PASSWORD);
    shop.auth()
        .change_password(&caller, &old, "Another-Horse-2", &device("203.0.113.7"))
        .await
        .unwrap();
    shop.auth()
        .forgot_password(&credentials.email, &device("203.0.113.7"))
        .await
        .unwrap();

    let folder = tempfile::tempdir().unwrap();
    let delivery = EmailTransport::folder(folder.path(), "Lockstep <shop@example.com>").unwrap();
    let head = EmailBranding {
        shop: "Lockstep".into(),
        front_url: "https://shop.example".into(),
        public_url: "https://shop.example".into(),
        logo: None,
    };
    let stop = CancellationToken::new();
    let codes =
        Arc::new(|user| lockstep_auth::verification_code(&lockstep_testkit::secrets(), user, &Random::system()));
    let email_worker = EmailWorker::new(db.store.clone(), delivery, head, Sending::default(), codes);
    let until = stop.clone();
    let working = tokio::spawn(async move { email_worker.run(until).await });
    let emails = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let emails: Vec<String> = std::fs::read_dir(folder.path())
                .unwrap()
                .map(|file| file.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
                .map(|path| std::fs::read_to_string(path).unwrap())
                .collect();
            if emails.len() == 5 {
                return emails;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("five letters");
    stop.cancel();
    working.await.unwrap();
    for subject in [
        "Welcome to",
        "verification code",
        "New log-in",
        "was changed",
        "Set a new password",
    ] {
        let found: Vec<_> = emails.iter().filter(|email| email.contains(subject)).collect();
        assert!(!found.is_empty(), "{subject}: {emails:?}");
        assert!(found.iter().all(|email| email.contains("To: ada@example.com")));
        assert!(
            found
                .iter()
                .all(|email| email.contains("text/plain") && email.contains("text/html"))
        );
    }
}

/// One step of a task on a guest's and a user's cart.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// As the guest; after a move, the same cookie may fill a cart again.
    Add {
        game: usize,
        quantity: u8,
    },
    /// As the user.
    AddOwn {
        game: usize,
        quantity: u8,
    },
    /// Both ways that lead to a move.
    Move,
    LogIn,
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3usize, 1..5u8).prop_map(|(game, quantity)| Step::Add { game, quantity }),
        (0..3usize, 1..5u8).prop_map(|(game, quantity)| Step::AddOwn { game, quantity }),
        Just(Step::Move),
        Just(Step::LogIn),
        Just(Step::Read),
    ]
}

/// Two processes and their games; each case has its own user.
struct World {
    processes: [Shop; 2],
    games: Vec<GameId>,
    _db: TestDb,
}

/// Runs tasks concurrently in two processes, then compares what was added with what is there.
async fn nothing_is_lost_or_doubled(world: &World, tasks: Vec<Vec<Step>>) {
    let World { processes, games, .. } = world;
    let device = ClientInfo::default();
    let email = format!("{}@example.com", Uuid::new_v4());
    let signed_in = register(&processes[0], &email, None).await;
    let member = caller(&processes[0], &signed_in).await;
    let first = processes[0]
        .add_to_cart(Principal::Guest(None), games[0], 1, &device, None)
        .await
        .unwrap();
    let guest = first.owner.shopper().0;
    let mut running = JoinSet::new();
    for (n, steps) in tasks.into_iter().enumerate() {
        let (shop, member, games) = (processes[n % 2].clone(), member.clone(), games.clone());
        let email = email.clone();
        running.spawn(async move {
            let device = ClientInfo::default();
            let (mut put, mut left_out) = (0, 0);
            let mut note = |moved: Moved| left_out += moved.left_out.iter().map(|left| left.copies).sum::<u32>();
            for step in steps {
                match step {
                    Step::Add { game, quantity } => {
                        let principal = Principal::Guest(Some(guest));
                        let writer = shop
                            .add_to_cart(principal, games[game], i64::from(quantity), &device, None)
                            .await
                            .unwrap();
                        assert_eq!(writer.owner.shopper().0, guest, "still the same guest");
                        put += u32::from(quantity);
                    }
                    Step::AddOwn { game, quantity } => {
                        shop.add_to_cart(member.principal(), games[game], i64::from(quantity), &device, None)
                            .await
                            .unwrap();
                        put += u32::from(quantity);
                    }
                    Step::Move => note(shop.move_cart(&member, Some(guest)).await.unwrap()),
                    Step::LogIn => {
                        let credentials = Credentials::check(&email, PASSWORD, None).unwrap();
                        let came = shop.log_in(&credentials, &device, Some(guest)).await.unwrap();
                        note(came.moved.cart.unwrap());
                    }
                    Step::Read => {
                        cart(&shop, member.principal()).await;
                        cart(&shop, Principal::Guest(Some(guest))).await;
                    }
                }
            }
            (put, left_out)
        });
    }
    let (mut put, mut left_out) = (1, 0);
    while let Some(done) = running.join_next().await {
        let (more, less) = done.unwrap();
        put += more;
        left_out += less;
    }
    for shop in processes {
        let own: u32 = cart(shop, member.principal()).await.values().sum();
        let guests: u32 = cart(shop, Principal::Guest(Some(guest))).await.values().sum();
        assert_eq!(own + guests + left_out, put);
    }
    processes[1].move_cart(&member, Some(guest)).await.unwrap();
    for shop in processes {
        let own: u32 = cart(shop, member.principal()).await.values().sum();
        assert_eq!(own + left_out, put);
        assert!(cart(shop, Principal::Guest(Some(guest))).await.is_empty());
    }
}

#[test]
fn no_interleaving_loses_or_duplicates_cart_items() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(async {
        let db = TestDb::new().await;
        World {
            processes: [
                process(&db, Config::default()).await,
                process(&db, Config::default()).await,
            ],
            games: games(&db, 3).await,
            _db: db,
        }
    });
    // At most 1 + 4 · 5 · 4 units of one game: around the limit of an item.
    let tasks = prop::collection::vec(prop::collection::vec(step(), 1..6), 2..5);
    let config = ProptestConfig {
        cases: 16,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(tasks in tasks)| {
        runtime.block_on(nothing_is_lost_or_doubled(&world, tasks));
    });
}
