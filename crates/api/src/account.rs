//! `/api/user…` endpoints that the existing front-end does not use yet: sessions, two-factor authentication, data
//! export and account deletion.

use std::sync::Arc;

use axum::body::Body as RawBody;
use axum::extract::{Path, State};
use axum::routing::{MethodRouter, delete, get, post};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt as _, stream};
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_auth::totp::Enrolment;
use lockstep_auth::{AuthError, cookies};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::SessionId;
use lockstep_domain::secret::Secret;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::answer::{self, Answered, Message, MessageWith};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::visit::SignedInUser;
use crate::{Api, ApiState};

#[derive(OpenApi)]
#[openapi(paths(
    sessions,
    end_other_sessions,
    end_session,
    logins,
    offer_second_factor,
    confirm_second_factor,
    remove_second_factor,
    new_recovery_codes,
    export,
    delete_account
))]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/user/sessions", get(sessions).delete(end_other_sessions)),
        ("/api/user/sessions/{id}", delete(end_session)),
        ("/api/user/logins", get(logins)),
        (
            "/api/user/second-factor",
            post(offer_second_factor).delete(remove_second_factor),
        ),
        ("/api/user/second-factor/confirm", post(confirm_second_factor)),
        ("/api/user/second-factor/recovery-codes", post(new_recovery_codes)),
        ("/api/user/export", get(export)),
        ("/api/user/account", delete(delete_account)),
    ]
}

/// A session of the user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Session {
    id: SessionId,
    /// Whether it is the session of this request.
    current: bool,
    created_at: String,
    /// Accurate to a few minutes.
    last_used_at: String,
    address: Option<String>,
    user_agent: Option<String>,
}

/// A login, successful or not.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Login {
    at: String,
    succeeded: bool,
    address: Option<String>,
    user_agent: Option<String>,
}

/// Data to set up an authenticator app.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthenticatorOffer)]
struct Offer {
    /// Base32 secret, to type in.
    #[schema(value_type = String)]
    secret: Secret,
    /// `otpauth://` URL, to show as a QR code.
    #[schema(value_type = String)]
    url: Secret,
}

/// Recovery codes. Each replaces an authenticator code once; they are shown only in this response.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NewRecoveryCodes)]
struct RecoveryCodes {
    #[schema(value_type = Vec<String>, min_items = 10, max_items = 10)]
    recovery_codes: Vec<Secret>,
}

/// Number of sessions that ended.
#[derive(Serialize, ToSchema)]
struct Ended {
    ended: u64,
}

request_body! {
    /// The current password, to confirm the action.
    struct Password {
        password: String = "password",
    }
}

request_body! {
    /// Six-digit authenticator code; if two-factor authentication is on, a recovery code also works.
    #[schema(as = AuthenticatorCode)]
    struct Code {
        code: String = "code",
    }
}

request_body! {
    /// The current password and a code, to confirm the action.
    struct PasswordAndCode {
        password: String = "password",
        /// Omitted while two-factor authentication is off.
        code: Option<String> = "code",
    }
}

request_body! {
    /// Confirmation to delete the account.
    struct Leave {
        password: String = "password",
        /// Whether to forfeit the remaining balance.
        give_up_balance: Option<bool> = "giveUpBalance",
    }
}

impl PasswordAndCode {
    fn secrets(self) -> (Secret, Secret) {
        (Secret::new(self.password), Secret::new(self.code.unwrap_or_default()))
    }
}

fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A wrong code does not sign the user out: 400, not 401.
fn still_signed_in(error: AuthError) -> ApiError {
    let refused = matches!(error, AuthError::SecondFactorWrong);
    match ApiError::from(error) {
        ApiError::Refused { code, retry_after, .. } if refused => ApiError::Refused {
            status: StatusCode::BAD_REQUEST,
            code,
            message: "The code of the authenticator app is wrong".into(),
            retry_after,
        },
        error => error,
    }
}

