//! Every page, as somebody at a desk and somebody with a phone sees it, in light and in dark: it is accessible, fits its
//! window down to 320 px, and meets no trouble. With `LOCKSTEP_SCREENSHOTS` naming a folder (`cargo xtask screenshots`)
//! it also leaves a picture of each.

use std::path::PathBuf;

use lockstep_browser::{Page, Visitor};

use crate::shop::Shop;

/// Pages that need no account: a name for the picture, and the address.
const PUBLIC: &[(&str, &str)] = &[("home", "/"), ("not-found", "/there-is-no-such-page")];

/// The narrowest window that has to do.
const NARROW: u32 = 320;

#[test]
fn every_public_page_is_good_at_a_desk_in_light() {
    look_at(PUBLIC, &Visitor::default());
}

#[test]
fn every_public_page_is_good_at_a_desk_in_dark() {
    look_at(
        PUBLIC,
        &Visitor {
            dark: true,
            ..Visitor::default()
        },
    );
}

#[test]
fn every_public_page_is_good_on_a_phone_in_light() {
    look_at(PUBLIC, &Visitor::on_a_phone());
}

#[test]
fn every_public_page_is_good_on_a_phone_in_dark() {
    look_at(
        PUBLIC,
        &Visitor {
            dark: true,
            ..Visitor::on_a_phone()
        },
    );
}

fn look_at(pages: &[(&str, &str)], visitor: &Visitor) {
    let visit = Shop::open().visit(visitor);
    for (name, address) in pages {
        visit.goto(address);
        check(&visit, name, visitor);
    }
    visit.close();
}

/// What holds for every page.
pub(crate) fn check(page: &Page, name: &str, visitor: &Visitor) {
    page.assert_accessible();
    let overflow = page.overflow();
    assert!(overflow.is_empty(), "{name} is too wide:\n  {}", overflow.join("\n  "));
    if let Some(folder) = std::env::var_os("LOCKSTEP_SCREENSHOTS") {
        let scheme = if visitor.dark { "dark" } else { "light" };
        let file = format!("{name}-{}-{scheme}.png", visitor.width);
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
