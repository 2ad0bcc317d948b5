//! Top-up intents: credited once, whatever the provider reports, however often and in any order.

use std::time::Duration;

use lockstep_domain::Money;
use lockstep_domain::ids::UserId;
use lockstep_domain::purchase::{PaymentStatus, TopUpStatus};
use lockstep_store::accounts::{self, AccountError};
use lockstep_store::top_ups::{
    self, BeginError, Begun, MOST_OPEN, NewTopUp, Outcome, Outside, OutsideError, OutsideOutcome, PaymentEvent,
    ProviderPaymentStatus, Review, SettleError, TopUp, Which,
};
use lockstep_store::{Store, mail};
use lockstep_testkit::TestDb;
use proptest::prelude::*;
use sqlx::types::Uuid;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn new(user: Uuid, amount: &str, key: Option<&str>) -> NewTopUp {
    NewTopUp {
        user: UserId(user),
        amount: money(amount),
        method: "card".into(),
        provider: "test",
        key: key.map(str::to_owned),
        card: None,
    }
}

/// How long a test holds the lease.
const LEASE: Duration = Duration::from_secs(30);

async fn begun(store: &Store, new: NewTopUp) -> TopUp {
    match top_ups::begin(store, new, LEASE).await.unwrap() {
        Begun::Ask { top_up, .. } | Begun::Asked(top_up) | Begun::Known(top_up) => top_up,
    }
}

async fn announced(store: &Store, user: Uuid, amount: &str) -> TopUp {
    let top_up = begun(store, new(user, amount, None)).await;
    let reference = format!("ref-{}", top_up.id);
    top_ups::announced(store, top_up.id, &reference, "https://pay.example/1")
        .await
        .unwrap();
    top_ups::by_id(store, UserId(user), top_up.id).await.unwrap().unwrap()
}

fn said(top_up: &TopUp, event: &str, word: ProviderPaymentStatus) -> PaymentEvent {
    PaymentEvent {
        provider: "test",
        event: Some(event.to_owned()),
        kind: "k".into(),
        which: Which::Reference(top_up.reference.clone().unwrap()),
        word,
    }
}

fn paid(amount: &str) -> ProviderPaymentStatus {
    ProviderPaymentStatus::Paid {
        amount: money(amount),
        currency: "EUR".into(),
    }
}

async fn balance(db: &TestDb, user: Uuid) -> String {
    sqlx::query_scalar("select balance::text from users where id = $1")
        .bind(user)
        .fetch_one(&db.sql)
        .await
        .unwrap()
}

#[tokio::test]
async fn payments_are_credited_booked_and_emailed() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "1.50").await;
    let top_up = announced(&db.store, user, "25.00").await;
    assert_eq!(top_up.view().redirect_url.as_deref(), Some("https://pay.example/1"));
    let outcome = top_ups::apply(&db.store, &said(&top_up, "e1", paid("25.00")))
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::Credited);
    let view = top_ups::by_id(&db.store, UserId(user), top_up.id)
        .await
        .unwrap()
        .unwrap()
        .view();
    assert_eq!((view.status, view.redirect_url), (TopUpStatus::Completed, None));
    assert_eq!(balance(&db, user).await, "26.50");
    assert_eq!(mail::list(&db.store, false, 9).await.unwrap()[0].kind, "top-up");
    let stranger = db.user("bob@example.org", "0").await;
    assert_eq!(
        top_ups::by_id(&db.store, UserId(stranger), top_up.id).await.unwrap(),
        None
    );
    db.assert_books_balance().await;
}

