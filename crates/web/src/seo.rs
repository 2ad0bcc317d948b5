//! Machine-readable parts of pages: schema.org data, sitemap, robots, manifest.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use lockstep_domain::branding::Ground;
use lockstep_domain::catalogue::Game;
use lockstep_shop::catalogue::Address;
use serde_json::json;

use crate::WebState;
use crate::error::PageError;
use crate::i18n::Language;
use crate::layout::Layout;
use crate::{assets, format};

/// Number of games in one part of the sitemap, each with its address in every language: about 2 MB, which are kept in
/// memory. Search engines accept 50,000.
const PART: u32 = 2_500;

/// A game and its offer as schema.org JSON-LD, for a script element.
pub(crate) fn product(layout: &Layout, game: &Game, name: &str, image: &str) -> String {
    let availability = match (game.in_stock, game.is_preorder) {
        (true, true) => "https://schema.org/PreOrder",
        (true, false) => "https://schema.org/InStock",
        (false, _) => "https://schema.org/OutOfStock",
    };
    let address = layout.absolute(&layout.canonical);
    let mut product = json!({
        "@context": "https://schema.org",
        "@graph": [
            {
                "@type": ["Product", "VideoGame"],
                "name": name,
                "description": layout.about,
                "image": image,
                "sku": game.id.to_string(),
                "url": address,
                "gamePlatform": game.platforms,
                "genre": game.genres,
                "inLanguage": game.languages,
                "offers": {
                    "@type": "Offer",
                    "price": game.price.to_string(),
                    "priceCurrency": game.currency,
                    "availability": availability,
                    "itemCondition": "https://schema.org/NewCondition",
                    "url": address,
                    "seller": { "@type": "Organization", "name": layout.shop() },
                },
            },
            {
                "@type": "BreadcrumbList",
                "itemListElement": [
                    { "@type": "ListItem", "position": 1, "name": layout.t("nav.games"), "item": layout.absolute("/games") },
                    { "@type": "ListItem", "position": 2, "name": name, "item": address },
                ],
            },
        ],
    });
    if let Some(node) = product
        .pointer_mut("/@graph/0")
        .and_then(serde_json::Value::as_object_mut)
    {
        // A reduction is shown only for a game that can be bought.
        if let (Some(lowest), true) = (game.lowest_price_30d, game.in_stock)
            && let Some(offer) = node.get_mut("offers").and_then(serde_json::Value::as_object_mut)
        {
            offer.insert(
                "priceSpecification".into(),
                json!({
                    "@type": "UnitPriceSpecification",
                    "priceType": "https://schema.org/StrikethroughPrice",
                    "price": lowest.to_string(),
                    "priceCurrency": game.currency,
                }),
            );
        }
        if let Some(publisher) = &game.publisher {
            node.insert(
                "publisher".into(),
                json!({ "@type": "Organization", "name": publisher }),
            );
            node.insert("brand".into(), json!({ "@type": "Brand", "name": publisher }));
        }
        if game.is_preorder && game.release_date_known {
            node.insert("releaseDate".into(), json!(format::iso_date(game.release_date)));
        }
    }
    inside_script(&product.to_string())
}

/// The shop and the questions of its help page as schema.org JSON-LD, for a script element.
pub(crate) fn questions<'a>(layout: &Layout, questions: impl Iterator<Item = (&'a str, String)>) -> String {
    let operator = &layout.settings.operator;
    let mut shop = json!({
        "@type": "Organization",
        "name": layout.shop(),
        "url": layout.absolute("/"),
        "logo": layout.absolute(assets::address("icon.svg")),
    });
    if let (Some(node), Some(email)) = (shop.as_object_mut(), &operator.contact_email) {
        node.insert("email".into(), json!(email));
        let contact = json!({
            "@type": "ContactPoint",
            "contactType": "customer support",
            "email": email,
            "availableLanguage": Language::ALL.map(Language::code),
        });
        node.insert("contactPoint".into(), contact);
    }
    let questions: Vec<_> = questions
        .map(|(question, answer)| {
            json!({
                "@type": "Question",
                "name": question,
                "acceptedAnswer": { "@type": "Answer", "text": answer },
            })
        })
        .collect();
    let page = json!({
        "@type": "FAQPage",
        "url": layout.absolute(&layout.canonical),
        "inLanguage": layout.words.code(),
        "mainEntity": questions,
    });
    inside_script(&json!({ "@context": "https://schema.org", "@graph": [page, shop] }).to_string())
}

