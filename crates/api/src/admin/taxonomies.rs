//! Categories, genres, platforms and tags: made, renamed and deleted.

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::Taxonomy;
use lockstep_domain::admin::{TermForm, TermSaved};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::RequireStaff;
use super::routes::{StaffRoute, at};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(paths(
    create_category,
    update_category,
    delete_category,
    create_genre,
    update_genre,
    delete_genre,
    create_platform,
    update_platform,
    delete_platform,
    create_tag,
    update_tag,
    delete_tag
))]
pub(super) struct Description;

/// The routes of single entries; the lists, which `POST` adds to, are in [`super::catalogue`].
pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/categories/{id}")
            .put(Permission::CatalogueWrite, update_category)
            .delete(Permission::CatalogueWrite, delete_category),
        at("/api/admin/genres/{id}")
            .put(Permission::CatalogueWrite, update_genre)
            .delete(Permission::CatalogueWrite, delete_genre),
        at("/api/admin/platforms/{id}")
            .put(Permission::CatalogueWrite, update_platform)
            .delete(Permission::CatalogueWrite, delete_platform),
        at("/api/admin/tags/{id}")
            .put(Permission::CatalogueWrite, update_tag)
            .delete(Permission::CatalogueWrite, delete_tag),
    ]
}

request_body! {
    /// A category, genre, platform or tag.
    struct TermEntry {
        /// Name, on one line.
        #[schema(min_length = 1, max_length = 100)]
        name: String = "name",
        /// Slug; by default made from the name of a new entry, and kept when an entry is renamed.
        #[schema(max_length = 300)]
        slug: Option<String> = "slug",
        /// What it is, plain text; empty for none.
        #[schema(max_length = 2000)]
        description: Option<String> = "description" => changed_text(),
    }
}

fn form(body: &Body) -> Result<TermForm, ApiError> {
    let (entry, form) = body.read::<TermEntry>();
    form.finish(TermForm::new(
        &entry.name,
        entry.slug.as_deref(),
        entry.description.as_deref(),
    ))
}

async fn create(staff: &RequireStaff, taxonomy: Taxonomy, body: &Body) -> Answered {
    let form = form(body)?;
    let saved = staff.office.create_term(&staff.admin, taxonomy, &form).await?;
    answer::data(StatusCode::CREATED, &saved)
}

async fn update(staff: &RequireStaff, taxonomy: Taxonomy, id: &str, body: &Body) -> Answered {
    let (id, form) = (uuid_in("id", id)?, form(body)?);
    let saved = staff.office.update_term(&staff.admin, taxonomy, id, &form).await?;
    answer::data(StatusCode::OK, &saved)
}

async fn delete(staff: &RequireStaff, taxonomy: Taxonomy, id: &str) -> Answered {
    let id = uuid_in("id", id)?;
    staff.office.delete_term(&staff.admin, taxonomy, id).await?;
    answer::message(StatusCode::OK, "It is deleted")
}

/// Creates a category.
#[utoipa::path(post, path = "/api/admin/categories", tag = "admin", operation_id = "createCategory", security(("bearer" = [])), request_body = TermEntry,
    responses((status = 201, description = "The category", body = Answer<TermSaved>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 409, description = "The name or slug is taken")))]
pub(crate) async fn create_category(staff: RequireStaff, body: Body) -> Answered {
    create(&staff, Taxonomy::Categories, &body).await
}

/// Renames or describes a category.
#[utoipa::path(put, path = "/api/admin/categories/{id}", tag = "admin", operation_id = "updateCategory", security(("bearer" = [])), request_body = TermEntry,
    params(("id" = Uuid, Path, description = "ID of the category")),
    responses((status = 200, description = "The category", body = Answer<TermSaved>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such category"),
    (status = 409, description = "The name or slug is taken")))]
pub(crate) async fn update_category(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    update(&staff, Taxonomy::Categories, &id, &body).await
}

/// Deletes a category that no game has.
#[utoipa::path(delete, path = "/api/admin/categories/{id}", tag = "admin", operation_id = "deleteCategory", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the category")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such category"),
    (status = 409, description = "Games have it")))]
