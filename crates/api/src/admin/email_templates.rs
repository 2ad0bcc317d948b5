//! The texts of e-mails.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::{ChangeError, EmailDraft, EmailError};
use lockstep_domain::account::{Email, FieldError};
use lockstep_domain::admin::{EmailPreview, EmailTemplateInfo, EmailTemplateView};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::language::Language;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::routes::{StaffRoute, at};
use super::{RequireStaff, found};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body};
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(list, metadata, one, change, reset, preview, send_test))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/email-templates").get(Permission::EmailRead, list),
        at("/api/admin/email-templates/metadata").get(Permission::EmailRead, metadata),
        at("/api/admin/email-templates/{name}")
            .get(Permission::EmailRead, one)
            .put(Permission::EmailWrite, change)
            .delete(Permission::EmailWrite, reset),
        at("/api/admin/email-templates/{name}/preview").post(Permission::EmailRead, preview),
        at("/api/admin/email-templates/{name}/send-test").post(Permission::EmailWrite, send_test),
    ]
}

request_body! {
    /// The new text of a template.
    struct TemplateChange {
        /// HTML with placeholders.
        #[schema(min_length = 1, max_length = 60_000)]
        content: String = "content",
        /// Subject with placeholders; by default it stays.
        #[schema(min_length = 1, max_length = 200)]
        subject: Option<String> = "subject",
        /// Language (ISO 639-1); by default `en`.
        language: Option<String> = "language",
        /// The version that the form showed; by default the one that this session was shown last.
        #[schema(minimum = 0)]
        version: Option<i64> = "version",
    }
}

request_body! {
    /// What to preview.
    struct PreviewRequest {
        /// HTML with placeholders; by default the saved one.
        #[schema(max_length = 60_000)]
        content: Option<String> = "content",
        /// Subject with placeholders; by default the saved one.
        #[schema(max_length = 200)]
        subject: Option<String> = "subject",
        /// Language (ISO 639-1); by default every language, or `en` with `content` or `subject`.
        language: Option<String> = "language",
        /// Values in place of those of the example, by name of the variable.
        #[schema(value_type = Option<BTreeMap<String, String>>)]
        variables: BTreeMap<String, String> = "variables" => values(),
    }
}

request_body! {
    /// Where to send an example.
    struct TestRequest {
        /// Address of the recipient.
        email: String = "email",
        /// Language (ISO 639-1); by default `en`.
        language: Option<String> = "language",
        /// Values in place of those of the example, by name of the variable.
        #[schema(value_type = Option<BTreeMap<String, String>>)]
        variables: BTreeMap<String, String> = "variables" => values(),
    }
}

fn language(text: Option<&str>) -> Result<Language, ApiError> {
    match text {
        None => Ok(Language::English),
        Some(code) => {
            Language::of_code(code).ok_or_else(|| ApiError::invalid("language", "must be en, de, fr, es or pl"))
        }
    }
}

/// Returns the templates of the shop's e-mails in one language.
///
/// `version` is 0 for a shipped text.
#[utoipa::path(get, path = "/api/admin/email-templates", tag = "admin", operation_id = "adminEmailTemplates", security(("bearer" = [])),
    params(("language" = Option<String>, Query, max_length = 2, description = "Language (ISO 639-1); by default `en`")),
    responses((status = 200, description = "The templates", body = Answer<Vec<EmailTemplateView>>), (status = 400, description = "Unknown language"),
    (status = 403, description = "Not signed in as staff with the permission email.read")))]
pub(crate) async fn list(staff: RequireStaff, ask: Ask) -> Answered {
    let language = language(ask.text("language")?.as_deref())?;
    answer::data(
        StatusCode::OK,
        &staff.office.email_templates(&staff.admin, language).await?,
    )
}

/// Returns what can stand in each template: its variables and languages.
#[utoipa::path(get, path = "/api/admin/email-templates/metadata", tag = "admin", operation_id = "adminEmailTemplateMetadata", security(("bearer" = [])),
    responses((status = 200, description = "The templates", body = Answer<Vec<EmailTemplateInfo>>),
    (status = 403, description = "Not signed in as staff with the permission email.read")))]
