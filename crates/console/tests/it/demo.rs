//! The link by which the owner of a demo signs in.

use chrono::{TimeDelta, Utc};
use http::{Method, Request, StatusCode};
use lockstep_console::DemoLink;
use lockstep_domain::account::Email;

use crate::shop::{Answered, LINK as TOKEN, Shop};

const ADDRESS: &str = "/admin/enter/a-token-that-nobody-guesses";

/// The form with the password that the owner chooses.
const CHOSEN: &str = "password=Quiet-Harbour-7";

fn link(left: TimeDelta) -> DemoLink {
    let email = Email::parse("owner@demo.example").unwrap();
    #[expect(clippy::disallowed_methods, reason = "the shop of the test has the system's clock")]
    let now = Utc::now();
    DemoLink::new(TOKEN.to_owned(), email, "this machine".to_owned(), now + left)
}

/// The cookies that an answer sets, as a browser sends them.
fn cookies(answer: &Answered) -> String {
    let set = answer.headers.get_all("set-cookie").iter();
    let pairs = set.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
    pairs.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn the_link_signs_the_owner_in_once_with_a_password_of_their_own() {
    let shop = Shop::open_demo(link(TimeDelta::hours(1)), false).await;
    let visitor = shop.stranger();
    // A program that only looks does not use it up, nor does a wrong link or a password that is too easy.
    let looked = Request::builder().method(Method::HEAD).uri(ADDRESS);
    shop.send(looked.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(visitor.get("/admin/enter/another").await.status, StatusCode::NOT_FOUND);
    let shown = visitor.get(ADDRESS).await;
    assert_eq!(shown.header("referrer-policy"), Some("no-referrer"));
    let page = visitor.page(ADDRESS).await;
    assert!(page.contains("owner@demo.example"), "{page}");
    let refused = visitor.submit(&page, "password=short").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("id=\"password-error\""), "{}", refused.text());
    assert_eq!(shop.value("select count(*)::text from users").await, "0");
    let entered = visitor.submit(&page, CHOSEN).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.text());
    assert_eq!(entered.header("location"), Some("/admin"));
    assert_eq!(entered.header("referrer-policy"), Some("no-referrer"));
    let signed_in = cookies(&entered);
    let request = Request::get("/admin/system/staff").header("cookie", &signed_in);
    let listed = shop.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(listed.status, StatusCode::OK);
    assert!(listed.text().contains("owner@demo.example"));
    for _ in 0..2 {
        assert_eq!(visitor.get(ADDRESS).await.status, StatusCode::NOT_FOUND);
        assert_eq!(visitor.post(ADDRESS, CHOSEN).await.status, StatusCode::NOT_FOUND);
    }
    let log = "select string_agg(action || ' ' || (details ->> 'machine'), ', ' order by at, action) from audit_log";
    assert_eq!(shop.value(log).await, "user.role this machine, user.link this machine");

    // An hour later what is dangerous asks for that password, and takes it.
    shop.forget_passwords().await;
    let form = |more: &str| format!("name=NIGHT&permissions=orders.read{more}");
    let send = async |form: String| {
        let request = Request::post("/admin/system/roles/new")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("host", "shop.example")
            .header("cookie", &signed_in);
        shop.send(request.body(axum::body::Body::from(form)).unwrap()).await
    };
    assert!(send(form("")).await.text().contains("confirm_password"));
    let done = send(form("&confirm_password=Quiet-Harbour-7")).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
}

#[tokio::test]
async fn only_one_of_many_at_once_gets_in() {
    let shop = Shop::open_demo(link(TimeDelta::hours(1)), false).await;
    let visitor = shop.stranger();
    let answers = futures::future::join_all((0..16).map(|_| visitor.post(ADDRESS, CHOSEN))).await;
    let entered = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::SEE_OTHER)
        .count();
    assert_eq!(entered, 1);
    assert_eq!(shop.value("select count(*)::text from user_sessions").await, "1");
}

#[tokio::test]
async fn an_expired_link_and_one_in_production_do_not_exist() {
    for (left, production) in [(TimeDelta::seconds(-1), false), (TimeDelta::hours(1), true)] {
        let shop = Shop::open_demo(link(left), production).await;
        assert_eq!(
            shop.stranger().post(ADDRESS, CHOSEN).await.status,
            StatusCode::NOT_FOUND
        );
        assert_eq!(shop.stranger().get(ADDRESS).await.status, StatusCode::NOT_FOUND);
        assert_eq!(shop.value("select count(*)::text from users").await, "0");
    }
    let shop = Shop::open().await;
    assert_eq!(shop.stranger().get(ADDRESS).await.status, StatusCode::NOT_FOUND);
}

/// An account with the owner's address that somebody has taken the role from is not made an owner again.
#[tokio::test]
async fn the_link_gives_nobody_a_role_back() {
    let shop = Shop::open_demo(link(TimeDelta::hours(1)), false).await;
    shop.db.user("owner@demo.example", "0").await;
    shop.db.execute("update users set email_verified = true").await;
    let answer = shop.stranger().post(ADDRESS, CHOSEN).await;
    assert_ne!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(shop.value("select role::text from users").await, "USER");
}
