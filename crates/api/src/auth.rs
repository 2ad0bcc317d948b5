//! `/api/auth…`: registration, login, sessions and e-mail verification.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{MethodRouter, get, post};
use http::{HeaderMap, StatusCode};
use lockstep_auth::cookies;
use lockstep_domain::account::{
    AuthData, Credentials, EMAIL_INVALID, Email, FieldError, Profile, Registration, TokenPair, avatar_address,
};
use lockstep_domain::cart::Moved;
use lockstep_domain::catalogue::Answer;
use lockstep_domain::secret::Secret;
use lockstep_shop::SignedIn;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body, uuid};
use crate::error::ApiError;
use crate::visit::{ClientPrincipal, From, SignedInUser};
use crate::{Api, ApiState};

#[derive(OpenApi)]
#[openapi(
    tags((name = "auth", description = "Registration, login, tokens and e-mail verification")),
    paths(register, login, logout, refresh, me, confirm, forgot_password, reset_password, send_verification_code, verify_email)
)]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/auth/register", post(register)),
        ("/api/auth/login", post(login)),
        ("/api/auth/logout", post(logout)),
        ("/api/auth/refresh", post(refresh)),
        ("/api/auth/me", get(me)),
        ("/api/auth/confirm", post(confirm)),
        ("/api/auth/forgot-password", post(forgot_password)),
        ("/api/auth/reset-password", post(reset_password)),
        ("/api/auth/send-verification-code", post(send_verification_code)),
        ("/api/auth/verify-email", post(verify_email)),
    ]
}

request_body! {
    /// A registration.
    struct NewAccount {
        /// E-mail address. Addresses that differ only in case belong to the same account.
        #[schema(format = Email, min_length = 3, max_length = 254)]
        email: String = "email",
        /// At least 8 characters and at most 72 bytes, with a lower-case letter, an upper-case letter and a digit.
        #[schema(min_length = 8, max_length = 72)]
        password: String = "password",
        /// 2 to 50 characters.
        #[schema(min_length = 2, max_length = 50)]
        nickname: Option<String> = "nickname",
        first_name: Option<String> = "firstName",
        last_name: Option<String> = "lastName",
    }
}

request_body! {
    /// A login.
    struct LogIn {
        email: String = "email",
        password: String = "password",
        /// Six-digit authenticator code or recovery code; required after a response with the code `second_factor_needed`.
        code: Option<String> = "code",
    }
}

request_body! {
    /// A refresh of tokens.
    struct Refresh {
        refresh_token: String = "refreshToken",
    }
}

request_body! {
    /// A request for a password reset link.
    struct Forgotten {
        email: String = "email",
    }
}

request_body! {
    /// A new password and the token of the reset link.
    struct Reset {
        token: String = "token",
        new_password: String = "newPassword",
    }
}

request_body! {
    /// Six-digit verification code.
    struct Code {
        code: String = "code",
    }
}

/// Tokens and profile, and what was moved from the guest session.
#[derive(Serialize, ToSchema)]
pub(crate) struct CameIn {
    #[serde(flatten)]
    data: AuthData,
    /// Present only if the request had a guest session. A part that is `null` could not be moved now and stays with the
    /// guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<MovedIn>,
}

/// Results of moving the guest's cart and wishlist.
#[derive(Serialize, ToSchema)]
struct MovedIn {
    cart: Option<Moved>,
    wishlist: Option<Moved>,
}

fn auth_data(api: &ApiState, signed_in: SignedIn, guest: Option<Uuid>) -> CameIn {
    let mut data = signed_in.data;
    let stored = data.user.avatar.take();
    data.user.avatar = stored.map(|stored| avatar_address(&stored, &api.settings.public_url));
    CameIn {
        data,
        moved: guest.map(|_| MovedIn {
            cart: signed_in.moved.cart,
            wishlist: signed_in.moved.wishlist,
        }),
    }
}

/// Creates an account and logs the user in.
///
/// The cart and wishlist of the guest session are moved to the account.
#[utoipa::path(post, path = "/api/auth/register", tag = "auth", operation_id = "register", security((), ("guest" = [])), request_body = NewAccount, responses(
    (status = 201, body = Answer<CameIn>), (status = 400, description = "Invalid fields, listed in `errors`"),
    (status = 409, description = "An account with this e-mail address already exists"), (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn register(State(api): Api, from: From, body: Body) -> Answered {
    let (sent, form) = body.read::<NewAccount>();
    let registration = form.finish(Registration::check(
        &sent.email,
        &sent.password,
        sent.nickname.as_deref(),
        sent.first_name.as_deref(),
        sent.last_name.as_deref(),
    ))?;
    let signed_in = api.shop.register(registration, &from.device, from.cookie).await?;
    answer::data(StatusCode::CREATED, &auth_data(&api, signed_in, from.cookie))
}

/// Logs a user in.
///
/// The cart and wishlist of the guest session are moved to the account.
#[utoipa::path(post, path = "/api/auth/login", tag = "auth", operation_id = "logIn", security((), ("guest" = [])), request_body = LogIn, responses(
    (status = 200, body = Answer<CameIn>), (status = 400, description = "Invalid fields, listed in `errors`"),
    (status = 401, description = "The e-mail address or password is wrong, or an authenticator code is required"),
    (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn login(State(api): Api, from: From, headers: HeaderMap, body: Body) -> Answered {
    let (sent, form) = body.read::<LogIn>();
    let credentials = Credentials::check(&sent.email, &sent.password, sent.code.as_deref());
    let credentials = form.finish(credentials)?;
    // Clients without cookies send their guest session in this header (`docs/http-api.md`).
    let named = || headers.get("x-session-id")?.to_str().ok().and_then(uuid);
    let guest = from.cookie.or_else(named);
    let signed_in = api.shop.log_in(&credentials, &from.device, guest).await?;
    answer::data(StatusCode::OK, &auth_data(&api, signed_in, guest))
}

/// Ends the session.
///
/// Its tokens are invalid from then on.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", operation_id = "logOut", security(("bearer" = [])), responses(
    (status = 200, body = Message), (status = 401, description = "Not signed in")))]