/// The existing shop credited a repeated delivery again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_deliveries_credit_once() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let top_up = announced(&db.store, user, "10.00").await;
    // The same event repeated, other events with the same content, and an answer to our own query.
    let mut words: Vec<PaymentEvent> = (0..5).map(|_| said(&top_up, "same", paid("10.00"))).collect();
    words.extend((0..5).map(|n| said(&top_up, &format!("e{n}"), paid("10.00"))));
    words.push(PaymentEvent {
        event: None,
        which: Which::Id(top_up.id),
        ..said(&top_up, "", paid("10.00"))
    });
    let outcomes = futures::future::join_all(words.iter().map(|word| top_ups::apply(&db.store, word))).await;
    let credited = outcomes.iter().filter(|o| matches!(o, Ok(Outcome::Credited))).count();
    assert!(outcomes.iter().all(Result::is_ok) && credited == 1, "{outcomes:?}");
    assert_eq!(balance(&db, user).await, "10.00");
    db.assert_books_balance().await;
}

#[tokio::test]
async fn unexpected_amounts_or_currencies_credit_nothing() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let top_up = announced(&db.store, user, "10.00").await;
    let dollars = ProviderPaymentStatus::Paid {
        amount: money("10.00"),
        currency: "USD".into(),
    };
    for (n, word) in [paid("9.99"), paid("10.01"), dollars].into_iter().enumerate() {
        let outcome = top_ups::apply(&db.store, &said(&top_up, &n.to_string(), word))
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Mismatch);
    }
    let problem: String = sqlx::query_scalar("select problem from top_ups")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(problem, "paid were 10.00 USD instead of 10.00 EUR");
    assert_eq!(balance(&db, user).await, "0.00");
}

/// Regression: such a payment was not credited, and no error was reported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mismatched_payments_are_settled_by_staff_once() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let view = async |id| {
        top_ups::by_id(&db.store, UserId(user), id)
            .await
            .unwrap()
            .unwrap()
            .view()
    };
    let (more, dollars, back) = (
        announced(&db.store, user, "10.00").await,
        announced(&db.store, user, "20.00").await,
        announced(&db.store, user, "30.00").await,
    );
    let usd = ProviderPaymentStatus::Paid {
        amount: money("21.50"),
        currency: "USD".into(),
    };
    for (top_up, word) in [(&more, paid("11.90")), (&dollars, usd), (&back, paid("29.00"))] {
        let outcome = top_ups::apply(&db.store, &said(top_up, &top_up.id.to_string(), word))
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Mismatch);
        let seen = view(top_up.id).await;
        assert_eq!((seen.status, seen.redirect_url), (TopUpStatus::Processing, None));
        assert!(seen.other_payment.is_some());
    }
    assert_eq!(top_ups::in_review(&db.store, UserId(user)).await.unwrap().len(), 3);
    assert_eq!(top_ups::waiting_for_staff(&db.store).await.unwrap().0, 3);

    // At once, by two of staff, and with another word of the provider in between.
    let again = said(&more, "again", paid("11.90"));
    let (first, second, word) = tokio::join!(
        top_ups::credit_by_staff(&db.store, more.id, None, "desk"),
        top_ups::credit_by_staff(&db.store, more.id, None, "desk"),
        top_ups::apply(&db.store, &again),
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    word.unwrap();
    let seen = view(more.id).await;
    assert_eq!(
        (seen.status, seen.amount, seen.other_payment),
        (TopUpStatus::Completed, money("11.90"), None)
    );
    assert_eq!(mail::list(&db.store, false, 9).await.unwrap()[0].kind, "top-up");
    // What the provider says later, also the right amount, changes nothing.
    let late = top_ups::apply(&db.store, &said(&more, "late", paid("10.00")))
        .await
        .unwrap();
    assert_eq!(late, Outcome::Nothing);

    // Another currency: how much that is, a person says.
    let unsaid = top_ups::credit_by_staff(&db.store, dollars.id, None, "desk").await;
    assert!(matches!(unsaid, Err(SettleError::AmountUnknown(_))), "{unsaid:?}");
    let nothing = top_ups::credit_by_staff(&db.store, dollars.id, Some(Money::ZERO), "desk").await;
    assert!(matches!(nothing, Err(SettleError::NotPositive)));
    top_ups::credit_by_staff(&db.store, dollars.id, Some(money("20.00")), "desk")
        .await
        .unwrap();
    assert_eq!(balance(&db, user).await, "31.90");

    // Paid back at the provider.
    assert!(top_ups::reviewed(&db.store, back.id, "desk").await.unwrap());
    let seen = view(back.id).await;
    assert_eq!(
        (seen.status, seen.other_payment.unwrap().amount),
        (TopUpStatus::Failed, money("29.00"))
    );
    let closed = top_ups::credit_by_staff(&db.store, back.id, None, "desk").await;
    assert!(matches!(closed, Err(SettleError::NotWaiting(_))));
    // Each is on record once, with what it was.
    let recorded: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', action, details ->> 'credited', details ->> 'intended', details ->> 'machine') from audit_log
          where admin_id is null and subject_kind = 'top_up' order by at",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    assert_eq!(
        recorded,
        [
            "payment.credit 11.90 10.00 desk",
            "payment.credit 20.00 20.00 desk",
            "payment.review desk"
        ]
    );
    assert_eq!(top_ups::waiting_for_staff(&db.store).await.unwrap(), (0, None));
    assert!(top_ups::in_review(&db.store, UserId(user)).await.unwrap().is_empty());
    // The same word again does not open it, another payment does.
    top_ups::apply(&db.store, &said(&back, "same", paid("29.00")))
        .await
        .unwrap();
    assert_eq!(top_ups::waiting_for_staff(&db.store).await.unwrap().0, 0);
    top_ups::apply(&db.store, &said(&back, "other", paid("31.00")))
        .await
        .unwrap();
    assert_eq!(top_ups::waiting_for_staff(&db.store).await.unwrap().0, 1);
    db.assert_books_balance().await;
}