pub(crate) async fn metadata(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.email_template_infos(&staff.admin))
}

/// Returns a template in one language. The session is remembered to have been shown its version.
#[utoipa::path(get, path = "/api/admin/email-templates/{name}", tag = "admin", operation_id = "adminEmailTemplate", security(("bearer" = [])),
    params(("name" = String, Path, max_length = 40, description = "Name of the template"),
    ("language" = Option<String>, Query, max_length = 2, description = "Language (ISO 639-1); by default `en`")),
    responses((status = 200, description = "The template", body = Answer<EmailTemplateView>), (status = 400, description = "Unknown language"),
    (status = 403, description = "Not signed in as staff with the permission email.read"), (status = 404, description = "There is no such template")))]
pub(crate) async fn one(Path(name): Path<String>, staff: RequireStaff, ask: Ask) -> Answered {
    let language = language(ask.text("language")?.as_deref())?;
    let template = staff.office.email_template(&staff.admin, &name, language).await?;
    answer::data(StatusCode::OK, &found(template, "E-mail template")?)
}

/// Changes the text of a template, for the next e-mail of every process.
///
/// The HTML is cleaned. Refused with its place: an unknown variable, a tag or section that is not closed, and a text
/// without what the e-mail is for (the link of a password reset, the keys of an order).
#[utoipa::path(put, path = "/api/admin/email-templates/{name}", tag = "admin", operation_id = "changeEmailTemplate", security(("bearer" = [])),
    request_body = TemplateChange, params(("name" = String, Path, max_length = 40, description = "Name of the template")),
    responses((status = 200, description = "Saved", body = Message), (status = 400, description = "The text is wrong: the message says what and where"),
    (status = 403, description = "Not signed in as staff with the permission email.write"), (status = 404, description = "There is no such template"),
    (status = 409, description = "`outdated`: changed since it was shown, `current` is the present one; `not_seen`: it was not shown")))]
pub(crate) async fn change(Path(name): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (new, form) = body.read::<TemplateChange>();
    let new = form.finish(Ok(new))?;
    let language = language(new.language.as_deref())?;
    let draft = EmailDraft {
        subject: new.subject,
        content: Some(new.content),
    };
    let changed = staff
        .office
        .change_email_template(&staff.admin, &name, language, &draft, new.version);
    match changed.await {
        Ok(_) => answer::message(StatusCode::OK, "The template is saved"),
        Err(error) => Err(with_current(error, &staff, &name, language).await),
    }
}

/// Brings the shipped text of a template back.
#[utoipa::path(delete, path = "/api/admin/email-templates/{name}", tag = "admin", operation_id = "resetEmailTemplate", security(("bearer" = [])),
    params(("name" = String, Path, max_length = 40, description = "Name of the template"),
    ("language" = Option<String>, Query, max_length = 2, description = "Language (ISO 639-1); by default `en`"),
    ("version" = Option<i64>, Query, minimum = 0, description = "The version that was shown; by default the one that this session was shown last")),
    responses((status = 200, description = "The shipped text is in use", body = Message), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission email.write"), (status = 404, description = "There is no such template"),
    (status = 409, description = "`outdated`: changed since it was shown, `current` is the present one; `not_seen`: it was not shown")))]
pub(crate) async fn reset(Path(name): Path<String>, staff: RequireStaff, ask: Ask) -> Answered {
    let language = language(ask.text("language")?.as_deref())?;
    let version = ask.parsed::<u32>("version")?.map(i64::from);
    match staff
        .office
        .reset_email_template(&staff.admin, &name, language, version)
        .await
    {
        Ok(_) => answer::message(StatusCode::OK, "The shipped text is in use"),
        Err(error) => Err(with_current(error, &staff, &name, language).await),
    }
}

/// Adds the present template to a refusal because of its version.
async fn with_current(error: EmailError, staff: &RequireStaff, name: &str, language: Language) -> ApiError {
    if !matches!(error, EmailError::Change(ChangeError::Outdated(_))) {
        return error.into();
    }
    let current = staff.office.current_email_template(&staff.admin, name, language).await;
    match current.ok().flatten().and_then(|view| serde_json::to_value(view).ok()) {
        Some(current) => ApiError::Outdated {
            message: error.to_string(),
            current: Arc::new(current),
        },
        None => error.into(),
    }
}