pub(crate) async fn logout(State(api): Api, member: SignedInUser) -> Answered {
    api.shop.auth().log_out(&member.caller).await?;
    let answer = answer::message(StatusCode::OK, "Logged out")?;
    let no_guest = cookies::clear(cookies::GUEST, api.settings.production);
    Ok(answer::with_cookie(answer, Some(no_guest)))
}

/// Exchanges a refresh token for a new pair of tokens.
///
/// A refresh token is valid for one exchange.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "auth", operation_id = "refreshTokens", request_body = Refresh, responses(
    (status = 200, body = Answer<TokenPair>), (status = 400, description = "The token is missing"),
    (status = 401, description = "The token is invalid or has expired")))]
pub(crate) async fn refresh(State(api): Api, body: Body) -> Answered {
    let sent: Refresh = body.valid()?;
    answer::data(StatusCode::OK, &api.shop.auth().refresh(&sent.refresh_token).await?)
}

request_body! {
    /// The password of the signed-in user.
    struct Confirmation {
        password: String = "password",
    }
}

/// Confirms the session with the password, for five minutes.
///
/// What is dangerous in the back office requires it; a log-in counts as well.
#[utoipa::path(post, path = "/api/auth/confirm", tag = "auth", operation_id = "confirmSession", security(("bearer" = [])), request_body = Confirmation,
    responses((status = 200, body = Message), (status = 400, description = "The password is missing or wrong"),
    (status = 401, description = "Not signed in"), (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn confirm(State(api): Api, member: SignedInUser, from: From, body: Body) -> Answered {
    let Confirmation { password } = body.valid()?;
    let password = Secret::new(password);
    api.shop.auth().confirm(&member.caller, &password, &from.device).await?;
    answer::message(StatusCode::OK, "Confirmed for five minutes")
}

/// Returns the profile of the signed-in user.
#[utoipa::path(get, path = "/api/auth/me", tag = "auth", operation_id = "getMe", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Profile>), (status = 401, description = "Not signed in")))]
pub(crate) async fn me(State(api): Api, member: SignedInUser) -> Answered {
    let facts = member.context.profile().await?;
    answer::data(StatusCode::OK, &facts.at(api.now(), &api.settings.public_url))
}

/// Sends a link to set a new password.
///
/// The response does not reveal whether an account with this address exists.
#[utoipa::path(post, path = "/api/auth/forgot-password", tag = "auth", operation_id = "forgotPassword", request_body = Forgotten, responses(
    (status = 200, body = Message), (status = 400, description = "The e-mail address is missing or invalid"), (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn forgot_password(State(api): Api, from: From, body: Body) -> Answered {
    let (sent, form) = body.read::<Forgotten>();
    let email = Email::of_existing_account(&sent.email).map_err(|_| vec![EMAIL_INVALID]);
    let email = form.finish(email)?;
    api.shop.auth().forgot_password(&email, &from.device).await?;
    answer::message(
        StatusCode::OK,
        "If there is an account with this address, we have sent a link to set a new password",
    )
}

/// Sets a new password with the token of a reset link.
///
/// Every session of the account ends.
#[utoipa::path(post, path = "/api/auth/reset-password", tag = "auth", operation_id = "resetPassword", request_body = Reset, responses(
    (status = 200, body = Message), (status = 400, description = "The link or the new password is invalid"),
    (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn reset_password(State(api): Api, from: From, body: Body) -> Answered {
    let sent: Reset = body.valid()?;
    api.shop
        .auth()
        .reset_password(&sent.token, &sent.new_password, &from.device)
        .await?;
    answer::message(
        StatusCode::OK,
        "Your password has been changed. Log in with the new one.",
    )
}

/// Sends a new verification code to the signed-in user.
///
/// The previous code becomes invalid.
#[utoipa::path(post, path = "/api/auth/send-verification-code", tag = "auth", operation_id = "sendVerificationCode", security(("bearer" = [])), responses(
    (status = 200, body = Message), (status = 400, description = "No e-mail can be sent to the address of the account"),
    (status = 401, description = "Not signed in"), (status = 409, description = "The e-mail address is already verified"), (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn send_verification_code(State(api): Api, member: SignedInUser) -> Answered {
    api.shop
        .auth()
        .send_verification(&member.caller, &member.device)
        .await?;
    answer::message(StatusCode::OK, "We have sent you a new code")
}

/// Verifies the e-mail address of the signed-in user with the code sent to it.
#[utoipa::path(post, path = "/api/auth/verify-email", tag = "auth", operation_id = "verifyEmail", security(("bearer" = [])), request_body = Code, responses(
    (status = 200, body = Message), (status = 400, description = "The code is wrong or has expired"),
    (status = 401, description = "Not signed in"), (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn verify_email(State(api): Api, visit: ClientPrincipal, body: Body) -> Answered {
    if body.has("token") && !body.has("code") {
        // An older client sends a token; there were never links of this kind.
        return Err(ApiError::Fields(vec![FieldError {
            path: "code",
            code: "required",
            msg: "Send the six-digit code of the e-mail as `code`; a token is not accepted",
        }]));
    }
    let caller = visit.context.signed_in()?;
    let sent: Code = body.valid()?;
    api.shop.auth().verify_email(caller, &sent.code, &visit.device).await?;
    answer::message(StatusCode::OK, "Your address is verified")
}