#[tokio::test]
async fn nothing_is_credited_to_an_account_that_was_deleted_meanwhile() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let top_up = announced(&db.store, user, "10.00").await;
    top_ups::apply(&db.store, &said(&top_up, "e", paid("9.00")))
        .await
        .unwrap();
    accounts::delete(&db.store, UserId(user), false).await.unwrap();
    let refused = top_ups::credit_by_staff(&db.store, top_up.id, None, "desk").await;
    assert!(matches!(refused, Err(SettleError::NoOwner)), "{refused:?}");
    db.assert_books_balance().await;
}

#[tokio::test]
async fn what_nobody_intended_is_unknown() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let top_up = announced(&db.store, user, "10.00").await;
    let other = PaymentEvent {
        which: Which::Reference("nobody's".into()),
        ..said(&top_up, "e", paid("10.00"))
    };
    assert_eq!(top_ups::apply(&db.store, &other).await.unwrap(), Outcome::Unknown);
    let elsewhere = PaymentEvent {
        provider: "stripe",
        ..said(&top_up, "e", paid("10.00"))
    };
    assert_eq!(top_ups::apply(&db.store, &elsewhere).await.unwrap(), Outcome::Unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_is_one_intent_and_open_intents_are_limited() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let begun =
        futures::future::join_all((0..10).map(|_| top_ups::begin(&db.store, new(user, "5", Some("k")), LEASE))).await;
    let mut ids = std::collections::BTreeSet::new();
    let mut asking = 0;
    for one in begun {
        match one.unwrap() {
            Begun::Ask { top_up, is_first } => {
                assert!(is_first);
                asking += 1;
                ids.insert(top_up.id);
            }
            Begun::Asked(top_up) | Begun::Known(top_up) => {
                ids.insert(top_up.id);
            }
        }
    }
    assert_eq!((ids.len(), asking, db.count("top_ups").await), (1, 1, 1));
    let other = top_ups::begin(&db.store, new(user, "6", Some("k")), LEASE).await;
    assert!(matches!(other, Err(BeginError::KeyReused)), "{other:?}");
    let more =
        futures::future::join_all((0..2 * MOST_OPEN).map(|_| top_ups::begin(&db.store, new(user, "5", None), LEASE)))
            .await;
    assert_eq!(db.count("top_ups").await, MOST_OPEN);
    assert!(
        more.iter()
            .all(|one| matches!(one, Ok(_) | Err(BeginError::TooManyOpen)))
    );
    let nobody = top_ups::begin(&db.store, new(Uuid::new_v4(), "5", None), LEASE).await;
    assert!(matches!(nobody, Err(BeginError::NoSuchUser)));
}