/// Renders an example of an e-mail with the saved text or with one that is not saved yet. Sends and saves nothing.
#[utoipa::path(post, path = "/api/admin/email-templates/{name}/preview", tag = "admin", operation_id = "previewEmailTemplate", security(("bearer" = [])),
    request_body = PreviewRequest, params(("name" = String, Path, max_length = 40, description = "Name of the template")),
    responses((status = 200, description = "The e-mail, once for each language", body = Answer<Vec<EmailPreview>>),
    (status = 400, description = "The text is wrong: the message says what and where"),
    (status = 403, description = "Not signed in as staff with the permission email.read"), (status = 404, description = "There is no such template")))]
pub(crate) async fn preview(Path(name): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (request, form) = body.read::<PreviewRequest>();
    let request = form.finish(Ok(request))?;
    let draft = EmailDraft {
        subject: request.subject,
        content: request.content,
    };
    let languages = match request.language.as_deref() {
        None if draft == EmailDraft::default() => Language::ALL.to_vec(),
        text => vec![language(text)?],
    };
    let mut previews = Vec::new();
    for language in languages {
        let preview = staff
            .office
            .preview_email(&staff.admin, &name, language, &draft, &request.variables);
        previews.push(preview.await?);
    }
    answer::data(StatusCode::OK, &previews)
}

/// Sends an example of an e-mail at once, with the saved text. Recorded in the audit log.
///
/// Values may hold addresses of the shop only: nobody sends links of others in its name.
#[utoipa::path(post, path = "/api/admin/email-templates/{name}/send-test", tag = "admin", operation_id = "sendTestEmail", security(("bearer" = [])),
    request_body = TestRequest, params(("name" = String, Path, max_length = 40, description = "Name of the template")),
    responses((status = 200, description = "The mail server took it", body = Message), (status = 400, description = "Invalid field, or the mail server refuses"),
    (status = 403, description = "Not signed in as staff with the permission email.write"), (status = 404, description = "There is no such template"),
    (status = 409, description = "`no_mail_server`: none is active; `password_locked`: no secret opens its password"), (status = 503, description = "`mail_tests_busy`: too many at the same time")))]
pub(crate) async fn send_test(Path(name): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (request, form) = body.read::<TestRequest>();
    let is_address = Email::of_existing_account(request.email.trim()).is_ok_and(|email| email.takes_mail());
    let checked = if is_address {
        Ok(())
    } else {
        Err(vec![FieldError {
            path: "email",
            code: "email_invalid",
            msg: "This field must be an e-mail address",
        }])
    };
    form.finish(checked)?;
    let language = language(request.language.as_deref())?;
    let (to, values) = (request.email.trim(), &request.variables);
    let sent = staff
        .office
        .send_test_email(&staff.admin, &name, language, to, values, staff.now);
    sent.await?;
    answer::message(StatusCode::OK, "The mail server took the e-mail")
}

impl From<EmailError> for ApiError {
    fn from(error: EmailError) -> Self {
        match error {
            EmailError::Source(error) => Self::invalid(error.part(), error.to_string()),
            EmailError::Change(error) => error.into(),
            EmailError::Fields(faults) => Self::Fields(faults),
            EmailError::Server(_) => Self::refused(StatusCode::BAD_REQUEST, "mail_server_refuses", &error),
            EmailError::Locked => Self::refused(StatusCode::CONFLICT, "password_locked", &error),
            EmailError::NoServer => Self::refused(StatusCode::CONFLICT, "no_mail_server", &error),
            EmailError::KeyReused => Self::refused(StatusCode::CONFLICT, "idempotency_key_reused", &error),
            EmailError::Environment => Self::refused(StatusCode::CONFLICT, "set_by_environment", &error),
            EmailError::Busy => Self::refused(StatusCode::SERVICE_UNAVAILABLE, "mail_tests_busy", &error),
        }
    }
}