/// JSON that cannot close the script element around it.
fn inside_script(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// `GET /robots.txt`
pub(crate) async fn robots(State(state): State<Arc<WebState>>) -> Response {
    let text = format!(
        "User-agent: *\nDisallow: /api/\nDisallow: /cart\nDisallow: /checkout\nDisallow: /account\nDisallow: /fragments/\n\
         Disallow: /*?*search=\nDisallow: /*?*sort=\n\nSitemap: {}/sitemap.xml\n",
        state.settings.public_url
    );
    served(text.into(), "text/plain; charset=utf-8", "public, max-age=3600")
}

/// `GET /site.webmanifest`
pub(crate) async fn manifest(State(state): State<Arc<WebState>>) -> Response {
    let site = state.site().await;
    let look = &site.look;
    let name = look.name.as_ref().filter(|_| !state.settings.shop_name_is_set);
    let name = name.unwrap_or(&state.settings.shop_name);
    let accent = look.accent_light.unwrap_or(Ground::Light.usual_accent());
    let manifest = json!({
        "name": name,
        "short_name": name,
        "start_url": "/",
        "display": "browser",
        "background_color": "#fbfaf7",
        "theme_color": accent,
        "icons": [{ "src": assets::address("icon.svg"), "sizes": "any", "type": "image/svg+xml", "purpose": "any" }],
    });
    served(
        manifest.to_string().into(),
        "application/manifest+json",
        "public, max-age=3600",
    )
}

/// `GET /sitemap.xml`: the list of parts.
pub(crate) async fn sitemap(State(state): State<Arc<WebState>>) -> Result<Response, PageError> {
    let origin = state.settings.public_url.clone();
    let write = move |listed: u64| {
        let parts = listed.div_ceil(u64::from(PART)).max(1);
        let mut xml = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
        );
        for part in 1..=parts {
            let _infallible = writeln!(xml, "<sitemap><loc>{origin}/sitemap/{part}.xml</loc></sitemap>");
        }
        xml.push_str("</sitemapindex>\n");
        xml
    };
    let xml = state.shop.catalogue().sitemap(write).await?;
    Ok(served(xml, "application/xml", "public, max-age=3600"))
}

/// `GET /sitemap/{part}.xml`: the addresses of games, each in every language. The first part begins with the other
/// pages.
pub(crate) async fn sitemap_part(
    State(state): State<Arc<WebState>>,
    Path(file): Path<String>,
) -> Result<Response, PageError> {
    let part: u32 = file
        .strip_suffix(".xml")
        .filter(|digits| digits.len() <= 4 && digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|part| *part >= 1)
        .ok_or(PageError::NotFound)?;
    let origin = state.settings.public_url.clone();
    let write = move |games: &[Address]| urls(&origin, part, games);
    let xml = state.shop.catalogue().sitemap_part(part, PART, write).await?;
    let xml = xml.ok_or(PageError::NotFound)?;
    Ok(served(xml, "application/xml", "public, max-age=3600"))
}

fn urls(origin: &str, part: u32, games: &[Address]) -> String {
    let mut xml = String::with_capacity(games.len() * 800 + 800);
    xml.push_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" \
         xmlns:xhtml=\"http://www.w3.org/1999/xhtml\">\n",
    );
    let pages = ["/", "/games", "/preorders", "/help"].map(|path| (path.to_owned(), None));
    let games = games
        .iter()
        .map(|game| (format!("/game/{}", game.slug), Some(format::iso_date(game.changed_at))));
    for (path, changed) in pages.into_iter().filter(|_| part == 1).chain(games) {
        let _infallible = write!(xml, "<url><loc>{origin}{path}?lang=en</loc>");
        if let Some(changed) = changed {
            let _infallible = write!(xml, "<lastmod>{changed}</lastmod>");
        }
        for language in Language::ALL {
            let code = language.code();
            let _infallible = write!(
                xml,
                "<xhtml:link rel=\"alternate\" hreflang=\"{code}\" href=\"{origin}{path}?lang={code}\"/>"
            );
        }
        xml.push_str("</url>\n");
    }
    xml.push_str("</urlset>\n");
    xml
}

fn served(body: bytes::Bytes, kind: &'static str, keep: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_ld_cannot_close_its_script_element() {
        let text = inside_script(&json!({ "name": "</script><script>alert(1)</script><!-- & \u{2028}" }).to_string());
        assert!(!text.contains(['<', '>', '&', '\u{2028}']), "{text}");
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["name"], "</script><script>alert(1)</script><!-- & \u{2028}");
    }
}
