//! `GET /pages/{slug}`: what the operator has written: imprint, terms, privacy. And what stands on every page.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::WebState;
use crate::error::PageError;
use crate::feeds;
use crate::impersonation::{self, Acts, Asked};
use crate::layout::{Layout, moment};
use crate::page::fingerprint;
use crate::visit::{OnEveryPage, Preferences};

/// First parts of the addresses of files, on which nothing is written.
const FILES: [&str; 9] = [
    "/assets/",
    "/brand/",
    "/logo/",
    "/images/",
    "/avatars/",
    "/covers/",
    "/api/",
    "/sitemap",
    feeds::FOLDER,
];

#[derive(Template)]
#[template(path = "own.html")]
struct OwnPage {
    layout: Layout,
    title: String,
    /// Language of the text, if it is not the page's.
    language: Option<String>,
    html: String,
}

/// Reads what the operator writes on every page, for the layout of the page that follows, and whether staff act as a
/// customer, which every page shows, too.
pub(crate) async fn read(State(state): State<Arc<WebState>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if FILES.iter().any(|folder| path.starts_with(folder)) {
        return next.run(request).await;
    }
    let site = state.site().await;
    let language = Preferences::of(request.uri(), request.headers()).language;
    let mut shown = OnEveryPage::of(&site, language, state.now());
    if state.settings.shop_name_is_set {
        shown.look.name = None;
    }
    let asked = Asked::of(&state, &request);
    let acts = asked.look(&state).await;
    if let Acts::As(found) = &acts {
        shown.acting = Some((found.email.clone(), found.expires_at));
    }
    let shown = Arc::new(shown);
    request.extensions_mut().insert(Arc::clone(&shown));
    let mut response = impersonation::answer(&state, asked, acts, request, next).await;
    // For the page of an error, which is made at the edge.
    response.extensions_mut().insert(shown);
    response
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    Path(slug): Path<String>,
    visit: Preferences,
) -> Result<Response, PageError> {
    // Only what the footer links to: no other address is looked for, or kept.
    if !visit.site.pages.iter().any(|(known, _)| *known == slug) {
        return Err(PageError::NotFound);
    }
    let name = format!("own:{slug}:{}", visit.variant());
    let own = match state.shop.catalogue().own_page(&slug, visit.language.code()).await {
        Ok(own) => own.ok_or(PageError::NotFound)?,
        // The database is away: what the law wants to be readable stays as it was last shown.
        Err(error) => {
            return match state.page_cache.last(&name) {
                Some(page) => Ok(page.serve(&visit)),
                None => Err(error.into()),
            };
        }
    };
    let made_of = fingerprint(&[own.etag(), &moment(&state)]);
    let page = state.page_cache.get(name, made_of, || {
        let own = own.value()?;
        let page = OwnPage {
            layout: Layout::new(&state, &visit)
                .canonical(format!("/pages/{slug}"))
                .about(own.title.clone()),
            title: own.title.clone(),
            language: (own.language != visit.language.code()).then(|| own.language.clone()),
            html: own.html.clone(),
        };
        Ok(page.render()?)
    })?;
    Ok(page.serve(&visit))
}
