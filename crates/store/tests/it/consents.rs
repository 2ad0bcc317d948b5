//! Consent to deliver keys at once: what an order keeps of it, and that no key is shown or sent without.

use std::sync::Arc;

use futures::future::join_all;
use lockstep_domain::Secret;
use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::consent::{AgreedWording, Consent, Wording};
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::{GameId, KeyId, OrderId, UnitId, UserId};
use lockstep_store::StoreError;
use lockstep_store::fulfilment::keys::{How, reveal, sell_own};
use lockstep_store::fulfilment::{EmailSettings, Lease};
use lockstep_store::orders::{self, Placed};
use lockstep_testkit::TestDb;
use uuid::Uuid;

/// Source, wording, language, text, address and user agent of a consent.
type Kept = (
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

fn agreed() -> AgreedWording {
    let wording = Wording::current();
    let (language, text) = wording.text("de").unwrap();
    AgreedWording {
        version: wording.version,
        language,
        text,
        address: Some("203.0.113.7".into()),
        user_agent: Some("Browser 1.0".into()),
    }
}

/// An order of one copy of `game`.
async fn ordered(db: &TestDb, user: Uuid, game: Uuid, consent: Option<Consent>) -> OrderId {
    let order = Checkout::new([(GameId(game), 1)], None, None, OrderLimits::default())
        .unwrap()
        .with_consent(consent);
    match orders::place(&db.store, UserId(user), &order, None).await.unwrap() {
        Placed::Now(order) => order.id,
        Placed::Before(id) => id,
    }
}

async fn unit_of(db: &TestDb, order: OrderId) -> Uuid {
    sqlx::query_scalar("select id from order_units where order_id = $1")
        .bind(order.0)
        .fetch_one(&db.sql)
        .await
        .unwrap()
}

async fn mails(db: &TestDb, kind: &str) -> Vec<EmailTemplate> {
    let queued = db.queued_emails(kind).await;
    queued
        .into_iter()
        .map(|email| serde_json::from_value(email).unwrap())
        .collect()
}

#[tokio::test]
async fn an_order_keeps_the_wording_that_its_customer_agreed_to() {
    let db = TestDb::new().await;
    let (user, game) = (
        db.user("ada@example.org", "50.00").await,
        db.game("Portal", "portal", "10.00").await,
    );
    let order = ordered(&db, user, game, Some(Consent::Shopper(agreed()))).await;
    let kept: Kept = sqlx::query_as(
        "select source, wording, language, text, address, user_agent from order_consents where order_id = $1",
    )
    .bind(order.0)
    .fetch_one(&db.sql)
    .await
    .unwrap();
    let text = |text: &str| Some(text.to_owned());
    let said = agreed();
    assert_eq!(
        kept,
        (
            "shopper".to_owned(),
            text(said.version),
            text("de"),
            text(said.text),
            text("203.0.113.7"),
            text("Browser 1.0")
        )
    );
    let mail = mails(&db, "order-received").await;
    assert!(
        matches!(&mail[..], [EmailTemplate::OrderReceived { consent: Some(text), needs_consent: false, .. }] if text == said.text),
        "{mail:?}"
    );
}

#[tokio::test]
async fn keys_of_an_order_without_consent_wait_for_it() {
    let db = TestDb::new().await;
    let (user, game) = (
        db.user("ada@example.org", "50.00").await,
        db.game("Portal", "portal", "10.00").await,
    );
    let order = ordered(&db, user, game, None).await;
    let key = db.deliver(unit_of(&db, order).await).await;
    let shown = async || {
        let sold = orders::reveal(&db.store, UserId(user), order, None, How::Page)
            .await
            .unwrap();
        let all = orders::reveal_all(&db.store, UserId(user), &[order], How::Api)
            .await
            .unwrap();
        assert_eq!(sold.len(), all.len());
        sold.len()
    };
    let waits = async || {
        let read = db.store.read(|tx| Box::pin(orders::by_id(tx, order))).await;
        let read: Result<_, StoreError> = read;
        read.unwrap().value.unwrap().needs_consent
    };
    assert_eq!((shown().await, waits().await), (0, true));
    assert_eq!(db.count("key_reveals").await, 0);
    // The database refuses it even if the program forgets.
    let forgotten: Result<(), StoreError> = db
        .store
        .tx("test", |tx| {
            Box::pin(async move { reveal(tx, &[KeyId(key)], UserId(user), How::File).await })
        })
        .await;
    assert_eq!(forgotten.unwrap_err().constraint(), Some("key_reveals_need_consent"));

    // Another's consent is none.
    let bob = db.user("bob@example.org", "0").await;
    assert!(!orders::consent(&db.store, UserId(bob), order, &agreed()).await.unwrap());
    assert_eq!(shown().await, 0);
    // Given by many clicks at once, it is kept and confirmed once.
    let said = agreed();
    let given = join_all((0..10).map(|_| orders::consent(&db.store, UserId(user), order, &said))).await;
    assert!(given.into_iter().all(|given| given.unwrap()));
    assert_eq!((shown().await, waits().await), (1, false));
    let confirmed = mails(&db, "consent-confirmed").await;
    assert!(
        matches!(&confirmed[..], [EmailTemplate::ConsentConfirmed { consent, .. }] if consent == said.text),
        "{confirmed:?}"
    );
}

/// With the setting that puts keys into e-mails.
#[tokio::test]
async fn no_email_contains_a_key_without_consent() {
    let db = TestDb::new().await;
    let (user, game) = (
        db.user("ada@example.org", "50.00").await,
        db.game("Portal", "portal", "10.00").await,
    );
    let emails = EmailSettings {
        with_keys: Some(Arc::new(|_: KeyId, _: &[u8]| Some(Secret::new("AAAAA-BBBBB")))),
    };
    db.store
        .seal_mail_with(lockstep_vault::Keys::parse(&"11".repeat(32)).unwrap());
    for consent in [None, Some(Consent::Front)] {
        let has_consent = consent.is_some();
        db.key(game).await;
        let order = ordered(&db, user, game, consent).await;
        let unit = UnitId(unit_of(&db, order).await);
        let settings = emails.clone();
        let sold: Result<_, StoreError> = db
            .store
            .tx("test", move |tx| {
                let emails = settings.clone();
                Box::pin(async move {
                    sell_own(
                        tx,
                        Lease {
                            unit,
                            epoch: 0,
                            seconds: 60.0,
                        },
                        &emails,
                    )
                    .await
                })
            })
            .await;
        assert!(sold.unwrap().is_some());
        let looks: i64 = sqlx::query_scalar(
            "select count(*) from key_reveals r join game_keys k on k.id = r.game_key_id where k.order_id = $1 and r.how = 'MAIL'",
        )
        .bind(order.0)
        .fetch_one(&db.sql)
        .await
        .unwrap();
        assert_eq!(looks, i64::from(has_consent));
    }
}

/// A version that does not know consents goes on selling during an update.
#[tokio::test]
async fn orders_of_an_older_version_say_so() {
    let db = TestDb::new().await;
    let (user, game) = (
        db.user("ada@example.org", "50.00").await,
        db.game("Portal", "portal", "10.00").await,
    );
    let order = db.order(user, game, 1).await;
    db.deliver(order.units[0]).await;
    let source: String = sqlx::query_scalar("select source from order_consents where order_id = $1")
        .bind(order.id)
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(source, "before");
    let sold = orders::reveal(&db.store, UserId(user), OrderId(order.id), None, How::Page)
        .await
        .unwrap();
    assert_eq!(sold.len(), 1);
}