#[tokio::test]
async fn silent_intents_are_polled_by_one_process_at_a_time() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let silent = announced(&db.store, user, "10.00").await;
    let untold = begun(&db.store, new(user, "11", None)).await;
    let due = || top_ups::due(&db.store, "test", 10, LEASE);
    assert!(due().await.unwrap().is_empty(), "not at once");
    db.execute("update top_ups set not_before = now(), created_at = now() - interval '16 minutes'")
        .await;
    assert_eq!(
        due().await.unwrap().iter().map(|top_up| top_up.id).collect::<Vec<_>>(),
        [silent.id],
        "who asks for the other's page has the lease"
    );
    assert!(due().await.unwrap().is_empty(), "somebody else's to ask");
    db.execute("update top_ups set asking_until = now()").await;
    let due = due().await.unwrap();
    assert_eq!(
        due.iter().map(|top_up| (top_up.id, top_up.status)).collect::<Vec<_>>(),
        [(untold.id, PaymentStatus::Pending)],
        "the provider may know it"
    );
    // Its money arrives nevertheless.
    let late = PaymentEvent {
        which: Which::Id(untold.id),
        ..said(&silent, "late", paid("11"))
    };
    assert_eq!(top_ups::apply(&db.store, &late).await.unwrap(), Outcome::Credited);
    db.assert_books_balance().await;
}

#[tokio::test]
async fn overdue_intents_are_shown_to_staff_until_settled() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let (late, paying, young) = (
        announced(&db.store, user, "10.00").await,
        announced(&db.store, user, "11.00").await,
        announced(&db.store, user, "12.00").await,
    );
    // From a provider that is no longer in use.
    db.execute(&format!(
        "insert into top_ups (user_id, amount, method, provider, reference) values ('{user}', 9, 'card', 'former', 'r');
         update top_ups set created_at = now() - interval '26 hours' where id <> '{}';
         update top_ups set status = 'PROCESSING' where id = '{}'",
        young.id, paying.id
    ))
    .await;
    assert_eq!(top_ups::without_end(&db.store).await.unwrap().len(), 2);
    assert!(top_ups::without_end(&db.store).await.unwrap().is_empty(), "shown once");
    let shown = top_ups::to_review(&db.store, 10).await.unwrap();
    assert!(
        shown.iter().all(|one| one.why == Review::NoEnd) && shown.len() == 2,
        "{shown:?}"
    );
    // The provider reports an end of one; staff deals with the other.
    top_ups::apply(&db.store, &said(&late, "e1", ProviderPaymentStatus::Lapsed))
        .await
        .unwrap();
    let shown = top_ups::to_review(&db.store, 10).await.unwrap();
    assert_eq!((shown.len(), shown[0].provider.as_str()), (1, "former"));
    assert!(top_ups::reviewed(&db.store, shown[0].id, "desk").await.unwrap());
    assert!(!top_ups::reviewed(&db.store, shown[0].id, "desk").await.unwrap());
    db.execute("update top_ups set not_before = now()").await;
    assert!(top_ups::due(&db.store, "former", 10, LEASE).await.unwrap().is_empty());
    assert!(top_ups::to_review(&db.store, 10).await.unwrap().is_empty());
    // Money on its way takes weeks, not for ever.
    db.execute("update top_ups set created_at = now() - interval '31 days' where status = 'PROCESSING'")
        .await;
    assert_eq!(top_ups::without_end(&db.store).await.unwrap(), [paying.id]);
}

