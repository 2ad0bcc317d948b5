//! `/api/user…`, what the existing front-end has no pages for yet: sessions, second factor, taking one's data along, and
//! leaving.

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
use crate::body::{Body, uuid_in};
use crate::error::ApiError;
use crate::visit::Member;
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

/// A session as its owner sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Session {
    id: SessionId,
    /// It is the one that asks.
    current: bool,
    created_at: String,
    /// To a few minutes.
    last_used_at: String,
    address: Option<String>,
    user_agent: Option<String>,
}

/// One log-in or attempt.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Login {
    at: String,
    succeeded: bool,
    address: Option<String>,
    user_agent: Option<String>,
}

/// What to set an authenticator up with.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthenticatorOffer)]
struct Offer {
    /// To type in: base32.
    #[schema(value_type = String)]
    secret: Secret,
    /// To show as a picture: an `otpauth://` address.
    #[schema(value_type = String)]
    url: Secret,
}

/// Each replaces a code of the authenticator once. They are shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NewRecoveryCodes)]
struct RecoveryCodes {
    #[schema(value_type = Vec<String>, min_items = 10, max_items = 10)]
    recovery_codes: Vec<Secret>,
}

/// How many.
#[derive(Serialize, ToSchema)]
struct Ended {
    ended: u64,
}

/// The password, asked for once more.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct Password {
    password: String,
}

/// Six digits of the authenticator, or where one is set up a recovery code.
#[derive(ToSchema)]
#[schema(as = AuthenticatorCode)]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct Code {
    code: String,
}

/// Both.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct PasswordAndCode {
    password: String,
    /// Left out where there is no second factor yet.
    code: Option<String>,
}

/// Leaving.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct Leave {
    password: String,
    /// What is left on the balance is given up.
    give_up_balance: Option<bool>,
}

fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Somebody who is signed in and typed a wrong code is still signed in: 400, not 401.
fn still_signed_in(error: AuthError) -> ApiError {
    let refused = matches!(error, AuthError::SecondFactorWrong);
    match ApiError::from(error) {
        ApiError::Refused { code, retry_after, .. } if refused => ApiError::Refused {
            status: StatusCode::BAD_REQUEST,
            code,
            message: "Wrong code of the authenticator".into(),
            retry_after,
        },
        error => error,
    }
}

/// Where the caller is logged in, newest first.
#[utoipa::path(get, path = "/api/user/sessions", tag = "user", operation_id = "listSessions", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Vec<Session>>), (status = 401, description = "Not signed in")))]
pub(crate) async fn sessions(State(api): Api, member: Member) -> Answered {
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

/// Ends all of the caller's sessions but the one that asks.
#[utoipa::path(delete, path = "/api/user/sessions", tag = "user", operation_id = "endOtherSessions", security(("bearer" = [])), responses(
    (status = 200, body = MessageWith<Ended>), (status = 401, description = "Not signed in")))]
pub(crate) async fn end_other_sessions(State(api): Api, member: Member) -> Answered {
    let ended = api.shop.auth().end_other_sessions(&member.caller).await?;
    answer::message_with("Your other devices are logged out", Ended { ended })
}

/// Ends one of the caller's sessions; fine when it has ended.
#[utoipa::path(delete, path = "/api/user/sessions/{id}", tag = "user", operation_id = "endSession", security(("bearer" = [])),
    params(("id" = SessionId, Path, description = "Identifier")), responses(
    (status = 200, body = Message), (status = 400, description = "id is not a UUID"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn end_session(State(api): Api, Path(id): Path<String>, member: Member) -> Answered {
    let session = SessionId(uuid_in("id", &id)?);
    api.shop.auth().end_session(&member.caller, session).await?;
    answer::message(StatusCode::OK, "The device is logged out")
}

/// The caller's latest log-ins and attempts, newest first, at most 100.
#[utoipa::path(get, path = "/api/user/logins", tag = "user", operation_id = "listLogins", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Vec<Login>>), (status = 401, description = "Not signed in")))]
pub(crate) async fn logins(State(api): Api, member: Member) -> Answered {
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

/// Offers an authenticator. Nothing changes until it is confirmed by a first code.
#[utoipa::path(post, path = "/api/user/second-factor", tag = "user", operation_id = "offerSecondFactor", security(("bearer" = [])), request_body = Password, responses(
    (status = 200, body = Answer<Offer>), (status = 400, description = "The password is wrong"),
    (status = 401, description = "Not signed in"), (status = 409, description = "There is one already"),
    (status = 429, description = "Too many attempts")))]
pub(crate) async fn offer_second_factor(State(api): Api, member: Member, body: Body) -> Answered {
    let mut form = body.form();
    let password = Secret::new(form.text("password"));
    form.finish(Ok(()))?;
    let Enrolment { secret, url } = api
        .shop
        .auth()
        .offer_second_factor(&member.caller, &password, &member.device)
        .await?;
    answer::data(StatusCode::OK, &Offer { secret, url })
}

