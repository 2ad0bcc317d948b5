//! `/api/auth…`: coming in and going out, and proving an address.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{MethodRouter, get, post};
use chrono::Utc;
use http::{HeaderMap, StatusCode};
use lockstep_auth::{SignedIn, cookies};
use lockstep_domain::account::{
    AuthData, Credentials, EMAIL_INVALID, Email, FieldError, Profile, Registration, TokenPair,
};
use lockstep_domain::cart::Moved;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::secret::Secret;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use crate::answer::{self, Answered, Message};
use crate::body::{Body, uuid};
use crate::error::ApiError;
use crate::visit::{From, Member, Visit};
use crate::{Api, ApiState};

#[derive(OpenApi)]
#[openapi(
    tags((name = "auth", description = "Coming in and going out")),
    paths(register, login, logout, refresh, me, forgot_password, reset_password, send_verification_code, verify_email)
)]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/auth/register", post(register)),
        ("/api/auth/login", post(login)),
        ("/api/auth/logout", post(logout)),
        ("/api/auth/refresh", post(refresh)),
        ("/api/auth/me", get(me)),
        ("/api/auth/forgot-password", post(forgot_password)),
        ("/api/auth/reset-password", post(reset_password)),
        ("/api/auth/send-verification-code", post(send_verification_code)),
        ("/api/auth/verify-email", post(verify_email)),
    ]
}

/// A registration.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct NewAccount {
    /// An address; one mailbox is one account, whatever its case.
    #[schema(format = Email, min_length = 3, max_length = 254)]
    email: String,
    /// At least 8 characters with a lower-case and an upper-case letter and a digit, at most 72 bytes.
    #[schema(min_length = 8, max_length = 72)]
    password: String,
    /// 2 to 50 characters.
    #[schema(min_length = 2, max_length = 50)]
    nickname: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
}

/// A log-in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct LogIn {
    email: String,
    password: String,
    /// Six digits of the authenticator or a recovery code, once `second_factor_needed` was answered.
    code: Option<String>,
}

/// A refresh.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct Refresh {
    refresh_token: String,
}

/// Whose password was forgotten.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct Forgotten {
    email: String,
}

/// A link's token and the password to set.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct Reset {
    token: String,
    new_password: String,
}

/// Six digits.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct Code {
    code: String,
}

/// `AuthData`, and what came of the things collected as a guest.
#[derive(Serialize, ToSchema)]
pub(crate) struct CameIn {
    #[serde(flatten)]
    data: AuthData,
    /// Only when there was a guest's session. `null`: could not be moved now; it is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<MovedIn>,
}

/// What moved.
#[derive(Serialize, ToSchema)]
struct MovedIn {
    cart: Option<Moved>,
    wishlist: Option<Moved>,
}

fn came_in(signed_in: SignedIn, guest: Option<Uuid>) -> CameIn {
    CameIn {
        data: signed_in.data,
        moved: guest.map(|_| MovedIn {
            cart: signed_in.moved.cart,
            wishlist: signed_in.moved.wishlist,
        }),
    }
}

/// Makes an account and signs its owner in; what they collected as a guest comes along.
#[utoipa::path(post, path = "/api/auth/register", tag = "auth", operation_id = "register", security((), ("guest" = [])), request_body = NewAccount, responses(
    (status = 201, body = Answer<CameIn>), (status = 400, description = "Fields that are wrong, each named"),
    (status = 409, description = "There is an account with this address"), (status = 429, description = "Too many attempts")))]
pub(crate) async fn register(State(api): Api, from: From, body: Body) -> Answered {
    let mut form = body.form();
    let (email, password) = (form.text("email"), form.text("password"));
    let nickname = form.optional_text("nickname");
    let (first, last) = (form.optional_text("firstName"), form.optional_text("lastName"));
    let registration = form.finish(Registration::check(email, password, nickname, first, last))?;
    let signed_in = api
        .shop
        .auth()
        .register(registration, &from.device, from.cookie)
        .await?;
    answer::data(StatusCode::CREATED, &came_in(signed_in, from.cookie))
}

/// Signs somebody in; what they collected as a guest comes along.
#[utoipa::path(post, path = "/api/auth/login", tag = "auth", operation_id = "logIn", security((), ("guest" = [])), request_body = LogIn, responses(
    (status = 200, body = Answer<CameIn>), (status = 400, description = "Fields that are wrong, each named"),
    (status = 401, description = "E-mail or password is wrong, or a code of the authenticator is needed"),
    (status = 429, description = "Too many attempts")))]
pub(crate) async fn login(State(api): Api, from: From, headers: HeaderMap, body: Body) -> Answered {
    let mut form = body.form();
    let (email, password) = (form.text("email"), form.text("password"));
    let code = form.optional_text("code");
    let credentials = form.finish(Credentials::check(email, password, code))?;
    // Clients without cookies name their session here (the contract, section 4).
    let named = || headers.get("x-session-id")?.to_str().ok().and_then(uuid);
    let guest = from.cookie.or_else(named);
    let signed_in = api.shop.auth().log_in(&credentials, &from.device, guest).await?;
    answer::data(StatusCode::OK, &came_in(signed_in, guest))
}

