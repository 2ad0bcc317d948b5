//! Games, taxonomies, and the synchronisation of the catalogue with G2A.

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::{List, Taxonomy};
use lockstep_domain::GameId;
use lockstep_domain::admin::{GameDetail, GameList, SyncProgress, SyncStatus, TaxonomyRow};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::games::shown_picture;
use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff, files, found, taxonomies};
use crate::answer::{self, Answered};
use crate::body::uuid_in;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(games, game, categories, genres, platforms, tags, sync_status, sync_progress))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/games")
            .get(Permission::CatalogueRead, games)
            .post(Permission::CatalogueWrite, super::games::create),
        at("/api/admin/games/{id}")
            .get(Permission::CatalogueRead, game)
            .put(Permission::CatalogueWrite, super::games::update)
            .delete(Permission::CatalogueWrite, super::games::delete),
        at("/api/admin/categories")
            .get(Permission::CatalogueRead, categories)
            .post(Permission::CatalogueWrite, taxonomies::create_category),
        at("/api/admin/genres")
            .get(Permission::CatalogueRead, genres)
            .post(Permission::CatalogueWrite, taxonomies::create_genre),
        at("/api/admin/platforms")
            .get(Permission::CatalogueRead, platforms)
            .post(Permission::CatalogueWrite, taxonomies::create_platform),
        at("/api/admin/tags")
            .get(Permission::CatalogueRead, tags)
            .post(Permission::CatalogueWrite, taxonomies::create_tag),
        at("/api/admin/g2a/status").get(Permission::SupplierRead, sync_status),
        at("/api/admin/g2a/sync-progress").get(Permission::SupplierRead, sync_progress),
    ]
}

/// Returns the listed games, newest first.
#[utoipa::path(get, path = "/api/admin/games", tag = "admin", operation_id = "adminGames", security(("bearer" = [])), params(
    Paged<20>,
    ("format" = Option<String>, Query, max_length = 100, description = "`json` (default), or `csv` for a file with every row")),
    responses((status = 200, description = "A page of games", body = Answer<GameList>),
    (status = 400, description = "Invalid parameter"), (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn games(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    if files::wanted(&ask)? {
        return files::csv(&staff, List::Games, false).await;
    }
    let mut games = staff.office.games(&staff.admin, page).await?;
    for game in &mut games.games {
        game.image_url = shown_picture(std::mem::take(&mut game.image_url), &staff.public_url);
    }
    answer::data(StatusCode::OK, &games)
}

/// Returns a game, listed or withdrawn.
#[utoipa::path(get, path = "/api/admin/games/{id}", tag = "admin", operation_id = "adminGame", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the game")),
    responses((status = 200, description = "The game", body = Answer<GameDetail>),
    (status = 400, description = "`id` is not a UUID"), (status = 403, description = "Not signed in as an administrator"),
    (status = 404, description = "There is no such game")))]
pub(crate) async fn game(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let game = staff.office.game(&staff.admin, GameId(uuid_in("id", &id)?)).await?;
    let mut game = found(game, "Game")?;
    game.image_url = shown_picture(game.image_url, &staff.public_url);
    answer::data(StatusCode::OK, &game)
}

/// Returns all categories by name, each with its number of games.
#[utoipa::path(get, path = "/api/admin/categories", tag = "admin", operation_id = "adminCategories", security(("bearer" = [])),
    responses((status = 200, description = "All categories", body = Answer<Vec<TaxonomyRow>>),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn categories(staff: RequireStaff) -> Answered {
    let all = staff.office.taxonomy(&staff.admin, Taxonomy::Categories).await?;
    answer::data(StatusCode::OK, &all)
}

/// Returns all genres by name, each with its number of games.
#[utoipa::path(get, path = "/api/admin/genres", tag = "admin", operation_id = "adminGenres", security(("bearer" = [])),
    responses((status = 200, description = "All genres", body = Answer<Vec<TaxonomyRow>>),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn genres(staff: RequireStaff) -> Answered {
    let all = staff.office.taxonomy(&staff.admin, Taxonomy::Genres).await?;
    answer::data(StatusCode::OK, &all)
}

/// Returns all platforms by name, each with its number of games.
#[utoipa::path(get, path = "/api/admin/platforms", tag = "admin", operation_id = "adminPlatforms", security(("bearer" = [])),
    responses((status = 200, description = "All platforms", body = Answer<Vec<TaxonomyRow>>),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn platforms(staff: RequireStaff) -> Answered {
    let all = staff.office.taxonomy(&staff.admin, Taxonomy::Platforms).await?;
    answer::data(StatusCode::OK, &all)
}

/// Returns all tags by name, each with its number of games.
#[utoipa::path(get, path = "/api/admin/tags", tag = "admin", operation_id = "adminTags", security(("bearer" = [])),
    responses((status = 200, description = "All tags", body = Answer<Vec<TaxonomyRow>>),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn tags(staff: RequireStaff) -> Answered {
    let all = staff.office.taxonomy(&staff.admin, Taxonomy::Tags).await?;
    answer::data(StatusCode::OK, &all)
}

/// Returns the status of the synchronisation with G2A.
#[utoipa::path(get, path = "/api/admin/g2a/status", tag = "admin", operation_id = "adminSyncStatus", security(("bearer" = [])),
    responses((status = 200, description = "Last synchronisation and current stock", body = Answer<SyncStatus>),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn sync_status(staff: RequireStaff) -> Answered {
    answer::data(
        StatusCode::OK,
        &staff.office.sync_status(&staff.admin, staff.now).await?,
    )
}

/// Returns the progress of the running synchronisation.
///
/// All numbers are zero if none is running.
#[utoipa::path(get, path = "/api/admin/g2a/sync-progress", tag = "admin", operation_id = "adminSyncProgress", security(("bearer" = [])),
    responses((status = 200, description = "Pages and products so far", body = Answer<SyncProgress>),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn sync_progress(staff: RequireStaff) -> Answered {
    answer::data(
        StatusCode::OK,
        &staff.office.sync_progress(&staff.admin, staff.now).await?,
    )
}
