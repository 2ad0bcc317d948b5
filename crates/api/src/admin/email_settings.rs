//! Mail servers.

use axum::extract::Path;
use http::StatusCode;
use lockstep_domain::Secret;
use lockstep_domain::admin::{EmailServer, EmailServerForm};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::routes::{Confirmed, StaffRoute, at};
use super::{RequireStaff, found};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(list, one, create, change, delete, test))]
pub(super) struct Description;

/// Whoever sets the mail server reads every reset link, so neither `email.write` nor a session left open is enough.
pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/email-settings")
            .get(Permission::EmailRead, list)
            .post(Confirmed(Permission::SystemWrite), create),
        at("/api/admin/email-settings/{id}")
            .get(Permission::EmailRead, one)
            .put(Confirmed(Permission::SystemWrite), change)
            .delete(Confirmed(Permission::SystemWrite), delete),
        at("/api/admin/email-settings/{id}/test").post(Permission::SystemWrite, test),
    ]
}

request_body! {
    /// A mail server. A new one needs `host`, `port` and `fromEmail`; of a known one, what is not sent stays.
    struct ServerFields {
        /// Its name for people; by default its host.
        #[schema(max_length = 100)]
        name: Option<String> = "name",
        /// Host name or IP address.
        #[schema(min_length = 1, max_length = 253)]
        host: Option<String> = "host",
        /// Port.
        #[schema(minimum = 1, maximum = 65_535)]
        port: Option<i64> = "port",
        /// TLS from the first byte; otherwise STARTTLS, required with a user. By default for port 465 only.
        secure: Option<bool> = "secure",
        /// User; empty without a log-in.
        #[schema(max_length = 254)]
        user: Option<String> = "user",
        /// Password. Empty or masked, it stays; needed again when host, port, `secure` or user change.
        #[schema(max_length = 1_000)]
        password: Option<String> = "password",
        /// Address of the sender.
        #[schema(max_length = 254)]
        from_email: Option<String> = "fromEmail",
        /// Name of the sender; empty or null for none.
        #[schema(max_length = 100)]
        from_name: Option<String> = "fromName" => changed_text(),
        /// Whether it shall be the active one, which then no other is. It is tested first.
        is_active: Option<bool> = "isActive",
        /// The version that the form showed.
        #[schema(minimum = 0)]
        version: Option<i64> = "version",
    }
}

fn form(body: &Body, is_new: bool) -> Result<EmailServerForm, ApiError> {
    let (fields, form) = body.read::<ServerFields>();
    let entered = EmailServerForm {
        name: fields.name,
        host: fields.host,
        port: fields.port,
        secure: fields.secure,
        user: fields.user,
        password: fields.password.map(Secret::new),
        from_email: fields.from_email,
        from_name: fields.from_name,
        is_active: fields.is_active,
        version: fields.version,
    };
    form.finish(entered.checked(is_new))
}

/// Returns the mail servers, with masked passwords.
///
/// The server of `SMTP_URL` comes first, if it is set: its `source` is `environment`, its `id` all zeros, and e-mails go
/// over it whatever is active. Of the others one is active.
#[utoipa::path(get, path = "/api/admin/email-settings", tag = "admin", operation_id = "adminEmailSettings", security(("bearer" = [])),
    params(("activeOnly" = Option<bool>, Query, description = "Only the active ones")),
    responses((status = 200, description = "At most 51 servers", body = Answer<Vec<EmailServer>>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission email.read")))]
pub(crate) async fn list(staff: RequireStaff, ask: Ask) -> Answered {
    let active_only = ask.flag("activeOnly")?.unwrap_or_default();
    answer::data(
        StatusCode::OK,
        &staff.office.email_servers(&staff.admin, active_only).await?,
    )
}

/// Returns a mail server, with a masked password.
#[utoipa::path(get, path = "/api/admin/email-settings/{id}", tag = "admin", operation_id = "adminEmailSetting", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the mail server")),
    responses((status = 200, description = "The server", body = Answer<EmailServer>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission email.read"), (status = 404, description = "There is no such server")))]
pub(crate) async fn one(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let server = staff.office.email_server(&staff.admin, uuid_in("id", &id)?).await?;
    answer::data(StatusCode::OK, &found(server, "Mail server")?)
}

/// Enters a mail server.
#[utoipa::path(post, path = "/api/admin/email-settings", tag = "admin", operation_id = "createEmailSettings", security(("bearer" = [])), request_body = ServerFields,
    responses((status = 201, description = "The server", body = Answer<EmailServer>),
    (status = 400, description = "Invalid fields; `mail_server_refuses`: it shall be active and its test fails"),
    (status = 403, description = "Not signed in as staff with the permission system.write, or `confirmation_needed`"),
    (status = 409, description = "`in_use`: there are 50"), (status = 503, description = "`mail_tests_busy`: too many tests at the same time")))]
pub(crate) async fn create(staff: RequireStaff, body: Body) -> Answered {
    let form = form(&body, true)?;
    let made = staff.office.create_email_server(&staff.admin, form, staff.now).await?;
    answer::data(StatusCode::CREATED, &made)
}

/// Changes a mail server.
///
/// `warning` says it when no server is active afterwards.
#[utoipa::path(put, path = "/api/admin/email-settings/{id}", tag = "admin", operation_id = "changeEmailSettings", security(("bearer" = [])), request_body = ServerFields,
    params(("id" = Uuid, Path, description = "ID of the mail server")),
    responses((status = 200, description = "The server", body = Answer<EmailServer>),
    (status = 400, description = "Invalid fields; `mail_server_refuses`: it is or shall be active and its test fails"),
    (status = 403, description = "Not signed in as staff with the permission system.write, or `confirmation_needed`"), (status = 404, description = "There is no such server"),
    (status = 409, description = "`outdated`: changed meanwhile; `set_by_environment`: it is that of `SMTP_URL`"),
    (status = 503, description = "`mail_tests_busy`: too many tests at the same time")))]
pub(crate) async fn change(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (id, form) = (uuid_in("id", &id)?, form(&body, false)?);
    let changed = staff
        .office
        .change_email_server(&staff.admin, id, form, staff.now)
        .await?;
    answer::data(StatusCode::OK, &changed)
}

/// Deletes a mail server that is not the active one.
#[utoipa::path(delete, path = "/api/admin/email-settings/{id}", tag = "admin", operation_id = "deleteEmailSettings", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the mail server")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission system.write, or `confirmation_needed`"), (status = 404, description = "There is no such server"),
    (status = 409, description = "`in_use`: it is the active one; `set_by_environment`: it is that of `SMTP_URL`")))]
pub(crate) async fn delete(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    staff
        .office
        .delete_email_server(&staff.admin, uuid_in("id", &id)?)
        .await?;
    answer::message(StatusCode::OK, "The mail server is deleted")
}

/// Connects to a mail server, logs in and names the sender, within seven seconds. Sends nothing; the result is saved.
#[utoipa::path(post, path = "/api/admin/email-settings/{id}/test", tag = "admin", operation_id = "testEmailSettings", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the mail server")),
    responses((status = 200, description = "The server lets us in", body = Message), (status = 400, description = "`mail_server_refuses`: the message has its reason"),
    (status = 403, description = "Not signed in as staff with the permission system.write"), (status = 404, description = "There is no such server"),
    (status = 409, description = "`password_locked`: no secret opens its password"), (status = 503, description = "`mail_tests_busy`: too many tests at the same time")))]
pub(crate) async fn test(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    staff
        .office
        .test_email_server(&staff.admin, uuid_in("id", &id)?)
        .await?;
    answer::message(StatusCode::OK, "The mail server lets us in")
}
