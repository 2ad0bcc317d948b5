//! Finding a game: suggestions, filters, sorting, pages, pictures; themes and languages.

use lockstep_browser_testing::{Key, Visitor};
use serde_json::json;

use crate::shop::{Shop, Visit};

/// Titles of the games on the page, in order.
fn titles(page: &Visit) -> Vec<String> {
    let found = page.evaluate("[...document.querySelectorAll('.results .card h3')].map((title) => title.innerText)");
    serde_json::from_value(found).expect("titles")
}

/// Prices of the games on the page, in cents, in order.
fn prices(page: &Visit) -> Vec<u64> {
    let found = page.evaluate(
        "[...document.querySelectorAll('.results .card .price strong')]
             .map((price) => Number(price.innerText.replace(/[^0-9]/g, '')))",
    );
    serde_json::from_value(found).expect("prices")
}

fn scrolled(page: &Visit) -> i64 {
    page.evaluate("Math.round(scrollY)").as_i64().expect("pixels")
}

/// Waits until the page is scrolled to `place`, in pixels from the top.
fn in_place(page: &Visit, place: i64) {
    page.wait(
        &format!("{place} px from the top"),
        &format!("Math.abs(scrollY - {place}) < 3"),
    );
}

#[test]
fn suggestions_appear_while_typing_and_work_with_the_keyboard() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let game = shop.game(4);
    page.goto("/");
    page.tab_to("#search");
    assert_eq!(page.attribute("#search", "role").as_deref(), Some("combobox"));
    assert_eq!(page.attribute("#search", "aria-expanded").as_deref(), Some("false"));
    page.write(&game.words());
    page.wait_for("[role=option]");
    assert_eq!(page.attribute("#search", "aria-expanded").as_deref(), Some("true"));
    page.assert_accessible();
    page.press(Key::Escape);
    page.wait("no suggestions", "document.querySelector('[role=listbox]').hidden");
    assert_eq!(page.value_of("#search"), game.words(), "what was typed stays");
    page.write(" ");
    page.press(Key::Backspace);
    page.press(Key::Tab);
    page.press(Key::BackTab);
    page.wait("suggestions again", "!document.querySelector('[role=listbox]').hidden");
    // Down and up, around the end, and back into the field.
    page.press(Key::ArrowDown);
    let first = page.text_of("[role=option][aria-selected=true]");
    assert_eq!(
        page.attribute("#search", "aria-activedescendant"),
        page.attribute("[role=option][aria-selected=true]", "id")
    );
    page.press(Key::ArrowUp);
    assert_eq!(page.count("[role=option][aria-selected=true]"), 0);
    assert_eq!(page.attribute("#search", "aria-activedescendant"), None);
    page.press(Key::ArrowDown);
    assert_eq!(page.text_of("[role=option][aria-selected=true]"), first);
    page.press_and_follow(Key::Enter);
    assert!(page.path().starts_with("/game/"), "{}", page.path());
    assert!(first.contains(&page.text_of("h1")), "{first:?}");
    page.close();
}

#[test]
fn suggestions_tolerate_a_typo_and_work_by_touch() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::on_a_phone());
    let game = shop.game(4);
    page.goto("/games");
    // Two letters are swapped.
    let mut letters: Vec<char> = game.words().chars().collect();
    letters.swap(2, 3);
    page.fill("#search", &letters.iter().collect::<String>());
    page.wait_for("[role=option]");
    page.follow("[role=option]");
    assert!(page.path().starts_with("/game/"), "{}", page.path());
    page.close();
}

#[test]
fn filters_are_part_of_a_shareable_address() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    page.goto("/games");
    let everything = page.text_of("[data-count]");
    page.click("[data-facet=genre] label");
    page.wait("the filter in the address", "location.search.includes('genre=')");
    assert_ne!(page.text_of("[data-count]"), everything);
    assert_eq!(
        page.text_of("main > [role=status]"),
        page.text_of("[data-count]"),
        "those who do not see it are told"
    );
    assert_eq!(page.count("[data-facet=genre] input:checked"), 1);
    assert!(page.has_focus("[data-facet=genre] input:checked"), "the focus stays");
    page.choose("#sort", "price-asc");
    page.wait("the order in the address", "location.search.includes('sort=price-asc')");
    assert!(prices(&page).is_sorted(), "{:?}", prices(&page));
    page.assert_accessible();

    let friend = shop.visit(&Visitor::on_a_phone());
    friend.goto(&page.path());
    assert_eq!(titles(&friend), titles(&page));
    assert_eq!(friend.title(), page.title());
    friend.close();

    // Going back removes one filter, going forward adds it again.
    let sorted = page.path();
    page.evaluate("history.back()");
    page.wait("the order before", "!location.search.includes('sort=')");
    page.wait(
        "its games",
        "document.querySelector('#sort').value === '' && document.querySelector('[data-facet=genre] input:checked') !== null",
    );
    page.evaluate("history.back()");
    page.wait(
        "all games",
        &format!(
            "document.querySelector('[data-count]').innerText === {}",
            json!(everything)
        ),
    );
    page.evaluate("history.go(2)");
    page.wait(
        "the sorted ones",
        "document.querySelector('#sort').value === 'price-asc'",
    );
    assert_eq!(page.path(), sorted);
    page.click(".chosen a");
    page.wait(
        "no filter",
        &format!(
            "document.querySelector('[data-count]').innerText === {}",
            json!(everything)
        ),
    );
    page.close();
}

