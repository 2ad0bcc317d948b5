//! Repeated requests for a payment page, lost responses, and deleted users: the top-up stays open until Stripe reports
//! its final status, and a payment is credited once, with or without a webhook.

use std::time::Duration;

use futures::future::join_all;
use lockstep_domain::ids::UserId;
use lockstep_domain::purchase::TopUpStatus;
use lockstep_payments::{ProviderError, TopUpError};
use lockstep_store::accounts;
use lockstep_store::top_ups::{self, Review};

use crate::stand_in::{API_KEY, Fault};
use crate::stripe::{World, instance, money};

/// Longer than any response of the fake Stripe in these tests.
const PATIENT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn concurrent_requests_share_one_page_and_query_finds_the_payment() {
    let world = World::new().await;
    world.stripe.set_takes(Duration::from_millis(600));
    let instances = [0, 1].map(|_| instance(&world.db, &world.stripe, API_KEY, PATIENT));
    // Requests to two instances; most arrive while Stripe processes the first.
    let clicks = (0..12).map(|n| instances[n % 2].begin(UserId(world.user), money("10"), "card", Some("click")));
    let pages: Vec<_> = join_all(clicks).await.into_iter().map(Result::unwrap).collect();
    assert!(pages.iter().all(|page| page == &pages[0]), "{pages:?}");
    assert!(pages[0].redirect_url.is_some() && pages[0].status == TopUpStatus::Pending);
    assert_eq!(
        (world.stripe.sessions().len(), world.stripe.calls().len()),
        (1, 1),
        "one asks"
    );
    world.stripe.set("cs_test_1", "complete", "paid");
    world.let_time_pass().await;
    assert_eq!(
        instances[1].ask_about_silent().await.unwrap(),
        1,
        "the webhook was lost"
    );
    assert_eq!(world.balance().await, "10.00");
    world.db.assert_books_balance().await;
}

/// The lease of a stalled instance has expired, so that another calls while Stripe is still processing.
#[tokio::test]
async fn waits_while_stripe_reports_a_request_in_progress() {
    let world = World::new().await;
    world.stripe.set_takes(Duration::from_millis(900));
    let instances = [0, 1].map(|_| instance(&world.db, &world.stripe, API_KEY, PATIENT));
    let begin = |n: usize| instances[n].begin(UserId(world.user), money("10"), "card", Some("click"));
    let second = async {
        while world.stripe.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        world.db.execute("update top_ups set asking_until = null").await;
        begin(1).await
    };
    let (first, second) = tokio::join!(begin(0), second);
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(world.row_status().await, "PENDING");
    assert_eq!(world.stripe.sessions().len(), 1);
    assert!(world.stripe.calls().len() >= 2, "Stripe was asked by both");
}

