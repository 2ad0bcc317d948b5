//! The final cost of an order: promo codes, units that sold out meanwhile, keys that are files, and paying on another
//! site.

use lockstep_browser_testing::{Key, Visitor};
use lockstep_domain::Money;
use serde_json::json;

use crate::shop::{Game, Shop, Visit};

/// An amount in English format.
fn euro(amount: Money) -> String {
    format!("€{amount}")
}

fn times(price: Money, copies: u32) -> Money {
    price.checked_mul(copies).expect("an amount")
}

/// The amount beside a label: `Paid` is `€9.99`.
fn sum(page: &Visit, label: &str) -> String {
    let found = page.evaluate(&format!(
        "[...document.querySelectorAll('.sums div')].find((row) => row.querySelector('dt').innerText === {})
             ?.querySelector('dd').innerText ?? ''",
        json!(label)
    ));
    found.as_str().unwrap_or_default().to_owned()
}

/// Registers a user, puts `copies` copies of a game into the cart and goes to the checkout. Returns the user's address.
fn in_checkout(page: &Visit, game: &Game, copies: u32) -> String {
    let email = page.register();
    page.put_into_cart(&game.id);
    page.goto("/cart");
    if copies > 1 {
        page.fill("input[name=quantity]", &copies.to_string());
        page.press_and_follow(Key::Enter);
    }
    page.follow("a|Checkout");
    email
}

#[test]
fn promo_code_survives_the_payment_page_and_is_used_by_the_order() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::on_a_phone());
    let game = shop.game(7);
    in_checkout(&page, &game, 2);
    page.fill("#promo", "NONSENSE");
    page.press_and_follow(Key::Enter);
    page.wait_for_text("This code isn’t valid");
    assert_eq!(
        page.attribute("#promo", "aria-describedby").as_deref(),
        Some("promo-error")
    );
    assert_eq!(sum(&page, "Total"), euro(times(game.price, 2)));
    page.fill("#promo", "gkeys10");
    page.follow("main button|Apply");
    let total = sum(&page, "Total");
    assert!(!sum(&page, "Discount (gkeys10)").is_empty(), "{}", page.text());
    assert_ne!(total, euro(times(game.price, 2)));
    page.assert_accessible();
    // On to the cart and back, and over the payment page and back: it still applies.
    page.goto("/cart");
    page.follow("a|Checkout");
    assert_eq!(sum(&page, "Total"), total);
    page.pay();
    assert_eq!(sum(&page, "Total"), total);
    assert_eq!(page.value_of("#promo"), "gkeys10");
    page.buy(2);
    assert_eq!(sum(&page, "Paid"), total);
    assert!(sum(&page, "Discount").starts_with('-'), "{}", page.text());

    page.put_into_cart(&game.id);
    page.goto("/checkout");
    assert_eq!(page.value_of("#promo"), "", "the next order begins without it");
    page.close();
}

#[test]
fn promo_code_can_be_removed() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let game = shop.game(7);
    in_checkout(&page, &game, 1);
    page.fill("#promo", "GKEYS10");
    page.press_and_follow(Key::Enter);
    assert_ne!(sum(&page, "Total"), euro(game.price));
    page.fill("#promo", "");
    page.press_and_follow(Key::Enter);
    assert_eq!(sum(&page, "Total"), euro(game.price));
    page.goto("/checkout");
    assert_eq!(sum(&page, "Total"), euro(game.price));
    assert_eq!(page.value_of("#promo"), "");
    page.close();
}

