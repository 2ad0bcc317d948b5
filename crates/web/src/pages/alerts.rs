//! Stock alerts ("Tell me when it is back"). The game page is the same for all readers, so its button does not depend
//! on the reader. A signed-in user gets the alert and is redirected to the wishlist, which lists alerts; anyone else
//! logs in first and returns to a page that asks for confirmation.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use lockstep_domain::GameId;
use lockstep_domain::catalogue::Game;
use lockstep_shop::{ShopError, ShopperError};

use crate::WebState;
use crate::error::PageError;
use crate::forms::{self, Form};
use crate::layout::Layout;
use crate::pages::cart::game;
use crate::pages::form_page::{FormPage, FormView};
use crate::session::{PageUser, SignedInUser};
use crate::titles::Title;
use crate::visit::Preferences;

/// The game, as its page reads it.
async fn known(state: &WebState, id: GameId) -> Result<Game, PageError> {
    let game = state.shop.catalogue().game(id).await?;
    Ok(game.ok_or(PageError::NotFound)?.value()?)
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    Path(id): Path<String>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let words = visit.language;
    let game = known(&state, id.parse().map(GameId).map_err(|_| PageError::NotFound)?).await?;
    let address = format!("/game/{}", game.slug);
    if game.in_stock {
        return Ok(forms::done(&address));
    }
    let form = Form::default();
    FormPage {
        layout: Layout::of_reader(&state, &visit, &member.context).await?,
        title: words.text("alerts.ask"),
        lead: Some(words.with("alerts.ask.lead", Title::new(words, &game.title))),
        notice: None,
        form_page: FormView::new(&form, "/stock-alerts", words.text("game.out.tell"), Vec::new())
            .carrying("game", &game.id.to_string()),
        links: vec![(words.text("alerts.ask.not"), address)],
    }
    .answer(&form)
}

pub(crate) async fn add(
    State(state): State<Arc<WebState>>,
    reader: PageUser,
    form: Form,
) -> Result<Response, PageError> {
    let id = game(&form)?;
    let Some(caller) = reader.context.caller() else {
        return Ok(forms::done(&format!("/login?next=%2Fstock-alerts%2F{id}")));
    };
    match state.shop.wait_for(caller, id).await {
        Ok(()) => Ok(forms::done("/wishlist?done=waiting#waiting")),
        // It is in stock again: the page of the game shows that.
        Err(ShopError::Shopper(ShopperError::InStock)) => {
            Ok(forms::done(&format!("/game/{}", known(&state, id).await?.slug)))
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn remove(
    State(state): State<Arc<WebState>>,
    member: SignedInUser,
    form: Form,
) -> Result<Response, PageError> {
    state.shop.wait_no_longer(&member.caller, game(&form)?).await?;
    Ok(forms::done("/wishlist?done=not_waiting"))
}