#[tokio::test]
async fn top_up_without_response_stays_open_and_is_resumed_by_its_key() {
    for fault in [
        Fault::Status(408),
        Fault::Status(429),
        Fault::Status(500),
        Fault::Garbled,
        Fault::Silent,
        Fault::Broken,
    ] {
        let world = World::new().await;
        let begin = || {
            world
                .payments
                .begin(UserId(world.user), money("10"), "card", Some("click"))
        };
        world.stripe.set_fault(fault);
        let error = begin().await.unwrap_err();
        assert!(
            matches!(
                error,
                TopUpError::Provider(ProviderError::Unavailable(_) | ProviderError::Unreadable(_))
            ),
            "{fault:?} {error:?}"
        );
        assert_eq!(world.row_status().await, "PENDING", "{fault:?}");
        world.stripe.set_fault(Fault::None);
        let page = begin().await.unwrap();
        assert_eq!(
            page.redirect_url,
            Some(format!("{}/cs_test_1", world.stripe.pages)),
            "{fault:?}"
        );
        assert_eq!(
            (world.stripe.sessions().len(), world.db.count("top_ups").await),
            (1, 1),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn response_is_recorded_after_the_caller_disconnects() {
    let world = World::new().await;
    world.stripe.set_takes(Duration::from_millis(300));
    let patient = instance(&world.db, &world.stripe, API_KEY, PATIENT);
    let user = UserId(world.user);
    let call = tokio::spawn({
        let patient = patient.clone();
        async move { patient.begin(user, money("10"), "card", Some("click")).await }
    });
    while world.stripe.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    call.abort();
    let page = patient.begin(user, money("10"), "card", Some("click")).await.unwrap();
    assert!(page.redirect_url.is_some());
    assert_eq!(world.stripe.calls().len(), 1, "the first answer was kept");
}

#[tokio::test]
async fn page_with_unknown_url_is_still_queried() {
    for fault in [Fault::Silent, Fault::Garbled, Fault::Broken] {
        let world = World::new().await;
        world.stripe.set_fault(fault);
        world.begin("10").await.unwrap_err();
        world.stripe.set("cs_test_1", "complete", "paid");
        world.stripe.set_fault(Fault::None);
        world.let_time_pass().await;
        assert_eq!(
            world.payments.ask_about_silent().await.unwrap(),
            0,
            "its name is learned"
        );
        world.let_time_pass().await;
        assert_eq!(world.payments.ask_about_silent().await.unwrap(), 1);
        assert_eq!(world.balance().await, "10.00");
        world.db.assert_books_balance().await;
    }
}

#[tokio::test]
async fn after_a_lost_response_only_a_refusal_closes_the_top_up() {
    let world = World::new().await;
    world.stripe.set_fault(Fault::Silent);
    world.begin("10").await.unwrap_err();
    for (fault, status) in [
        // The key was revoked: a session created before still exists.
        (Fault::Status(401), "PENDING"),
        (Fault::Status(403), "PENDING"),
        (Fault::Status(503), "PENDING"),
        (Fault::Status(400), "FAILED"),
    ] {
        world.stripe.set_fault(fault);
        world.let_time_pass().await;
        world.payments.ask_about_silent().await.unwrap();
        assert_eq!(world.row_status().await, status, "{fault:?}");
    }
}

#[tokio::test]
async fn unavailable_provider_gets_a_few_queries_per_scan() {
    let world = World::new().await;
    for _ in 0..12 {
        world.begin("10").await.unwrap();
    }
    let before = world.stripe.calls().len();
    world.stripe.set_fault(Fault::Status(503));
    world.let_time_pass().await;
    world.payments.ask_about_silent().await.unwrap();
    let asked = world.stripe.calls().len() - before;
    assert!((1..=10).contains(&asked), "{asked}");
    assert_eq!(world.payments.ask_about_silent().await.unwrap(), 0);
}

#[tokio::test]
async fn unresolved_top_up_is_shown_to_staff_and_still_queried() {
    let world = World::new().await;
    world.begin("10").await.unwrap();
    world
        .db
        .execute("update top_ups set created_at = now() - interval '26 hours'")
        .await;
    world.let_time_pass().await;
    world.stripe.set_fault(Fault::Status(401));
    world.payments.ask_about_silent().await.unwrap();
    let shown = top_ups::to_review(&world.db.store, 10).await.unwrap();
    assert_eq!(shown[0].why, Review::NoEnd);
    assert!(shown[0].problem.as_ref().unwrap().contains("401"), "{shown:?}");
    world.stripe.set_fault(Fault::None);
    world.stripe.set("cs_test_1", "complete", "paid");
    world.let_time_pass().await;
    assert_eq!(world.payments.ask_about_silent().await.unwrap(), 1);
    assert!(top_ups::to_review(&world.db.store, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn open_session_of_a_deleted_user_is_closed() {
    let world = World::new().await;
    world.begin("10").await.unwrap();
    world.begin("20").await.unwrap();
    accounts::delete(&world.db.store, UserId(world.user), false)
        .await
        .unwrap();
    // One was paid at the same moment, and no webhook reports it.
    world.stripe.set("cs_test_2", "complete", "paid");
    assert_eq!(world.payments.ask_about_silent().await.unwrap(), 1);
    let sessions = world.stripe.sessions();
    assert_eq!(
        (&sessions[0]["status"], &sessions[1]["status"]),
        (&"expired".into(), &"complete".into())
    );
    let shown = top_ups::to_review(&world.db.store, 10).await.unwrap();
    assert_eq!(
        (shown.len(), shown[0].why, shown[0].amount),
        (1, Review::NoOwner, money("20"))
    );
    let calls = world.stripe.calls().len();
    world.let_time_pass().await;
    world.payments.ask_about_silent().await.unwrap();
    assert_eq!(world.stripe.calls().len(), calls, "nothing is left to close");
    world.db.assert_books_balance().await;
}

/// The user is deleted while the page is being requested: its URL is returned to no one, and it is closed.
#[tokio::test]
async fn session_created_after_user_deletion_is_closed() {
    let world = World::new().await;
    world.stripe.set_takes(Duration::from_millis(300));
    let patient = instance(&world.db, &world.stripe, API_KEY, PATIENT);
    let leave = async {
        while world.stripe.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        accounts::delete(&world.db.store, UserId(world.user), false)
            .await
            .unwrap();
    };
    let (begun, ()) = tokio::join!(patient.begin(UserId(world.user), money("10"), "card", None), leave);
    assert!(matches!(begun, Err(TopUpError::Begin(_))), "{begun:?}");
    patient.ask_about_silent().await.unwrap();
    assert_eq!(world.stripe.sessions()[0]["status"], "expired");
    let address: Option<String> = sqlx::query_scalar("select redirect_url from top_ups")
        .fetch_one(&world.db.sql)
        .await
        .unwrap();
    assert_eq!((address, world.row_status().await.as_str()), (None, "CANCELLED"));
}
