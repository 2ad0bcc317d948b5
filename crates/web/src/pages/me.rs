//! `GET /fragments/me?game=…`: the personal parts of pages that are the same for all readers, in one response: the
//! header's part, and which of the page's games are on the reader's wishlist. `site.js` inserts both.
//!
//! Without scripts the header shows plain links to account and cart, which identify the reader, and a heart adds its
//! game to the wishlist, which shows its contents.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_domain::GameId;

use crate::error::PageError;
use crate::header::Me;
use crate::layout::Layout;
use crate::session::PageUser;
use crate::visit::Preferences;
use crate::{WebState, page};

#[derive(Template)]
#[template(path = "fragments/me.html")]
struct Fragment {
    layout: Layout,
    me: Me,
    /// Games of the page that are on the wishlist.
    wished: Vec<String>,
}

/// Maximum number of games of one page that are looked up.
const MAX_HEARTS: usize = 100;

pub(crate) async fn fragment(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
) -> Result<Response, PageError> {
    let hearts: Vec<GameId> = visit
        .pairs()
        .filter(|(name, _)| name == "game")
        .filter_map(|(_, id)| id.parse().map(GameId).ok())
        .take(MAX_HEARTS)
        .collect();
    let wished = if hearts.is_empty() {
        Vec::new()
    } else {
        let wishlist = reader.context.wishlist().await?.read()?;
        let on_it = |id: &GameId| wishlist.items.iter().any(|wish| wish.game.id == *id);
        hearts.iter().filter(|id| on_it(id)).map(ToString::to_string).collect()
    };
    let fragment = Fragment {
        layout: Layout::new(&state, &visit),
        me: Me::of(&reader.context).await?,
        wished,
    };
    // Not stored: on going back, browsers show a cached copy without revalidating it, whatever its headers say.
    Ok(page::secret(StatusCode::OK, fragment.render()?))
}
