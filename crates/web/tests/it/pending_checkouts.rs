//! Paying directly: the button, the page that follows the payment, and the checkout that asks.

use http::StatusCode;
use lockstep_testkit::NewGame;

use crate::html::values;
use crate::shop::{Answered, Shop, complete_game};

/// A shop with a game for 10 EUR in the cart of a shopper with this balance.
async fn in_checkout(balance: &str) -> (Shop, NewGame, String) {
    let shop = Shop::open().await;
    let game = complete_game("Harbour of Glass");
    shop.put(std::slice::from_ref(&game)).await;
    let cookies = shop.register("ada@example.org").await;
    shop.db
        .execute(&format!(
            "with paid as (update users set balance = {balance} where {balance} > 0 returning id)
             insert into transactions (user_id, type, amount, status) select id, 'TOP_UP', {balance}, 'COMPLETED' from paid"
        ))
        .await;
    shop.post("/cart/add", &format!("game={}", game.id), &[("cookie", &cookies)])
        .await;
    (shop, game, cookies)
}

fn form(game: &NewGame, key: &str, payment: &str) -> String {
    format!("item={}:1&expected=10.00&payment={payment}&key={key}&promo=", game.id)
}

/// The page behind a redirect.
async fn follow(shop: &Shop, answer: &Answered, cookies: &str) -> Answered {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    shop.get_with(answer.header("location").unwrap(), &[("cookie", cookies)])
        .await
}

/// Decides on the provider's page about what was begun; the provider reports it.
async fn decide(shop: &Shop, decision: &str) {
    let reference: String = sqlx::query_scalar("select reference from top_ups where status = 'PENDING'")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let decided = shop
        .post(
            &format!("/test-payment/{reference}"),
            &format!("decision={decision}"),
            &[],
        )
        .await;
    assert_eq!(decided.status, StatusCode::SEE_OTHER, "{}", decided.text());
}