/// Returns the active sessions of the user, newest first.
#[utoipa::path(get, path = "/api/user/sessions", tag = "user", operation_id = "listSessions", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Vec<Session>>), (status = 401, description = "Not signed in")))]
pub(crate) async fn sessions(State(api): Api, member: SignedInUser) -> Answered {
    let sessions = api.shop.auth().sessions(&member.caller).await?;
    let sessions: Vec<Session> = sessions
        .into_iter()
        .map(|session| Session {
            id: session.id,
            current: session.id == member.caller.session(),
            created_at: iso(session.created_at),
            last_used_at: iso(session.last_used_at),
            address: session.address,
            user_agent: session.user_agent,
        })
        .collect();
    answer::data(StatusCode::OK, &sessions)
}

/// Ends all sessions of the user except the current one.
#[utoipa::path(delete, path = "/api/user/sessions", tag = "user", operation_id = "endOtherSessions", security(("bearer" = [])), responses(
    (status = 200, body = MessageWith<Ended>), (status = 401, description = "Not signed in")))]
pub(crate) async fn end_other_sessions(State(api): Api, member: SignedInUser) -> Answered {
    let ended = api.shop.auth().end_other_sessions(&member.caller).await?;
    answer::message_with("Your other devices are logged out", Ended { ended })
}