/// Ends the session: its tokens are worth nothing from now on.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", operation_id = "logOut", security(("bearer" = [])), responses(
    (status = 200, body = Message), (status = 401, description = "Not signed in")))]
pub(crate) async fn logout(State(api): Api, member: Member) -> Answered {
    api.shop.auth().log_out(&member.caller).await?;
    let answer = answer::message(StatusCode::OK, "Logged out")?;
    let no_guest = cookies::clear(cookies::GUEST, api.settings.production);
    Ok(answer::with_cookie(answer, Some(no_guest)))
}

/// A new pair of tokens for a refresh token, which is good for this once.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "auth", operation_id = "refreshTokens", request_body = Refresh, responses(
    (status = 200, body = Answer<TokenPair>), (status = 400, description = "No token"),
    (status = 401, description = "The token is not good (any more)")))]
pub(crate) async fn refresh(State(api): Api, body: Body) -> Answered {
    let mut form = body.form();
    let token = form.text("refreshToken");
    form.finish(Ok(()))?;
    answer::data(StatusCode::OK, &api.shop.auth().refresh(token).await?)
}

/// The caller's profile.
#[utoipa::path(get, path = "/api/auth/me", tag = "auth", operation_id = "getMe", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Profile>), (status = 401, description = "Not signed in")))]
pub(crate) async fn me(member: Member) -> Answered {
    answer::data(StatusCode::OK, &member.arrival.profile().await?.at(Utc::now()))
}

/// Sends a link to set a new password, if there is such an account; whether there is, is not told.
#[utoipa::path(post, path = "/api/auth/forgot-password", tag = "auth", operation_id = "forgotPassword", request_body = Forgotten, responses(
    (status = 200, body = Message), (status = 400, description = "No address"), (status = 429, description = "Too many attempts")))]
pub(crate) async fn forgot_password(State(api): Api, from: From, body: Body) -> Answered {
    let mut form = body.form();
    let email = Email::of_existing_account(form.text("email")).map_err(|_| vec![EMAIL_INVALID]);
    let email = form.finish(email)?;
    api.shop.auth().forgot_password(&email, &from.device).await?;
    answer::message(
        StatusCode::OK,
        "If there is an account with this address, a link to set a new password is on its way",
    )
}

/// Sets a new password by a link; every session ends.
#[utoipa::path(post, path = "/api/auth/reset-password", tag = "auth", operation_id = "resetPassword", request_body = Reset, responses(
    (status = 200, body = Message), (status = 400, description = "The link or the password is not good"),
    (status = 429, description = "Too many attempts")))]
pub(crate) async fn reset_password(State(api): Api, from: From, body: Body) -> Answered {
    let mut form = body.form();
    let (token, password) = (form.text("token"), form.text("newPassword"));
    form.finish(Ok(()))?;
    api.shop.auth().reset_password(token, password, &from.device).await?;
    answer::message(StatusCode::OK, "Your password was set; log in with it")
}

/// Sends the caller a new verification code; the one before is worth nothing then.
#[utoipa::path(post, path = "/api/auth/send-verification-code", tag = "auth", operation_id = "sendVerificationCode", security(("bearer" = [])), responses(
    (status = 200, body = Message), (status = 401, description = "Not signed in"),
    (status = 409, description = "The address is proved already"), (status = 429, description = "Too many attempts")))]
pub(crate) async fn send_verification_code(State(api): Api, member: Member) -> Answered {
    api.shop
        .auth()
        .send_verification(&member.caller, &member.device)
        .await?;
    answer::message(StatusCode::OK, "A code is on its way")
}

/// Proves the caller's address by the code that was sent to it.
#[utoipa::path(post, path = "/api/auth/verify-email", tag = "auth", operation_id = "verifyEmail", security(("bearer" = [])), request_body = Code, responses(
    (status = 200, body = Message), (status = 400, description = "Wrong code, or none that is good"),
    (status = 401, description = "Not signed in"), (status = 429, description = "Too many attempts")))]
pub(crate) async fn verify_email(State(api): Api, visit: Visit, body: Body) -> Answered {
    if body.has("token") && !body.has("code") {
        // An older client's habit; there were never links of this kind.
        return Err(ApiError::Fields(vec![FieldError {
            path: "code",
            code: "required",
            msg: "Addresses are proved by the code of six digits that was sent, not by a token",
        }]));
    }
    let caller = visit.arrival.signed_in()?;
    let mut form = body.form();
    let code = Secret::new(form.text("code"));
    form.finish(Ok(()))?;
    api.shop
        .auth()
        .verify_email(caller, code.expose(), &visit.device)
        .await?;
    answer::message(StatusCode::OK, "Your address is verified")
}
