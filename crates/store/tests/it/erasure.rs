//! Forgetting a person while others do the same, and while the person goes on.

use lockstep_domain::account::Email;
use lockstep_domain::ids::{GameId, UserId};
use lockstep_store::accounts::{self, AccountError};
use lockstep_store::audit::By;
use lockstep_testkit::TestDb;

fn operator() -> By {
    By::Operator("here".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_erasures_at_once_forget_a_person_once() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "10").await;
    let email = Email::parse("ada@example.org").unwrap();
    let erasures = (0..8).map(|_| {
        let (store, email) = (db.store.clone(), email.clone());
        async move { accounts::erase(&store, &email, &operator()).await }
    });
    let done = futures::future::join_all(erasures).await;
    let erased: Vec<_> = done.into_iter().filter_map(|done| done.unwrap()).collect();
    assert_eq!(erased.len(), 1, "{erased:?}");
    assert_eq!(erased[0].before.account, Some(UserId(user)));
    assert_eq!(db.count("audit_log where action = 'user.erase'").await, 1);
    assert_eq!(db.count("users where deleted_at is not null and balance = 10").await, 1);
    db.assert_books_balance().await;
}

/// An order either is there, and nothing is erased, or is refused: none belongs to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_at_the_same_time_is_placed_or_refused() {
    for _ in 0..5 {
        let db = TestDb::new().await;
        let game = db.game("Portal", "portal", "10.00").await;
        let user = UserId(db.user("ada@example.org", "10").await);
        let email = Email::parse("ada@example.org").unwrap();
        let checkout = lockstep_domain::checkout::Checkout::new(
            [(GameId(game), 1)],
            None,
            None,
            lockstep_domain::checkout::OrderLimits::default(),
        )
        .unwrap();
        let by = operator();
        let (erased, placed) = tokio::join!(
            accounts::erase(&db.store, &email, &by),
            lockstep_store::orders::place(&db.store, user, &checkout, None)
        );
        match erased {
            Ok(erased) => assert!(erased.is_some() && placed.is_err(), "{placed:?}"),
            Err(error) => {
                assert!(matches!(error, AccountError::OrdersUnderWay), "{error}");
                assert!(placed.is_ok(), "{placed:?}");
            }
        }
        db.assert_books_balance().await;
    }
}