/// Ends a session of the user.
///
/// Succeeds as well if the session has already ended.
#[utoipa::path(delete, path = "/api/user/sessions/{id}", tag = "user", operation_id = "endSession", security(("bearer" = [])),
    params(("id" = SessionId, Path, description = "ID of the session")), responses(
    (status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn end_session(State(api): Api, Path(id): Path<String>, member: SignedInUser) -> Answered {
    let session = SessionId(uuid_in("id", &id)?);
    api.shop.auth().end_session(&member.caller, session).await?;
    answer::message(StatusCode::OK, "The device is logged out")
}

/// Returns the latest logins and failed attempts of the user, newest first.
///
/// Returns at most 100 entries.
#[utoipa::path(get, path = "/api/user/logins", tag = "user", operation_id = "listLogins", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Vec<Login>>), (status = 401, description = "Not signed in")))]
pub(crate) async fn logins(State(api): Api, member: SignedInUser) -> Answered {
    let logins = api.shop.logins(&member.caller).await?;
    let logins: Vec<Login> = logins
        .into_iter()
        .map(|login| Login {
            at: iso(login.at),
            succeeded: login.succeeded,
            address: login.address,
            user_agent: login.user_agent,
        })
        .collect();
    answer::data(StatusCode::OK, &logins)
}

/// Starts to set up two-factor authentication.
///
/// Nothing changes until a first code confirms the setup.
#[utoipa::path(post, path = "/api/user/second-factor", tag = "user", operation_id = "offerSecondFactor", security(("bearer" = [])), request_body = Password, responses(
    (status = 200, body = Answer<Offer>), (status = 400, description = "The password is wrong"),
    (status = 401, description = "Not signed in"), (status = 409, description = "Two-factor authentication is already on"),
    (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn offer_second_factor(State(api): Api, member: SignedInUser, body: Body) -> Answered {
    let sent: Password = body.valid()?;
    let password = Secret::new(sent.password);
    let Enrolment { secret, url } = api
        .shop
        .auth()
        .offer_second_factor(&member.caller, &password, &member.device)
        .await?;
    answer::data(StatusCode::OK, &Offer { secret, url })
}

/// Turns two-factor authentication on.
///
/// The other sessions end. The response contains ten recovery codes, which are never shown again.
#[utoipa::path(post, path = "/api/user/second-factor/confirm", tag = "user", operation_id = "confirmSecondFactor", security(("bearer" = [])), request_body = Code, responses(
    (status = 200, body = MessageWith<RecoveryCodes>), (status = 400, description = "The code is wrong"),
    (status = 401, description = "Not signed in"), (status = 409, description = "No setup was started, or two-factor authentication is already on"),
    (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn confirm_second_factor(State(api): Api, member: SignedInUser, body: Body) -> Answered {
    let sent: Code = body.valid()?;
    let code = Secret::new(sent.code);
    let recovery_codes = api
        .shop
        .auth()
        .confirm_second_factor(&member.caller, &code, &member.device)
        .await
        .map_err(still_signed_in)?;
    answer::message_with(
        "Two-factor authentication is on. Keep the recovery codes in a safe place.",
        RecoveryCodes { recovery_codes },
    )
}

/// Creates ten new recovery codes.
///
/// Requires the password and a code. The previous recovery codes become invalid.
#[utoipa::path(post, path = "/api/user/second-factor/recovery-codes", tag = "user", operation_id = "renewRecoveryCodes", security(("bearer" = [])), request_body = PasswordAndCode, responses(
    (status = 200, body = MessageWith<RecoveryCodes>), (status = 400, description = "The password or code is wrong"),
    (status = 401, description = "Not signed in"), (status = 409, description = "Two-factor authentication is off"),
    (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn new_recovery_codes(State(api): Api, member: SignedInUser, body: Body) -> Answered {
    let (sent, mut form) = body.read::<PasswordAndCode>();
    if sent.code.is_none() {
        form.missing("code");
    }
    form.finish(Ok(()))?;
    let (password, code) = sent.secrets();
    let recovery_codes = api
        .shop
        .auth()
        .new_recovery_codes(&member.caller, &password, &code, &member.device)
        .await
        .map_err(still_signed_in)?;
    answer::message_with(
        "New recovery codes created. The earlier ones no longer work.",
        RecoveryCodes { recovery_codes },
    )
}

/// Turns two-factor authentication off.
///
/// Requires the password and an authenticator or recovery code.
#[utoipa::path(delete, path = "/api/user/second-factor", tag = "user", operation_id = "removeSecondFactor", security(("bearer" = [])), request_body = PasswordAndCode, responses(
    (status = 200, body = Message), (status = 400, description = "The password or code is wrong"),
    (status = 401, description = "Not signed in"), (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn remove_second_factor(State(api): Api, member: SignedInUser, body: Body) -> Answered {
    let sent: PasswordAndCode = body.valid()?;
    let (password, code) = sent.secrets();
    api.shop
        .auth()
        .remove_second_factor(&member.caller, &password, &code, &member.device)
        .await
        .map_err(still_signed_in)?;
    answer::message(StatusCode::OK, "Two-factor authentication is off")
}

/// Exports everything stored about the user as a file.
///
/// The export is streamed, one row per line; if the connection breaks, the JSON is incomplete. One export can run at a
/// time; five are allowed in a row, then one every 12 minutes.
#[utoipa::path(get, path = "/api/user/export", tag = "user", operation_id = "exportMyData", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Object>), (status = 401, description = "Not signed in"),
    (status = 429, description = "Too many exports, or another one is running; retry after `Retry-After` seconds"),
    (status = 503, description = "Too many concurrent exports")))]
pub(crate) async fn export(State(api): Api, member: SignedInUser) -> Answered {
    let mut export = api.shop.export(&member.caller).await?;
    export.wrap("{\"success\":true,\"data\":", "}");
    // Fused, because compression polls once more after the end.
    let chunks = stream::unfold(export, |mut export| async move { Some((export.next().await?, export)) }).fuse();
    let mut response = answer::streamed(RawBody::from_stream(chunks));
    response.headers_mut().insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"my-data.json\""),
    );
    Ok(response)
}

/// Deletes the account of the user.
///
/// Personal data is deleted; orders and transactions are kept without a name.
#[utoipa::path(delete, path = "/api/user/account", tag = "user", operation_id = "deleteAccount", security(("bearer" = [])), request_body = Leave, responses(
    (status = 200, body = Message), (status = 400, description = "The password is wrong"),
    (status = 401, description = "Not signed in"),
    (status = 409, description = "Orders are in progress, the balance is not forfeited, or the account is the last admin"),
    (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn delete_account(State(api): Api, member: SignedInUser, body: Body) -> Answered {
    let sent: Leave = body.valid()?;
    let (password, gives_up) = (Secret::new(sent.password), sent.give_up_balance.unwrap_or(false));
    api.shop
        .auth()
        .delete_account(&member.caller, &password, gives_up, &member.device)
        .await?;
    let answer = answer::message(StatusCode::OK, "Your account is deleted")?;
    let no_guest = cookies::clear(cookies::GUEST, api.settings.production);
    Ok(answer::with_cookie(answer, Some(no_guest)))
}
