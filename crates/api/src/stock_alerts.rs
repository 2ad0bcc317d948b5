//! `/api/user/stock-alerts…`: members are told when a sold-out game is back.

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
use crate::visit::Member;
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

/// What the caller waits for, newest first. An alert goes when the letter about it is on its way.
#[utoipa::path(get, path = "/api/user/stock-alerts", tag = "user", operation_id = "listStockAlerts", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Vec<StockAlert>>), (status = 401, description = "Not signed in")))]
pub(crate) async fn list(member: Member) -> Answered {
    answer::data(StatusCode::OK, &member.arrival.stock_alerts().await?)
}

/// Tells the caller by one letter when a sold-out game is to be had again; fine when that was asked for already.
#[utoipa::path(post, path = "/api/user/stock-alerts/{gameId}", tag = "user", operation_id = "addStockAlert", security(("bearer" = [])),
    params(("gameId" = GameId, Path, description = "Identifier")), responses(
    (status = 201, body = Message), (status = 400, description = "gameId is not a UUID, `in_stock`, or more than fit"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is no such game")))]
pub(crate) async fn add(State(api): Api, Path(game): Path<String>, member: Member) -> Answered {
    api.shop.wait_for(&member.caller, game_id(&game)?).await?;
    answer::message(StatusCode::CREATED, "You will be told when it is back")
}

/// Tells nothing about the game any more; fine when nothing was to be told.
#[utoipa::path(delete, path = "/api/user/stock-alerts/{gameId}", tag = "user", operation_id = "removeStockAlert", security(("bearer" = [])),
    params(("gameId" = GameId, Path, description = "Identifier")), responses(
    (status = 200, body = Message), (status = 400, description = "gameId is not a UUID"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn remove(State(api): Api, Path(game): Path<String>, member: Member) -> Answered {
    api.shop.wait_no_longer(&member.caller, game_id(&game)?).await?;
    answer::message(StatusCode::OK, "You will not be told")
}
