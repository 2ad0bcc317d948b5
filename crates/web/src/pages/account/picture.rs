//! The reader's picture: upload, removal, and the picture itself.
//!
//! The picture has an address that does not name the user and changes with every upload. It needs no session, so that
//! other front-ends can show it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use super::profile;
use super::uploaded::id_in;
use crate::WebState;
use crate::error::PageError;
use crate::forms::{self, Form};
use crate::pictures::upload::{Upload, text_of};
use crate::session::SignedInUser;
use crate::visit::Preferences;

/// Browsers may cache it for a day. Shared caches may not: a removed picture must disappear.
const KEEP: HeaderValue = HeaderValue::from_static("private, max-age=86400, immutable");

pub(crate) async fn set(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    Upload(sent): Upload,
) -> Result<Response, PageError> {
    let mut form = Form::default();
    match state.shop.allow_picture(&member.caller).await {
        Ok(()) => {
            let made = match sent {
                Ok(bytes) => state.pictures.avatar(bytes).await,
                Err(why) => Err(why),
            };
            match made {
                Ok(image) => {
                    state.shop.set_picture(&member.caller, &image).await?;
                    return Ok(forms::done("/account/profile?done=picture"));
                }
                Err(why) => form.wrong("picture", visit.language.text(text_of(why))),
            }
        }
        Err(error) => form.refuse_shop(visit.language, error, &[])?,
    }
    let facts = member.context.profile().await?;
    profile::show(&state, &visit, &member, &form, &facts, true).await
}

pub(crate) async fn remove(State(state): State<Arc<WebState>>, member: SignedInUser) -> Result<Response, PageError> {
    state.shop.remove_picture(&member.caller).await?;
    Ok(forms::done("/account/profile?done=no_picture"))
}

/// `GET /avatars/{id}.webp`
pub(crate) async fn image(State(state): State<Arc<WebState>>, Path(file): Path<String>) -> Result<Response, PageError> {
    let id = id_in(&file).ok_or(PageError::NotFound)?;
    let image = state.shop.picture(id).await?.ok_or(PageError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/webp")),
        (header::CACHE_CONTROL, KEEP),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        ),
    ];
    Ok((headers, image).into_response())
}
