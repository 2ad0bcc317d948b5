//! Every page on a desktop and on a phone, light and dark, in English and German: it is accessible, fits its window
//! down to 320 px, and causes no errors. With `LOCKSTEP_SCREENSHOTS` naming a folder (`cargo xtask screenshots`) it
//! also saves a picture of each.

use std::path::PathBuf;

use lockstep_browser_testing::{Page, Visitor};

use crate::shop::{PASSWORD, Shop};

/// Pages that need no account: the name of the picture, and the address.
const PUBLIC: &[(&str, &str)] = &[
    ("home", "/"),
    ("not-found", "/there-is-no-such-page"),
    ("style", "/style"),
    ("catalogue", "/games"),
    ("catalogue-filtered", "/games?genre=casual&region=GLOBAL&sort=price-asc"),
    ("catalogue-none", "/games?search=qqqqzzzz&price=over-100"),
    ("preorders", "/preorders"),
    ("help", "/help"),
    ("status", "/status"),
    ("accessibility", "/accessibility"),
    ("withdraw", "/withdraw"),
    ("cart-empty", "/cart"),
    ("wishlist-empty", "/wishlist"),
    ("register", "/register"),
    ("login", "/login?next=/cart"),
    ("forgot-password", "/forgot-password"),
    ("reset-password", "/reset-password?token=none"),
];

/// Pages of a signed-in user with a game in the cart.
const OWN: &[(&str, &str)] = &[
    ("cart", "/cart"),
    ("checkout", "/checkout"),
    ("orders-empty", "/orders"),
    ("keys-empty", "/account/keys"),
    ("balance-empty", "/account/balance"),
    ("wishlist", "/wishlist"),
    ("verify-email", "/verify-email"),
    ("account", "/account"),
    ("account-profile", "/account/profile"),
    ("account-password", "/account/password"),
    ("account-second-factor", "/account/second-factor"),
    ("account-sessions", "/account/sessions"),
    ("account-data", "/account/data"),
    ("account-delete", "/account/delete"),
];

/// What the shop says of its checks is what they are.
#[test]
fn the_accessibility_statement_says_what_is_checked() {
    let record = include_str!("../../../web/accessibility.txt");
    let shop = Shop::open();
    let page = shop.visit(&desk(false));
    page.goto("/accessibility");
    page.assert_accessible();
    let version = page.evaluate("axe.version");
    let version = version.as_str().expect("its version");
    assert!(record.contains(&format!("tool = axe-core {version}\n")), "{record}");
    assert!(
        record.contains(&format!("pages = {}\n", PUBLIC.len() + OWN.len())),
        "{record}"
    );
    page.close();
}

/// The narrowest supported window, in pixels.
const NARROW: u32 = 320;

fn desk(dark: bool) -> Visitor {
    Visitor {
        dark,
        ..Visitor::default()
    }
}

fn phone(dark: bool) -> Visitor {
    Visitor {
        dark,
        ..Visitor::on_a_phone()
    }
}

#[test]
fn pages_pass_on_a_light_desktop() {
    look_at_all(&desk(false));
}

#[test]
fn pages_pass_on_a_dark_desktop() {
    look_at_all(&desk(true));
}

#[test]
fn pages_pass_on_a_light_phone() {
    look_at_all(&phone(false));
}

#[test]
fn pages_pass_on_a_dark_phone() {
    look_at_all(&phone(true));
}

/// German words are longer.
#[test]
fn pages_pass_on_a_german_phone() {
    let visitor = Visitor {
        language: "de-DE,de",
        ..phone(false)
    };
    let shop = Shop::open();
    let page = shop.visit(&visitor);
    for (name, address) in PUBLIC {
        page.goto(address);
        check(&page, name, &visitor);
    }
    page.goto(&format!("/game/{}", shop.game(0).slug));
    check(&page, "game", &visitor);
    page.register();
    for n in 0..3 {
        page.put_into_cart(&shop.game(n).id);
        page.put_onto_wishlist(&shop.game(n + 3).id);
    }
    for (name, address) in OWN {
        page.goto(address);
        check(&page, name, &visitor);
    }
    page.close();
}