#[test]
fn going_back_restores_the_scroll_position() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::on_a_phone());
    page.goto("/games?sort=price-desc");
    let seen = titles(&page);
    page.evaluate(
        "document.querySelectorAll('.results .card a')[17].scrollIntoView({block: 'center', behavior: 'instant'})",
    );
    page.wait("to be there", "scrollY > 1500");
    let place = scrolled(&page);
    page.follow(".results .card:nth-child(18) a");
    page.back();
    in_place(&page, place);
    assert_eq!(titles(&page), seen);
    assert_eq!(page.path(), "/games?sort=price-desc");

    // A filter that leaves few games, selected far down the page, and back to there.
    page.evaluate(
        "(() => { const form = document.querySelector('form[data-catalogue]');
                  form.elements.min.value = '1'; form.elements.max.value = '1.01';
                  form.elements.max.dispatchEvent(new Event('change', {bubbles: true})); })()",
    );
    page.wait("hardly anything", "location.search.includes('max=1.01')");
    page.wait("a short page", "scrollY < 1500");
    page.evaluate("history.back()");
    in_place(&page, place);
    assert_eq!(titles(&page), seen);
    page.close();
}

#[test]
fn filters_collapse_on_a_phone_and_leave_results_in_view() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::on_a_phone());
    page.goto("/games");
    assert_eq!(page.attribute(".filters", "open"), None);
    page.click(".filters > summary");
    page.click("[data-facet=genre] label");
    page.wait("the filter in the address", "location.search.includes('genre=')");
    assert!(
        page.attribute(".filters", "open").is_some(),
        "more than one can be chosen"
    );
    page.assert_accessible();
    page.click("button|Show games");
    page.wait("folded filters", "!document.querySelector('.filters').open");
    page.wait("the focus", "document.activeElement.tagName === 'H1'");
    let top = page.evaluate("document.querySelector('h1').getBoundingClientRect().top");
    assert!((0.0..844.0).contains(&top.as_f64().expect("pixels")), "{top}");
    page.wait_for(".filters > summary|(1)");
    page.close();
}

#[test]
fn skip_link_in_the_catalogue_sends_no_request() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    page.goto("/games");
    page.evaluate("void (document.querySelector('form[data-catalogue]').dataset.mark = 'same')");
    page.press(Key::Tab);
    assert_eq!(page.focused(), "Skip to content");
    page.press(Key::Enter);
    page.wait("the jump", "location.hash === '#content'");
    assert_eq!(page.count("form[data-catalogue][aria-busy]"), 0);
    assert_eq!(
        page.attribute("form[data-catalogue]", "data-mark").as_deref(),
        Some("same")
    );
    page.close();
}

#[test]
fn gallery_changes_pictures_in_place() {
    let shop = Shop::open();
    let game = shop.game(13);
    // Addresses that are never requested: the drawn placeholders are shown.
    let change =
        json!({"images": ["https://127.0.0.1:9/1.jpg", "https://127.0.0.1:9/2.jpg", "https://127.0.0.1:9/3.jpg"]});
    assert!(
        shop.supplier()
            .patch_product(&game.product, change.as_object().expect("fields").clone())
    );
    shop.fetch(&game);
    let page = shop.visit(&Visitor::default());
    page.goto(&format!("/game/{}", game.slug));
    page.wait_for(".thumbs a");
    assert_eq!(page.count(".thumbs a"), 3);
    let shown = || page.attribute(".stage .shown", "src");
    let first = shown();
    page.click(".thumbs a:nth-child(2)");
    page.wait_for(".thumbs a:nth-child(2)[aria-current=true]");
    assert_eq!(page.count(".thumbs a[aria-current=true]"), 1);
    let second = shown();
    assert_ne!(first, second);
    page.wait(
        "the picture",
        "document.querySelector('.stage .shown').complete && document.querySelector('.stage .shown').naturalWidth > 0",
    );
    page.assert_accessible();
    // The same with the keyboard.
    page.press(Key::Tab);
    assert!(page.has_focus(".thumbs a:nth-child(3)"));
    page.press(Key::Enter);
    page.wait_for(".thumbs a:nth-child(3)[aria-current=true]");
    assert_ne!(shown(), second);
    assert!(page.path().starts_with("/game/"), "{}", page.path());
    page.close();
}