#[test]
fn pages_show_the_exact_refund_of_one_sold_out_unit_of_three() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let game = shop.game(10);
    let (price, paid) = (game.price, times(game.price, 3));
    let email = in_checkout(&page, &game, 3);
    page.pay();
    // Between the order and the purchase another buyer takes all but two.
    assert!(shop.supplier().set_stock(&game.product, 2));
    page.follow("main button|Pay €");
    page.wait_for_text("Thank you!");
    page.wait_for("[data-order-status]|Partly refunded · 2 of 3 keys are there · 1 copy refunded");
    assert_eq!(page.count("code.key"), 2);
    let why = format!(
        "Sold out before we could buy it: {} is back on your balance",
        euro(price)
    );
    page.wait_for(&format!("main .keys li|{why}"));
    assert_eq!(sum(&page, "Paid"), euro(paid));
    assert_eq!(sum(&page, "Back on your balance"), format!("-{}", euro(price)));
    assert_eq!(sum(&page, "What it cost you"), euro(times(price, 2)));
    page.assert_accessible();

    page.follow("main a|Balance");
    assert_eq!(page.path(), "/account/balance");
    let topped_up = paid.max("1".parse().expect("an amount"));
    let left = topped_up.checked_sub(times(price, 2)).expect("money that is left");
    assert_eq!(page.text_of("p.amount"), euro(left));
    let bookings = page.text_of(".rows");
    for told in [
        format!("Refund\n{}\nIt sold out before we could buy it.", game.name()),
        format!("Purchase\n3 × {}", game.name()),
        format!("+{}", euro(price)),
        format!("-{}", euro(paid)),
        format!("+{}", euro(topped_up)),
    ] {
        assert!(
            squeezed(&bookings).contains(&squeezed(&told)),
            "{told:?} is not in:\n{bookings}"
        );
    }
    page.assert_accessible();
    page.follow(".rows a|Refund");
    assert!(page.path().starts_with("/orders/"), "{}", page.path());
    page.goto("/orders");
    page.wait_for(".rows .tag|Partly refunded");

    let message = shop.queued_email(&email, "refunded their price to your balance");
    assert!(message.contains("sold out before it could be bought"), "{message}");
    assert!(!message.contains(" Key GLOBAL"), "a raw listing: {message}");
    // The game cannot be sold to others either.
    page.goto(&format!("/game/{}", game.slug));
    page.wait_for_text("Sold out at the moment");
    page.close();
}

/// Without layout white space.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn file_key_is_downloaded() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let game = shop.game(12);
    let change = json!({"isFile": true});
    assert!(
        shop.supplier()
            .patch_product(&game.product, change.as_object().expect("fields").clone())
    );
    in_checkout(&page, &game, 1);
    page.pay();
    page.follow("main button|Pay €");
    page.wait_for_text("1 of 1 keys are there");
    assert_eq!(page.count("code.key"), 0);
    page.assert_accessible();
    let (name, bytes) = page.download("main a|Download key");
    assert!(
        std::path::Path::new(&name)
            .extension()
            .is_some_and(|ending| ending == "txt"),
        "{name}"
    );
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.starts_with("Your key: "), "{text}");
    page.close();
}

#[path = "../../../payments/tests/it/stand_in.rs"]
#[expect(dead_code, reason = "its own tests need more of it")]
#[expect(clippy::unwrap_used, reason = "a stand-in that cannot go on fails its test")]
mod stand_in;

#[test]
fn order_is_placed_by_its_payment_on_another_site() {
    let others = Shop::open();
    let stripe = others.run(stand_in::StandIn::start());
    let shop = Shop::open_with(vec![
        ("STRIPE_SECRET_KEY", stand_in::API_KEY.to_owned()),
        ("STRIPE_WEBHOOK_SECRET", stand_in::WEBHOOK_SECRET.to_owned()),
        ("STRIPE_API_URL", stripe.url.clone()),
    ]);
    let page = shop.visit(&Visitor::default());
    let game = shop.game(8);
    in_checkout(&page, &game, 1);
    page.fill("#promo", "GKEYS10");
    page.press_and_follow(Key::Enter);
    let total = sum(&page, "Total");

    // To the payment page, and back without paying.
    page.follow("main button|Pay €");
    page.wait("the payment page", "location.hostname === 'localhost'");
    page.follow("a|Back to the shop");
    page.wait_for_text("You have not paid");
    page.assert_accessible();
    page.follow("main a|To the payment page");
    page.wait("the payment page", "location.hostname === 'localhost'");
    page.follow("button|Pay");
    page.wait_for_text("Thank you!");
    page.wait_for_text("1 of 1 keys are there");
    assert_eq!(sum(&page, "Paid"), total, "with the promo code");
    assert_eq!(stripe.sessions().len(), 1, "one payment for it all");
    page.close();
}