/// The other languages: the page with the most words, on a phone.
#[test]
fn the_help_passes_in_every_language() {
    let shop = Shop::open();
    for (language, title) in [("fr-FR,fr", "Aide"), ("es-ES,es", "Ayuda"), ("pl-PL,pl", "Pomoc")] {
        let visitor = Visitor {
            language,
            ..phone(false)
        };
        let page = shop.visit(&visitor);
        page.goto("/help");
        page.wait_for_text(title);
        check(&page, "help", &visitor);
        page.close();
    }
}

fn look_at_all(visitor: &Visitor) {
    let shop = Shop::open();
    let page = shop.visit(visitor);
    for (name, address) in PUBLIC {
        page.goto(address);
        check(&page, name, visitor);
    }
    page.goto(&format!("/game/{}", shop.game(0).slug));
    check(&page, "game", visitor);
    page.goto("/register");
    page.fill("#email", "no address");
    page.follow("main button");
    check(&page, "register-wrong", visitor);

    page.register();
    for n in 0..3 {
        page.put_into_cart(&shop.game(n).id);
        page.put_onto_wishlist(&shop.game(n + 3).id);
    }
    for (name, address) in OWN {
        page.goto(address);
        check(&page, name, visitor);
    }
    page.goto("/account/second-factor");
    page.fill("#password", PASSWORD);
    page.follow("main button|Set up");
    page.wait_for("svg.qr");
    check(&page, "account-second-factor-picture", visitor);

    page.goto("/checkout?promo=NONE");
    check(&page, "checkout-wrong", visitor);
    page.pay();
    check(&page, "checkout-ready", visitor);
    page.buy(3);
    check(&page, "order", visitor);
    for (name, address) in [
        ("orders", "/orders"),
        ("keys", "/account/keys"),
        ("balance", "/account/balance"),
    ] {
        page.goto(address);
        check(&page, name, visitor);
    }
    // An order of which one unit sold out meanwhile; each combination has a game that no other test buys.
    let game = shop.game(20 + usize::from(visitor.dark) + 2 * usize::from(visitor.phone));
    for _ in 0..3 {
        page.put_into_cart(&game.id);
    }
    page.goto("/checkout");
    page.pay();
    assert!(shop.supplier().set_stock(&game.product, 2));
    page.follow("main button|Pay €");
    page.wait_for_text("1 copy refunded");
    check(&page, "order-refunded", visitor);
    page.goto("/account/balance");
    check(&page, "balance-refunded", visitor);
    page.put_onto_wishlist(&game.id);
    page.goto(&format!("/game/{}", game.slug));
    page.wait_for_text("Sold out at the moment");
    page.wait_for(".heart[aria-pressed=true]");
    check(&page, "game-sold-out", visitor);
    page.close();
}

/// Checks that hold for every page.
pub(crate) fn check(page: &Page, name: &str, visitor: &Visitor) {
    page.assert_accessible();
    let overflow = page.overflow();
    assert!(overflow.is_empty(), "{name} is too wide:\n  {}", overflow.join("\n  "));
    if let Some(folder) = std::env::var_os("LOCKSTEP_SCREENSHOTS") {
        let scheme = if visitor.dark { "dark" } else { "light" };
        let language = match visitor.language.get(..2) {
            None | Some("en") => String::new(),
            Some(code) => format!("-{code}"),
        };
        let file = format!("{name}-{}-{scheme}{language}.png", visitor.width);
        page.screenshot(&PathBuf::from(folder).join(file));
    }
    if visitor.phone {
        page.resize(NARROW, visitor.height);
        let overflow = page.overflow();
        assert!(
            overflow.is_empty(),
            "{name} at {NARROW} px:\n  {}",
            overflow.join("\n  ")
        );
        page.resize(visitor.width, visitor.height);
    }
    page.assert_no_trouble();
}
