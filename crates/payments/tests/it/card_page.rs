//! The sandbox's payment page over HTTP, card by card, and what the shop books of it.

use axum::http::StatusCode;
use lockstep_domain::ids::UserId;
use lockstep_stripe_sandbox::Card;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use crate::cards::{World, money};

/// A browser before the page of a top-up of 20 €.
struct Page {
    world: World,
    browser: Client,
    address: String,
}

impl Page {
    async fn open() -> Self {
        let world = World::new().await;
        let begun = world.payments.begin(UserId(world.user), money("20"), "card", None);
        let redirect_url = begun.await.unwrap().redirect_url;
        Self {
            world,
            browser: Client::builder().no_proxy().redirect(Policy::none()).build().unwrap(),
            address: redirect_url.unwrap(),
        }
    }

    async fn text(&self) -> String {
        let answer = self.browser.get(&self.address).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    }

    /// Submits the form of cards, and what else is in it.
    async fn choose(&self, card: &str, more: &[(&str, &str)]) -> Response {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("card", card).extend_pairs(more);
        let sent = self.browser.post(&self.address).body(form.finish());
        sent.send().await.unwrap()
    }

    /// Takes the webhooks; returns the balance, what disputes hold and what they are owed.
    async fn booked(&self) -> String {
        self.world.deliver(0).await;
        self.world.due().await;
        self.world.payments.work_on_cards().await.unwrap();
        self.world.db.assert_books_balance().await;
        self.world.sums().await
    }
}

/// Whether the browser is sent back to the shop.
fn returns_to_the_shop(answer: &Response) -> bool {
    let location = answer.headers().get("location").and_then(|to| to.to_str().ok());
    answer.status() == StatusCode::SEE_OTHER && location.is_some_and(|to| to.starts_with("https://shop.example/"))
}

#[tokio::test]
async fn a_card_that_pays_is_charged_once_and_leads_back_to_the_shop() {
    let page = Page::open().await;
    let shown = page.text().await;
    assert!(shown.contains("Pay 20.00 EUR"), "{shown}");
    for card in Card::ALL {
        assert!(shown.contains(card.number()), "{shown}");
    }
    assert!(returns_to_the_shop(&page.choose(Card::Succeeds.number(), &[]).await));
    assert_eq!(page.booked().await, "20.00, 0.00, 0.00, 0.00, 0.00");
    // The page has ended: sent again, as by a second click, it takes nothing.
    assert!(page.text().await.contains("This page has ended"));
    assert!(!returns_to_the_shop(&page.choose(Card::Succeeds.number(), &[]).await));
    assert_eq!(page.booked().await, "20.00, 0.00, 0.00, 0.00, 0.00");
    assert_eq!(page.world.stripe.objects("charge").len(), 1);
}

#[tokio::test]
async fn a_declined_card_takes_nothing_and_another_one_pays() {
    let page = Page::open().await;
    let declined = page.choose(Card::Declined.number(), &[]).await;
    assert_eq!(declined.status(), StatusCode::OK);
    let told = declined.text().await.unwrap();
    assert!(told.contains("The card was declined"), "{told}");
    assert_eq!(page.booked().await, "0.00, 0.00, 0.00, 0.00, 0.00");
    assert!(returns_to_the_shop(&page.choose(Card::Succeeds.number(), &[]).await));
    assert_eq!(page.booked().await, "20.00, 0.00, 0.00, 0.00, 0.00");
}

#[tokio::test]
async fn a_card_with_3d_secure_pays_only_when_it_is_completed() {
    let page = Page::open().await;
    let card = Card::Authenticates.number();
    let asked = page.choose(card, &[]).await;
    assert_eq!(asked.status(), StatusCode::OK);
    let question = asked.text().await.unwrap();
    assert!(question.contains("3-D Secure") && question.contains(card), "{question}");
    assert_eq!(page.booked().await, "0.00, 0.00, 0.00, 0.00, 0.00");
    // “Fail authentication” sends the card that is declined.
    assert!(question.contains(Card::Declined.number()), "{question}");
    let failed = page.choose(Card::Declined.number(), &[]).await;
    assert!(failed.text().await.unwrap().contains("The card was declined"));
    assert_eq!(page.booked().await, "0.00, 0.00, 0.00, 0.00, 0.00");
    assert!(returns_to_the_shop(
        &page.choose(card, &[("authenticated", "yes")]).await
    ));
    assert_eq!(page.booked().await, "20.00, 0.00, 0.00, 0.00, 0.00");
}

#[tokio::test]
async fn a_card_that_is_disputed_pays_and_its_money_is_held() {
    let page = Page::open().await;
    assert!(returns_to_the_shop(&page.choose(Card::Disputed.number(), &[]).await));
    assert_eq!(page.booked().await, "0.00, 20.00, 0.00, 0.00, 0.00");
    assert!(page.world.open_incidents().await.contains(&"DISPUTE".to_owned()));
}

#[tokio::test]
async fn the_page_refuses_unknown_cards_and_does_not_exist_for_unknown_sessions() {
    let page = Page::open().await;
    let unknown = page.choose("4111111111111111", &[]).await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
    let elsewhere = format!("{}/cs_nobody", page.world.stripe.pages());
    let shown = page.browser.get(&elsewhere).send().await.unwrap();
    assert_eq!(shown.status(), StatusCode::NOT_FOUND);
    let card = format!("card={}", Card::Succeeds.number());
    let paid = page.browser.post(&elsewhere).body(card).send().await.unwrap();
    assert_eq!(paid.status(), StatusCode::NOT_FOUND);
    assert_eq!(page.booked().await, "0.00, 0.00, 0.00, 0.00, 0.00");
}
