//! Databases that cannot hold a shop are refused before anything is made in them, and the cure is told.

use lockstep_store::{Options, Store, StoreError, Verdict};
use lockstep_testkit::TestDb;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

/// A database of its own kind beside the test's.
struct Other {
    name: String,
    url: String,
}

impl Other {
    async fn new(db: &TestDb, kind: &str) -> Self {
        let name = format!("other_{}", Uuid::now_v7().simple());
        db.execute(&format!("create database {name} template template0 {kind}"))
            .await;
        let options: PgConnectOptions = db.url().parse().unwrap();
        let url = options.database(&name).to_url_lossy().to_string();
        Self { name, url }
    }

    fn store(&self) -> Store {
        Store::new(&self.url, &Options::default()).unwrap()
    }

    async fn end(self, db: &TestDb) {
        db.execute(&format!("drop database {} with (force)", self.name)).await;
    }
}

#[tokio::test]
async fn unsuitable_databases_are_refused_with_a_remedy() {
    let db = TestDb::new().await;
    for (kind, what, cure) in [
        (
            "encoding 'LATIN1' locale 'C'",
            "encoding LATIN1",
            "encoding 'UTF8' locale 'C.UTF-8'",
        ),
        (
            "encoding 'SQL_ASCII' locale 'C'",
            "encoding SQL_ASCII",
            "template template0",
        ),
        (
            "encoding 'UTF8' locale 'C'",
            "character class C",
            "encoding 'UTF8' locale 'C.UTF-8'",
        ),
        (
            "encoding 'UTF8' locale 'POSIX'",
            "knows only the letters a to z",
            "template template0",
        ),
    ] {
        let other = Other::new(&db, kind).await;
        let store = other.store();
        let refused = store.migrate().await;
        let Err(StoreError::Unsuitable(unsuitable)) = &refused else {
            panic!("{kind}: {refused:?}");
        };
        let words = unsuitable.to_string();
        assert!(words.contains(what) && words.contains(cure), "{words}");
        assert!(store.has_no_schema().await.unwrap(), "{kind}");
        store.close().await;
        other.end(&db).await;
    }
}

#[tokio::test]
async fn nonstandard_strings_are_refused_until_the_remedy_is_applied() {
    let db = TestDb::new().await;
    let other = Other::new(&db, "encoding 'UTF8' locale 'C.UTF-8'").await;
    db.execute(&format!(
        "alter database {} set standard_conforming_strings = off",
        other.name
    ))
    .await;
    let store = other.store();
    let Err(StoreError::Unsuitable(unsuitable)) = store.migrate().await else {
        panic!("it is taken");
    };
    assert_eq!(unsuitable.verdict, Verdict::Refused);
    let cure = unsuitable.cure.split(';').next().unwrap();
    assert!(cure.contains("set standard_conforming_strings = on"), "{cure}");
    store.close().await;
    db.execute(cure).await;
    let store = other.store();
    assert!(!store.migrate().await.unwrap().is_empty());
    assert_eq!(store.unsuitable().await.unwrap(), []);
    store.close().await;
    other.end(&db).await;
}

#[tokio::test]
async fn a_database_whose_letters_are_icus_holds_a_shop_and_is_told_to_lack_trigrams() {
    let db = TestDb::new().await;
    let other = Other::new(&db, "encoding 'UTF8' locale 'C' locale_provider icu icu_locale 'und'").await;
    let store = other.store();
    assert!(!store.migrate().await.unwrap().is_empty());
    let [told] = <[_; 1]>::try_from(store.unsuitable().await.unwrap()).unwrap();
    assert_eq!(told.verdict, Verdict::Limited);
    assert!(told.what.contains("pg_trgm") && told.cure.contains("C.UTF-8"), "{told}");
    store.close().await;
    other.end(&db).await;
}

#[tokio::test]
async fn the_usual_database_is_suitable() {
    let db = TestDb::new().await;
    assert_eq!(db.store.unsuitable().await.unwrap(), []);
}

#[test]
fn addresses_of_other_databases_are_refused_without_repeating_a_password() {
    for (url, words) in [
        ("mysql://root:hunter2@localhost/shop", "it begins with mysql://"),
        ("http://localhost:5432/", "it begins with http://"),
        ("localhost:5432/hunter2", "postgres://USER:PASSWORD@HOST"),
        ("", "postgres://USER:PASSWORD@HOST"),
        ("postgres://me:hunter2/x@db/shop", "percent-encode"),
    ] {
        let refused = Store::new(url, &Options::default());
        let Err(StoreError::Address(told)) = &refused else {
            panic!("{url}: {refused:?}");
        };
        assert!(told.contains(words), "{url}: {told}");
        assert!(!format!("{refused:?}").contains("hunter2"), "{url}: {refused:?}");
    }
}

#[tokio::test]
async fn unreachable_servers_are_explained() {
    // A port that was just closed has no listener.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let db = TestDb::new().await;
    let options: PgConnectOptions = db.url().parse().unwrap();
    let nobody = options.clone().database("nobody_made_this").to_url_lossy().to_string();
    for (url, words) in [
        (format!("postgres://x@{free}/x"), "refuses connections".to_owned()),
        (
            "postgres://x@no-such-host.invalid/x".to_owned(),
            "there is no host no-such-host.invalid".to_owned(),
        ),
        (
            "postgres://x@%2Fno%2Fsuch%2Ffolder/x".to_owned(),
            "there is no socket".to_owned(),
        ),
        (nobody, "\"nobody_made_this\" does not exist".to_owned()),
    ] {
        let why = Store::new(&url, &Options::default()).unwrap().why_unreachable().await;
        assert!(why.as_ref().is_some_and(|why| why.contains(&words)), "{url}: {why:?}");
    }
    assert_eq!(db.store.why_unreachable().await, None);
}
