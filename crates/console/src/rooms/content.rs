//! Content: what the shop says. Articles, questions, e-mails, own pages, and its looks.

mod articles;
mod banners;
mod branding;
mod emails;
mod feeds;
mod logo;
mod pages;
mod questions;

use askama::Template;
use axum::response::Response;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::page;

use crate::gate::{Route, at};
use crate::layout::Layout;
use crate::staff::Staff;

/// Every page of the room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        at("/admin/content").get(Permission::ContentRead, page),
        at("/admin/content/articles").get(Permission::ContentRead, articles::list),
        at("/admin/content/articles/new")
            .get(Permission::ContentWrite, articles::new_page)
            .post(Permission::ContentWrite, articles::create),
        at("/admin/content/articles/{id}")
            .get(Permission::ContentRead, articles::page)
            .post(Permission::ContentWrite, articles::change),
        at("/admin/content/articles/{id}/delete")
            .get(Permission::ContentWrite, articles::delete_page)
            .post(Permission::ContentWrite, articles::delete),
        at("/admin/content/questions").get(Permission::ContentRead, questions::list),
        at("/admin/content/questions/new")
            .get(Permission::ContentWrite, questions::new_page)
            .post(Permission::ContentWrite, questions::create),
        at("/admin/content/questions/{id}")
            .get(Permission::ContentWrite, questions::page)
            .post(Permission::ContentWrite, questions::change),
        at("/admin/content/questions/{id}/delete")
            .get(Permission::ContentWrite, questions::delete_page)
            .post(Permission::ContentWrite, questions::delete),
        at("/admin/content/pages").get(Permission::ContentRead, pages::list),
        at("/admin/content/pages/new")
            .get(Permission::ContentWrite, pages::new_page)
            .post(Permission::ContentWrite, pages::create),
        at("/admin/content/pages/{slug}/{language}")
            .get(Permission::ContentRead, pages::page)
            .post(Permission::ContentWrite, pages::change),
        at("/admin/content/pages/{slug}/{language}/delete")
            .get(Permission::ContentWrite, pages::delete_page)
            .post(Permission::ContentWrite, pages::delete),
        at("/admin/content/banners").get(Permission::ContentRead, banners::list),
        at("/admin/content/banners/{language}")
            .get(Permission::ContentWrite, banners::page)
            .post(Permission::ContentWrite, banners::change),
        at("/admin/content/banners/{language}/delete")
            .get(Permission::ContentWrite, banners::delete_page)
            .post(Permission::ContentWrite, banners::delete),
        at("/admin/content/branding")
            .get(Permission::ContentRead, branding::page)
            .post(Permission::ContentWrite, branding::change),
        at("/admin/content/feeds").get(Permission::ContentRead, feeds::page),
        at(logo::LOGO).get(Permission::ContentWrite, logo::page),
        at(logo::UPLOAD).upload(Permission::ContentWrite, logo::upload),
        at("/admin/content/branding/logo/remove").post(Permission::ContentWrite, logo::remove),
        at("/admin/content/emails").get(Permission::EmailRead, emails::list),
        at("/admin/content/emails/{name}/{language}")
            .get(Permission::EmailRead, emails::page)
            .post(Permission::EmailWrite, emails::change),
        at("/admin/content/emails/{name}/{language}/reset")
            .get(Permission::EmailWrite, emails::reset_page)
            .post(Permission::EmailWrite, emails::reset),
        at("/admin/content/emails/{name}/{language}/test")
            .get(Permission::EmailWrite, emails::test_page)
            .post(Permission::EmailWrite, emails::test),
    ]
}

/// A page of the room: address, name, what it is for.
struct Place {
    address: &'static str,
    name: &'static str,
    about: &'static str,
}

#[derive(Template)]
#[template(path = "places.html")]
struct PlacesPage {
    layout: Layout,
    places: Vec<Place>,
}

/// The pages of the room, with what each needs.
const PLACES: [(&str, &str, &str, Permission); 7] = [
    (
        "/admin/content/articles",
        "content.articles",
        "content.articles.about",
        Permission::ContentRead,
    ),
    (
        "/admin/content/questions",
        "content.questions",
        "content.questions.about",
        Permission::ContentRead,
    ),
    (
        "/admin/content/pages",
        "content.pages",
        "content.pages.about",
        Permission::ContentRead,
    ),
    (
        "/admin/content/banners",
        "content.banners",
        "content.banners.about",
        Permission::ContentRead,
    ),
    (
        "/admin/content/branding",
        "content.branding",
        "content.branding.about",
        Permission::ContentRead,
    ),
    (
        "/admin/content/feeds",
        "content.feeds",
        "content.feeds.about",
        Permission::ContentRead,
    ),
    (
        "/admin/content/emails",
        "content.emails",
        "content.emails.about",
        Permission::EmailRead,
    ),
];

/// `GET /admin/content`
async fn page(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let places = PLACES
        .iter()
        .filter(|(.., permission)| staff.may(*permission))
        .map(|(address, name, about, _)| Place {
            address,
            name: words.text(name),
            about: words.text(about),
        });
    page::private(&PlacesPage {
        places: places.collect(),
        layout: Layout::new(&staff, words.text("content.room").to_owned(), &[]),
    })
}

/// The layout of a page of the room, below the pages `above`: name and address.
fn layout(staff: &Staff, title: String, above: &[(&str, &str)]) -> Layout {
    let words = staff.words();
    let mut crumbs = Vec::new();
    if staff.may(Permission::ContentRead) {
        crumbs.push((words.text("content.room"), "/admin/content"));
    }
    crumbs.extend_from_slice(above);
    Layout::new(staff, title, &crumbs)
}

fn yes_or_no(staff: &Staff, is_so: bool) -> String {
    let key = if is_so { "content.yes" } else { "content.no" };
    staff.words().text(key).to_owned()
}
