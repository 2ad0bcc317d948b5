//! The wishlist's hearts, and stock alerts.

use lockstep_browser_testing::{Key, Visitor};

use crate::shop::{PASSWORD, Shop, Visit, new_address};

const HEART: &str = "main .heart";
const EMPTY: &str = "main .heart[aria-pressed=false]";
const FULL: &str = "main .heart[aria-pressed=true]";

/// Waits until the store has answered with the state of the wishlist.
fn answered(page: &Visit) {
    page.wait_for_no("main .heart[aria-busy]");
}

/// The sum of all layout shifts of the page so far, as the browser reports them.
fn layout_shift(page: &Visit) -> f64 {
    let sum = page.evaluate(
        "new Promise((done) => { let sum = 0;
           new PerformanceObserver((list) => { for (const e of list.getEntries()) sum += e.value; })
             .observe({type: 'layout-shift', buffered: true});
           requestAnimationFrame(() => requestAnimationFrame(() => done(sum))); })",
    );
    sum.as_f64().expect("a number")
}

#[test]
fn guest_heart_shows_and_changes_the_wishlist_in_place() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let game = shop.game(14);
    let address = format!("/game/{}", game.slug);
    page.goto(&address);
    page.wait_for(EMPTY);
    assert!(layout_shift(&page) < 0.001, "nothing moves when hearts are filled");
    assert_eq!(page.attribute(HEART, "aria-label").as_deref(), Some("On the wishlist"));
    assert_eq!(page.attribute(HEART, "title").as_deref(), Some("Add to wishlist"));
    assert!(
        page.cookies().iter().all(|cookie| cookie["name"] == "nextGuest"),
        "looking makes nobody a guest: {:?}",
        page.cookies()
    );
    page.click(HEART);
    page.wait_for(FULL);
    answered(&page);
    assert_eq!(page.attribute(HEART, "title").as_deref(), Some("Remove from wishlist"));
    assert_eq!(page.path(), address, "the reader stays where they are");
    page.assert_accessible();
    page.reload();
    page.wait_for(FULL);
    assert!(layout_shift(&page) < 0.001);

    // Removed in another page; a page from the browser's cache is updated.
    page.goto("/wishlist");
    page.wait_for_text(&game.name());
    page.follow("main button|Remove");
    page.back();
    page.back();
    page.wait_for_path("/game/");
    page.wait_for(EMPTY);
    // The keyboard does the same, and the focus stays.
    page.tab_to(HEART);
    page.press(Key::Space);
    answered(&page);
    page.wait_for(FULL);
    assert!(page.has_focus(HEART));
    page.press(Key::Space);
    page.wait_for(EMPTY);
    answered(&page);
    page.goto("/wishlist");
    page.wait_for_text("Nothing on your wishlist yet");
    page.close();
}

#[test]
fn user_heart_is_synchronised_and_localised() {
    let shop = Shop::open();
    let game = shop.game(15);
    let address = format!("/game/{}", game.slug);
    let phone = shop.visit(&Visitor {
        language: "de-DE,de",
        ..Visitor::on_a_phone()
    });
    let email = phone.register();
    phone.goto(&address);
    phone.wait_for(EMPTY);
    assert_eq!(
        phone.attribute(HEART, "aria-label").as_deref(),
        Some("Auf der Merkliste")
    );
    phone.click(HEART);
    phone.wait_for(FULL);
    answered(&phone);
    let desk = shop.visit(&Visitor::default());
    desk.goto(&address);
    desk.wait_for(EMPTY);
    desk.log_in(&email);
    desk.goto(&address);
    desk.wait_for(FULL);
    // A double click is one change.
    desk.evaluate("for (const _ of [1, 2]) document.querySelector('main .heart').click()");
    desk.wait_for(EMPTY);
    answered(&desk);
    desk.goto("/wishlist");
    desk.wait_for_text("Nothing on your wishlist yet");
    phone.close();
    desk.close();
}

#[test]
fn heart_without_scripts_adds_the_game_and_shows_the_wishlist() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor {
        scripts: false,
        ..Visitor::on_a_phone()
    });
    let game = shop.game(16);
    page.goto(&format!("/game/{}", game.slug));
    assert_eq!(page.attribute(HEART, "aria-pressed"), None);
    page.follow("main button|Add to wishlist");
    page.wait_for_text("Added to your wishlist");
    page.wait_for_text(&game.name());
    page.follow("main button|Remove");
    page.wait_for_text("Nothing on your wishlist yet");
    page.close();
}

#[test]
fn heart_falls_back_to_its_form_when_the_request_is_lost() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let game = shop.game(17);
    page.goto(&format!("/game/{}", game.slug));
    page.wait_for(EMPTY);
    page.evaluate("void (window.fetch = () => Promise.reject(new TypeError('the network is away')))");
    page.follow(HEART);
    assert_eq!(page.path(), "/wishlist?done=wished");
    page.wait_for_text(&game.name());
    page.close();
}

#[test]
fn stock_alert_is_emailed_when_the_game_is_back() {
    let shop = Shop::open();
    let game = shop.game(11);
    shop.stock(&game, 0);
    let page = shop.visit(&Visitor::on_a_phone());
    let address = format!("/game/{}", game.slug);
    page.goto(&address);
    page.wait_for_text("Sold out at the moment");
    page.assert_accessible();
    page.wait_for(EMPTY);
    // A guest registers on the way, and confirms once more.
    page.follow("main button|E-mail me when it’s back");
    assert!(page.path().starts_with("/login?next="), "{}", page.path());
    page.follow("main a|Create an account");
    let email = new_address();
    page.fill("#email", &email);
    page.fill("#password", PASSWORD);
    page.follow("main button|Create account");
    page.wait_for_text("Get an e-mail when it’s back?");
    page.wait_for_text(&game.name());
    page.assert_accessible();
    page.follow("main button|E-mail me when it’s back");
    page.wait_for_text("We’ll e-mail you as soon as it’s back in stock");
    page.wait_for(&format!("#waiting a|{}", game.name()));
    page.assert_accessible();

    shop.stock(&game, 5);
    let message = shop.queued_email(&email, "is back in stock");
    let origin = page.evaluate("location.origin");
    let link = format!("{}{address}", origin.as_str().expect("an address"));
    assert!(message.contains(&link), "{message}");
    page.goto(&address);
    page.wait_for("main button|Add to cart");
    page.goto("/wishlist");
    page.wait_for_no("#waiting");
    page.close();
}