#[tokio::test]
async fn the_button_says_what_is_paid_now_and_the_page_follows_it_to_the_order() {
    let (shop, game, cookies) = in_checkout("4").await;
    let with = [("cookie", cookies.as_str())];
    let page = shop.get_with("/checkout", &with).await;
    assert!(page.page().contains(">Pay €6.00</button>"), "{}", page.text());
    assert!(
        page.page()
            .contains("your order is placed as soon as the money is here")
    );
    assert!(page.text().contains("name=\"payment\" value=\"6.00\""));

    let begun = shop.post("/checkout", &form(&game, "k-1", "6.00"), &with).await;
    let leaving = follow(&shop, &begun, &cookies).await;
    assert!(
        values(leaving.page(), "href")
            .iter()
            .any(|href| href.starts_with("https://pay.example/session/"))
    );
    let own = begun.header("location").unwrap().replace("?pay=1", "");
    let waiting = shop.get_with(&own, &with).await;
    assert!(
        waiting.page().contains("We are waiting for your payment of €6.00"),
        "{}",
        waiting.text()
    );
    assert!(
        waiting.page().contains("http-equiv=\"refresh\""),
        "it refreshes without scripts"
    );
    let cancelled = shop.get_with(&format!("{own}?cancelled=1"), &with).await;
    assert!(cancelled.page().contains("You have not paid €6.00 yet"));
    assert!(!cancelled.page().contains("http-equiv=\"refresh\""));
    // Sent twice, it is the same payment.
    let again = shop.post("/checkout", &form(&game, "k-1", "6.00"), &with).await;
    assert_eq!(again.header("location"), begun.header("location"));
    // The payment provider leads to the page of the balance, which knows better.
    let id = own.rsplit('/').next().unwrap();
    let back = shop
        .get_with(&format!("/account/balance?topUp={id}&cancelled=1"), &with)
        .await;
    assert_eq!(back.header("location"), Some(&*format!("{own}?cancelled=1")));

    decide(&shop, "pay").await;
    let paid = shop.get_with(&own, &with).await;
    let order = paid.header("location").unwrap().to_owned();
    assert!(
        order.starts_with("/orders/") && order.ends_with("?done=ordered"),
        "{order}"
    );
    let page = shop.get_with(&order, &with).await;
    assert!(
        page.page().contains("Thank you! Your order is paid."),
        "{}",
        page.text()
    );
    assert_eq!(shop.db.count("cart_items").await, 0);
    shop.db.assert_books_balance().await;

    // Nobody else sees it.
    let other = shop.register("bob@example.org").await;
    assert_eq!(
        shop.get_with(&own, &[("cookie", &other)]).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        shop.get_with("/checkout/nothing", &with).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_smallest_payment_is_said_before() {
    let (shop, game, cookies) = in_checkout("9.60").await;
    let with = [("cookie", cookies.as_str())];
    let page = shop.get_with("/checkout", &with).await;
    assert!(page.page().contains(">Pay €1.00</button>"), "{}", page.text());
    assert!(
        page.page()
            .contains("The smallest payment is €1.00: the rest stays on your balance.")
    );
    // A page that showed less is not what the reader has agreed to.
    let refused = shop.post("/checkout", &form(&game, "k-1", "0.40"), &with).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.text().contains("Your balance no longer covers €10.00."),
        "{}",
        refused.text()
    );
    assert_eq!(shop.db.count("top_ups").await, 0);
    assert_eq!(
        shop.post("/checkout", &form(&game, "k-1", "1.00"), &with).await.status,
        StatusCode::SEE_OTHER
    );
    // A page that showed no payment has only the balance.
    let refused = shop.post("/checkout", &form(&game, "k-2", ""), &with).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_order_that_does_not_hold_leads_back_to_the_checkout_with_the_reason() {
    let (shop, game, cookies) = in_checkout("0").await;
    let with = [("cookie", cookies.as_str())];
    let begun = shop.post("/checkout", &form(&game, "k-1", "10.00"), &with).await;
    let own = begun.header("location").unwrap().replace("?pay=1", "");
    shop.db.execute("update games set price = 12").await;
    decide(&shop, "pay").await;
    let asked = shop.get_with(&own, &with).await;
    let page = follow(&shop, &asked, &cookies).await;
    assert!(
        page.page()
            .contains("The total has risen since, so nothing is ordered yet."),
        "{}",
        page.text()
    );
    assert!(page.page().contains(">Pay €2.00</button>"));
    let id = own.rsplit('/').next().unwrap();
    assert!(page.text().contains(&format!("name=\"after\" value=\"{id}\"")));
    // In each language.
    for (language, words) in [
        ("de", "Die Summe ist seitdem gestiegen"),
        ("fr", "Le total a augmenté depuis"),
        ("es", "El total ha subido desde entonces"),
        ("pl", "Suma od tego czasu wzrosła"),
    ] {
        let page = shop
            .get_with(&format!("/checkout?after={id}&lang={language}"), &with)
            .await;
        assert!(page.page().contains(words), "{language}: {}", page.text());
    }
    // The shopper decides: the rest is paid, and this settles the question.
    let more = format!(
        "item={}:1&expected=12.00&payment=2.00&key=k-2&promo=&after={id}",
        game.id
    );
    let begun = shop.post("/checkout", &more, &with).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text());
    assert_eq!(shop.get_with(&own, &with).await.header("location"), Some("/checkout"));
    decide(&shop, "pay").await;
    let placed = shop
        .get_with(&begun.header("location").unwrap().replace("?pay=1", ""), &with)
        .await;
    assert!(placed.header("location").unwrap().starts_with("/orders/"));
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_payment_that_failed_says_so_at_the_checkout() {
    let (shop, game, cookies) = in_checkout("0").await;
    let with = [("cookie", cookies.as_str())];
    let begun = shop.post("/checkout", &form(&game, "k-1", "10.00"), &with).await;
    let own = begun.header("location").unwrap().replace("?pay=1", "");
    decide(&shop, "decline").await;
    let ended = shop.get_with(&own, &with).await;
    let page = follow(&shop, &ended, &cookies).await;
    assert!(
        page.page()
            .contains("The payment did not go through. No money has moved, and nothing is ordered.")
    );
    assert!(page.page().contains(">Pay €10.00</button>"));
}