#[test]
fn theme_switches_at_once_and_persists() {
    let shop = Shop::open();
    for scripts in [true, false] {
        let page = shop.visit(&Visitor {
            scripts,
            ..Visitor::default()
        });
        let ground = || page.evaluate("getComputedStyle(document.body).backgroundColor");
        page.goto("/games?sort=newest");
        let light = ground();
        if scripts {
            page.click("footer button|Dark");
        } else {
            page.follow("footer button|Dark");
        }
        page.wait_for("html[data-theme=dark]");
        assert_eq!(page.path(), "/games?sort=newest");
        assert_ne!(ground(), light);
        assert_eq!(
            page.attribute("footer button|Dark", "aria-pressed").as_deref(),
            Some("true")
        );
        page.goto("/cart");
        assert_eq!(page.attribute("html", "data-theme").as_deref(), Some("dark"));
        assert_ne!(ground(), light);
        page.close();
    }
}

#[test]
fn language_switches_at_once_and_persists() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    page.goto("/games?sort=price-asc&price=under-10");
    let seen = titles(&page);
    page.follow("footer a|Deutsch");
    assert_eq!(page.attribute("html", "lang").as_deref(), Some("de"));
    assert_eq!(titles(&page), seen, "the same games in the same order");
    page.wait_for_text("€");
    page.goto("/cart");
    page.wait_for_text("Dein Warenkorb ist leer");
    page.goto(&format!("/game/{}", shop.game(0).slug));
    page.wait_for("main button|Warenkorb");
    page.follow("footer a|English");
    page.wait_for("main button|Add to cart");
    page.close();
}

/// The header covers at most an eighth of the window's height, at any scroll position.
#[test]
fn header_covers_at_most_an_eighth_of_a_phone() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::on_a_phone());
    let game = format!("/game/{}", shop.game(0).slug);
    for address in ["/", "/games", game.as_str(), "/help"] {
        page.goto(address);
        for pixels in [600, 900, 100] {
            page.evaluate(&format!("scrollTo({{ top: {pixels}, behavior: 'instant' }})"));
            if pixels == 100 {
                // Also the header that appears on scrolling up from the middle of the page.
                page.evaluate("scrollTo({ top: 500, behavior: 'instant' })");
            }
            let share = page.evaluate(
                "(() => {
                    const box = document.querySelector('header.site').getBoundingClientRect();
                    const seen = Math.max(0, Math.min(box.bottom, innerHeight) - Math.max(box.top, 0));
                    return seen / innerHeight;
                })()",
            );
            let share = share.as_f64().expect("a number");
            assert!(share <= 0.125, "{address}: {share} of the window is header");
        }
    }
    page.close();
}

/// The log-out button is visible on a phone without horizontal scrolling.
#[test]
fn log_out_is_visible_on_a_phone_without_scrolling() {
    let shop = Shop::open();
    for width in [320, 390] {
        let page = shop.visit(&Visitor::on_a_phone());
        page.register();
        page.resize(width, 780);
        page.goto("/account");
        let place = page.evaluate(
            "(() => {
                const button = document.querySelector('.account-menu form[action=\"/logout\"] button');
                const box = button.getBoundingClientRect();
                const menu = button.closest('.account-menu');
                return [box.left, box.right, innerWidth, menu.scrollWidth - menu.clientWidth, box.width, box.height];
            })()",
        );
        let place: Vec<f64> = serde_json::from_value(place).expect("numbers");
        assert!(
            place[0] >= 0.0 && place[1] <= place[2],
            "{width}: outside of the window: {place:?}"
        );
        assert!(place[3] <= 0.0, "{width}: the menu scrolls sideways: {place:?}");
        assert!(
            place[4] >= 44.0 && place[5] >= 44.0,
            "{width}: too small for a finger: {place:?}"
        );
        page.follow(".account-menu button|Log out");
        page.wait_for_text("You are logged out");
        page.close();
    }
}

/// Opens all values of a filter by touch: nothing inside the page scrolls, and nothing is reloaded.
#[test]
fn filters_have_no_inner_scrolling_on_a_phone() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::on_a_phone());
    page.goto("/games?all=publisher");
    page.evaluate("for (const fold of document.querySelectorAll('.filters, .filters details')) fold.open = true");
    let inner = page.evaluate(
        "[...document.querySelectorAll('.filters, .filters *')].filter((part) =>
            part.scrollHeight > part.clientHeight + 1 && ['auto', 'scroll'].includes(getComputedStyle(part).overflowY)
         ).map((part) => part.className || part.tagName)",
    );
    assert_eq!(inner, json!([]));
    page.assert_accessible();
    page.close();
}