pub(crate) async fn delete_category(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    delete(&staff, Taxonomy::Categories, &id).await
}

/// Creates a genre.
#[utoipa::path(post, path = "/api/admin/genres", tag = "admin", operation_id = "createGenre", security(("bearer" = [])), request_body = TermEntry,
    responses((status = 201, description = "The genre", body = Answer<TermSaved>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 409, description = "The name or slug is taken")))]
pub(crate) async fn create_genre(staff: RequireStaff, body: Body) -> Answered {
    create(&staff, Taxonomy::Genres, &body).await
}

/// Renames or describes a genre.
#[utoipa::path(put, path = "/api/admin/genres/{id}", tag = "admin", operation_id = "updateGenre", security(("bearer" = [])), request_body = TermEntry,
    params(("id" = Uuid, Path, description = "ID of the genre")),
    responses((status = 200, description = "The genre", body = Answer<TermSaved>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such genre"),
    (status = 409, description = "The name or slug is taken")))]
pub(crate) async fn update_genre(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    update(&staff, Taxonomy::Genres, &id, &body).await
}

/// Deletes a genre that no game has.
#[utoipa::path(delete, path = "/api/admin/genres/{id}", tag = "admin", operation_id = "deleteGenre", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the genre")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such genre"),
    (status = 409, description = "Games have it")))]
pub(crate) async fn delete_genre(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    delete(&staff, Taxonomy::Genres, &id).await
}

/// Creates a platform.
#[utoipa::path(post, path = "/api/admin/platforms", tag = "admin", operation_id = "createPlatform", security(("bearer" = [])), request_body = TermEntry,
    responses((status = 201, description = "The platform", body = Answer<TermSaved>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 409, description = "The name or slug is taken")))]
pub(crate) async fn create_platform(staff: RequireStaff, body: Body) -> Answered {
    create(&staff, Taxonomy::Platforms, &body).await
}

/// Renames or describes a platform.
#[utoipa::path(put, path = "/api/admin/platforms/{id}", tag = "admin", operation_id = "updatePlatform", security(("bearer" = [])), request_body = TermEntry,
    params(("id" = Uuid, Path, description = "ID of the platform")),
    responses((status = 200, description = "The platform", body = Answer<TermSaved>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such platform"),
    (status = 409, description = "The name or slug is taken")))]
pub(crate) async fn update_platform(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    update(&staff, Taxonomy::Platforms, &id, &body).await
}

/// Deletes a platform that no game has.
#[utoipa::path(delete, path = "/api/admin/platforms/{id}", tag = "admin", operation_id = "deletePlatform", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the platform")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such platform"),
    (status = 409, description = "Games have it")))]
pub(crate) async fn delete_platform(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    delete(&staff, Taxonomy::Platforms, &id).await
}

/// Creates a tag.
#[utoipa::path(post, path = "/api/admin/tags", tag = "admin", operation_id = "createTag", security(("bearer" = [])), request_body = TermEntry,
    responses((status = 201, description = "The tag", body = Answer<TermSaved>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 409, description = "The name or slug is taken")))]
pub(crate) async fn create_tag(staff: RequireStaff, body: Body) -> Answered {
    create(&staff, Taxonomy::Tags, &body).await
}

/// Renames or describes a tag.
#[utoipa::path(put, path = "/api/admin/tags/{id}", tag = "admin", operation_id = "updateTag", security(("bearer" = [])), request_body = TermEntry,
    params(("id" = Uuid, Path, description = "ID of the tag")),
    responses((status = 200, description = "The tag", body = Answer<TermSaved>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such tag"),
    (status = 409, description = "The name or slug is taken")))]
pub(crate) async fn update_tag(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    update(&staff, Taxonomy::Tags, &id, &body).await
}

/// Deletes a tag that no game has.
#[utoipa::path(delete, path = "/api/admin/tags/{id}", tag = "admin", operation_id = "deleteTag", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the tag")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such tag"),
    (status = 409, description = "Games have it")))]
pub(crate) async fn delete_tag(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    delete(&staff, Taxonomy::Tags, &id).await
}
