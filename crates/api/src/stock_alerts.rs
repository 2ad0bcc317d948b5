//! `/api/user/stock-alerts…`: e-mail alerts when a sold-out game is back in stock.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get, post};
use http::StatusCode;
use lockstep_domain::cart::StockAlert;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::GameId;
use utoipa::OpenApi;

use crate::answer::{self, Answered, Message};
use crate::cart::game_id;
use crate::visit::SignedInUser;
use crate::{Api, ApiState};

#[derive(OpenApi)]
#[openapi(paths(list, add, remove))]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/user/stock-alerts", get(list)),
        ("/api/user/stock-alerts/{gameId}", post(add).delete(remove)),
    ]
}

/// Returns the stock alerts of the user, newest first.
///
/// An alert is removed once its e-mail is queued.
#[utoipa::path(get, path = "/api/user/stock-alerts", tag = "user", operation_id = "listStockAlerts", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Vec<StockAlert>>), (status = 401, description = "Not signed in")))]
pub(crate) async fn list(member: SignedInUser) -> Answered {
    answer::data(StatusCode::OK, &member.context.stock_alerts().await?)
}

/// Sends the user one e-mail when a sold-out game is back in stock.
///
/// Succeeds as well if the alert already exists.
#[utoipa::path(post, path = "/api/user/stock-alerts/{gameId}", tag = "user", operation_id = "addStockAlert", security(("bearer" = [])),
    params(("gameId" = GameId, Path, description = "ID of the game")), responses(
    (status = 201, body = Message), (status = 400, description = "`gameId` is not a UUID, the game is in stock (`in_stock`), or there are too many alerts"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is no such game")))]
pub(crate) async fn add(State(api): Api, Path(game): Path<String>, member: SignedInUser) -> Answered {
    api.shop.wait_for(&member.caller, game_id(&game)?).await?;
    answer::message(
        StatusCode::CREATED,
        "We will e-mail you when this game is back in stock",
    )
}

/// Removes a stock alert of the user.
///
/// Succeeds as well if there is no alert.
#[utoipa::path(delete, path = "/api/user/stock-alerts/{gameId}", tag = "user", operation_id = "removeStockAlert", security(("bearer" = [])),
    params(("gameId" = GameId, Path, description = "ID of the game")), responses(
    (status = 200, body = Message), (status = 400, description = "`gameId` is not a UUID"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn remove(State(api): Api, Path(game): Path<String>, member: SignedInUser) -> Answered {
    api.shop.wait_no_longer(&member.caller, game_id(&game)?).await?;
    answer::message(StatusCode::OK, "The stock alert is removed")
}