/// Turns the second factor on; other sessions end. The answer holds ten recovery codes, which are never shown again.
#[utoipa::path(post, path = "/api/user/second-factor/confirm", tag = "user", operation_id = "confirmSecondFactor", security(("bearer" = [])), request_body = Code, responses(
    (status = 200, body = MessageWith<RecoveryCodes>), (status = 400, description = "The code is wrong"),
    (status = 401, description = "Not signed in"), (status = 409, description = "Nothing was offered, or it is on already"),
    (status = 429, description = "Too many attempts")))]
pub(crate) async fn confirm_second_factor(State(api): Api, member: Member, body: Body) -> Answered {
    let mut form = body.form();
    let code = Secret::new(form.text("code"));
    form.finish(Ok(()))?;
    let recovery_codes = api
        .shop
        .auth()
        .confirm_second_factor(&member.caller, &code, &member.device)
        .await
        .map_err(still_signed_in)?;
    answer::message_with(
        "From now on logging in needs a code of your authenticator",
        RecoveryCodes { recovery_codes },
    )
}

/// Makes ten new recovery codes by password and a code; those before are worth nothing then.
#[utoipa::path(post, path = "/api/user/second-factor/recovery-codes", tag = "user", operation_id = "renewRecoveryCodes", security(("bearer" = [])), request_body = PasswordAndCode, responses(
    (status = 200, body = MessageWith<RecoveryCodes>), (status = 400, description = "The password or the code is wrong"),
    (status = 401, description = "Not signed in"), (status = 409, description = "There is no second factor"),
    (status = 429, description = "Too many attempts")))]
pub(crate) async fn new_recovery_codes(State(api): Api, member: Member, body: Body) -> Answered {
    let mut form = body.form();
    let password = Secret::new(form.text("password"));
    let code = Secret::new(form.text("code"));
    form.finish(Ok(()))?;
    let recovery_codes = api
        .shop
        .auth()
        .new_recovery_codes(&member.caller, &password, &code, &member.device)
        .await
        .map_err(still_signed_in)?;
    answer::message_with("These are your new recovery codes", RecoveryCodes { recovery_codes })
}

/// Turns the second factor off again, by password and a code of the authenticator or a recovery code.
#[utoipa::path(delete, path = "/api/user/second-factor", tag = "user", operation_id = "removeSecondFactor", security(("bearer" = [])), request_body = PasswordAndCode, responses(
    (status = 200, body = Message), (status = 400, description = "The password or the code is wrong"),
    (status = 401, description = "Not signed in"), (status = 429, description = "Too many attempts")))]
pub(crate) async fn remove_second_factor(State(api): Api, member: Member, body: Body) -> Answered {
    let mut form = body.form();
    let password = Secret::new(form.text("password"));
    let code = Secret::new(form.optional_text("code").unwrap_or_default());
    form.finish(Ok(()))?;
    api.shop
        .auth()
        .remove_second_factor(&member.caller, &password, &code, &member.device)
        .await
        .map_err(still_signed_in)?;
    answer::message(StatusCode::OK, "Logging in needs no code any more")
}

/// Everything stored about the caller, as a file. It is sent as it is read, one row a line; a connection that breaks
/// before the end leaves no whole JSON. One at a time, five at once and then one every twelve minutes.
#[utoipa::path(get, path = "/api/user/export", tag = "user", operation_id = "exportMyData", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Object>), (status = 401, description = "Not signed in"),
    (status = 429, description = "Too often, or another is being read; `Retry-After` says when"),
    (status = 503, description = "Too many of all people's at once")))]
pub(crate) async fn export(State(api): Api, member: Member) -> Answered {
    let mut export = api.shop.export(&member.caller).await?;
    export.wrap("{\"success\":true,\"data\":", "}");
    // Fused, because compression asks once more after the end.
    let chunks = stream::unfold(export, |mut export| async move { Some((export.next().await?, export)) }).fuse();
    let mut response = answer::streamed(RawBody::from_stream(chunks));
    response.headers_mut().insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"my-data.json\""),
    );
    Ok(response)
}

/// Deletes the caller's account: what is personal goes, orders and bookings stay without a name.
#[utoipa::path(delete, path = "/api/user/account", tag = "user", operation_id = "deleteAccount", security(("bearer" = [])), request_body = Leave, responses(
    (status = 200, body = Message), (status = 400, description = "The password is wrong"),
    (status = 401, description = "Not signed in"),
    (status = 409, description = "Orders are under way, there is a balance that was not given up, or it is the last admin's"),
    (status = 429, description = "Too many attempts")))]
pub(crate) async fn delete_account(State(api): Api, member: Member, body: Body) -> Answered {
    let mut form = body.form();
    let password = Secret::new(form.text("password"));
    let give_up_balance = form.flag("giveUpBalance");
    form.finish(Ok(()))?;
    api.shop
        .auth()
        .delete_account(&member.caller, &password, give_up_balance, &member.device)
        .await?;
    let answer = answer::message(StatusCode::OK, "Your account is deleted")?;
    let no_guest = cookies::clear(cookies::GUEST, api.settings.production);
    Ok(answer::with_cookie(answer, Some(no_guest)))
}