#[tokio::test]
async fn relayed_payments_are_credited_once_and_create_no_user() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let payment = Outside {
        transaction: "t1".into(),
        email: "ada@example.org".into(),
        amount: money("7.00"),
        method: "terminal".into(),
    };
    let credit = |payment: Outside| {
        let store = db.store.clone();
        async move { top_ups::credit_outside(&store, &payment).await }
    };
    let outcomes = futures::future::join_all((0..5).map(|_| credit(payment.clone()))).await;
    let credited = outcomes
        .iter()
        .filter(|o| matches!(o, Ok(OutsideOutcome::Credited)))
        .count();
    assert!(credited == 1 && outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let more = Outside {
        amount: money("8"),
        ..payment.clone()
    };
    assert!(matches!(credit(more).await, Err(OutsideError::NameReused)));
    let stranger = Outside {
        email: "nobody@example.org".into(),
        ..payment
    };
    assert!(matches!(credit(stranger).await, Err(OutsideError::NoSuchUser)));
    assert_eq!(
        (balance(&db, user).await.as_str(), db.count("users").await),
        ("7.00", 1)
    );
    db.assert_books_balance().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Any reports in any order, repeated at will: credited at most once, exactly if paid, and never reversed.
    #[test]
    fn any_order_of_events_credits_once(words in prop::collection::vec((0_u8..5, 0_u8..4), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let db = TestDb::new().await;
            let user = db.user("ada@example.org", "0").await;
            let top_up = announced(&db.store, user, "10.00").await;
            let mut seen = std::collections::BTreeSet::new();
            let mut is_paid = false;
            for (word, event) in words {
                let spoken = match word {
                    0 => paid("10.00"),
                    1 => ProviderPaymentStatus::Processing,
                    2 => ProviderPaymentStatus::Declined,
                    3 => ProviderPaymentStatus::Lapsed,
                    _ => ProviderPaymentStatus::Open,
                };
                is_paid |= word == 0 && !seen.contains(&event);
                seen.insert(event);
                top_ups::apply(&db.store, &said(&top_up, &format!("e{event}"), spoken)).await.unwrap();
                let status = top_ups::by_id(&db.store, UserId(user), top_up.id).await.unwrap().unwrap().status;
                assert_eq!(status == PaymentStatus::Completed, is_paid);
                assert_eq!(balance(&db, user).await, if is_paid { "10.00" } else { "0.00" });
            }
            db.assert_books_balance().await;
        });
    }
}

/// The payer must exist: a payment in progress blocks the deletion of its account, and a later one is recorded for
/// staff.
#[tokio::test]
async fn payments_after_account_deletion_are_recorded() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "0").await;
    let (begun, late) = (
        announced(&db.store, user, "10.00").await,
        announced(&db.store, user, "20.00").await,
    );
    top_ups::apply(&db.store, &said(&begun, "e1", ProviderPaymentStatus::Processing))
        .await
        .unwrap();
    let refused = accounts::delete(&db.store, UserId(user), false).await;
    assert!(matches!(refused, Err(AccountError::PaymentUnderWay)), "{refused:?}");
    top_ups::apply(&db.store, &said(&begun, "e2", ProviderPaymentStatus::Declined))
        .await
        .unwrap();
    accounts::delete(&db.store, UserId(user), false).await.unwrap();
    let outcome = top_ups::apply(&db.store, &said(&late, "e3", paid("20.00")))
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::Credited, "the books say what the provider says");
    let noted: String = sqlx::query_scalar("select problem from top_ups where id = $1")
        .bind(late.id.0)
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert!(noted.contains("paid back"), "{noted}");
    let letters = mail::list(&db.store, false, 9).await.unwrap();
    let kinds: Vec<&str> = letters.iter().map(|letter| letter.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["account-deleted"],
        "nobody is told of money that they do not have"
    );
    db.assert_books_balance().await;
}
