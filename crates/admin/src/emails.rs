//! The texts of e-mails, as staff read and change them, and the e-mail queue.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{
    EmailPreview, EmailQueueList, EmailRetries, EmailState, EmailTemplateInfo, EmailTemplateView, EmailVariable,
    MASKED_PERSON, Page,
};
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::language::Language;
use lockstep_domain::staff::Permission;
use lockstep_mail::RenderedEmail;
use lockstep_mail::edited::{self, Kind, Source};
use lockstep_store::admin::email_templates::{self, EditRow, NewEdit, SHIPPED};
use lockstep_store::admin::{email_queue, email_templates as templates};
use lockstep_store::branding;
use lockstep_store::mail::edits;
use uuid::Uuid;

use crate::mailing::EmailError;
use crate::{BackOffice, ChangeError};

/// What staff wrote of a template. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmailDraft {
    /// Subject, with placeholders.
    pub subject: Option<String>,
    /// HTML with placeholders.
    pub content: Option<String>,
}

/// The name of a template; names of the existing shop stand for those of this one.
fn canonical(name: &str) -> Option<&'static str> {
    let name = match name {
        "registration" => "welcome",
        "game-key" => "keys-ready",
        "balance-topup" => "top-up",
        "password-reset" => "reset",
        "email-verification" => "verification",
        other => other,
    };
    EmailTemplate::KINDS.iter().copied().find(|kind| *kind == name)
}

fn known(name: &str) -> Result<&'static str, ChangeError> {
    canonical(name).ok_or(ChangeError::NotFound("E-mail template"))
}

/// Whether these values of the e-mail `name` lead to the shop `home` only. Mail programs make links of words that look like
/// one, too.
fn leads_home(name: &str, values: &BTreeMap<String, String>, home: &str) -> bool {
    let is_ours = |address: &str| {
        address
            .strip_prefix(home)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    };
    let variables = edited::variables(name).unwrap_or_default();
    values.iter().all(|(variable, value)| {
        let is_link = (variables.iter()).any(|known| known.name == variable && known.kind == Kind::Link);
        if is_link && !value.is_empty() && !is_ours(value) {
            return false;
        }
        let words = value.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '(' | ')' | ','));
        words
            .filter(|word| word.contains("//") || word.contains('\\') || word.to_ascii_lowercase().contains("www."))
            .all(is_ours)
    })
}

impl BackOffice {
    /// All templates in a language. Not remembered as shown: a list beside an open form says nothing about the form.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn email_templates(
        &self,
        _by: &Admin,
        language: Language,
    ) -> lockstep_store::Result<Vec<EmailTemplateView>> {
        let read = self
            .store
            .read(|tx| Box::pin(email_templates::list(tx, language.code())))
            .await?;
        let view = |name: &&str| {
            let edit = read.value.iter().find(|edit| edit.name == *name);
            self.view(name, language, edit)
        };
        Ok(EmailTemplate::KINDS.iter().filter_map(view).collect())
    }

    /// A template in a language. The session is remembered to have been shown its version, with which a form of
    /// [`change_email_template`](Self::change_email_template) is compared.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn email_template(
        &self,
        by: &Admin,
        name: &str,
        language: Language,
    ) -> lockstep_store::Result<Option<EmailTemplateView>> {
        let view = self.current_email_template(by, name, language).await?;
        self.note_shown(by, language, view.as_slice()).await;
        Ok(view)
    }

    /// A template as it is now, for a reader who is told that it has changed: not remembered as shown.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn current_email_template(
        &self,
        _by: &Admin,
        name: &str,
        language: Language,
    ) -> lockstep_store::Result<Option<EmailTemplateView>> {
        let Some(name) = canonical(name) else { return Ok(None) };
        let read = self
            .store
            .read(|tx| Box::pin(email_templates::list(tx, language.code())))
            .await?;
        let edit = read.value.iter().find(|edit| edit.name == name);
        Ok(self.view(name, language, edit))
    }

    async fn note_shown(&self, by: &Admin, language: Language, views: &[EmailTemplateView]) {
        if by.may(Permission::EmailWrite) {
            let shown: Vec<(&str, i64)> = views.iter().map(|view| (view.name.as_str(), view.version)).collect();
            // Without this record a form is refused until the template is read again: no reason to show nothing now.
            let _noted = templates::note_shown(&self.store, by.caller().session(), language.code(), &shown).await;
        }
    }

    fn view(&self, name: &str, language: Language, edit: Option<&EditRow>) -> Option<EmailTemplateView> {
        let shipped = edited::shipped(name, language, &self.mailing.head)?;
        let variables = edited::variables(name)?;
        Some(EmailTemplateView {
            name: name.to_owned(),
            filename: format!("{name}.{}.html", language.code()),
            description: edited::about(name).to_owned(),
            variables: variables.iter().map(|variable| variable.name.to_owned()).collect(),
            subject: edit.map_or(shipped.subject, |edit| edit.subject.clone()),
            content: edit.map_or(shipped.content, |edit| edit.content.clone()),
            language: language.code().to_owned(),
            version: edit.map_or(SHIPPED, |edit| edit.version),
            edited: edit.is_some(),
            edited_by: edit.and_then(|edit| edit.edited_by.clone()),
            edited_at: edit.map(|edit| edit.edited_at),
        })
    }

    /// What can stand in each template.
    pub fn email_template_infos(&self, _by: &Admin) -> Vec<EmailTemplateInfo> {
        let info = |name: &&str| {
            let variables = edited::variables(name)?.into_iter().map(|variable| EmailVariable {
                name: variable.name.to_owned(),
                description: variable.about.to_owned(),
                kind: variable.kind.name().to_owned(),
                required: variable.is_required,
            });
            Some(EmailTemplateInfo {
                name: (*name).to_owned(),
                description: edited::about(name).to_owned(),
                variables: variables.collect(),
                languages: Language::ALL
                    .iter()
                    .map(|language| language.code().to_owned())
                    .collect(),
            })
        };
        EmailTemplate::KINDS.iter().filter_map(info).collect()
    }

    /// The text of a template with what `draft` says otherwise.
    async fn source(
        &self,
        name: &'static str,
        language: Language,
        draft: &EmailDraft,
    ) -> Result<(Source, Source), EmailError> {
        let shipped =
            edited::shipped(name, language, &self.mailing.head).ok_or(ChangeError::NotFound("E-mail template"))?;
        let edit = edits::current(&self.store, name, language.code()).await?;
        let now = edit.map_or_else(
            || shipped.clone(),
            |edit| Source {
                subject: edit.subject,
                content: edit.content,
            },
        );
        let source = Source {
            subject: draft.subject.clone().unwrap_or(now.subject),
            content: draft.content.clone().unwrap_or(now.content),
        };
        Ok((source, shipped))
    }

    /// Changes a template. `version` is the one that the form showed; by default the one that the session was shown
    /// last. Recorded in the audit log. The workers use the new text for the next e-mail.
    ///
    /// # Errors
    /// [`EmailError::Source`], [`ChangeError::NotFound`], [`ChangeError::Outdated`], [`ChangeError::NotSeen`].
    pub async fn change_email_template(
        &self,
        by: &Admin,
        name: &str,
        language: Language,
        draft: &EmailDraft,
        version: Option<i64>,
    ) -> Result<i64, EmailError> {
        let name = known(name)?;
        let (source, shipped) = self.source(name, language, draft).await?;
        let checked = edited::check(name, &source, language, &self.mailing.head)?;
        let edit = NewEdit {
            name: name.to_owned(),
            language: language.code(),
            subject: draft.subject.as_ref().map(|_| checked.subject),
            shipped_subject: shipped.subject,
            content: checked.content,
            seen: version,
        };
        let caller = by.caller();
        Ok(templates::put(&self.store, caller.user(), caller.session(), &edit).await?)
    }

    /// Brings the shipped text back; false if it is in use already. Recorded in the audit log.
    ///
    /// # Errors
    /// As [`change_email_template`](Self::change_email_template).
    pub async fn reset_email_template(
        &self,
        by: &Admin,
        name: &str,
        language: Language,
        version: Option<i64>,
    ) -> Result<bool, EmailError> {
        let (name, caller) = (known(name)?, by.caller());
        let (user, session) = (caller.user(), caller.session());
        Ok(templates::reset(&self.store, user, session, name, language.code(), version).await?)
    }

    async fn written(
        &self,
        name: &str,
        language: Language,
        draft: &EmailDraft,
        values: &BTreeMap<String, String>,
    ) -> Result<RenderedEmail, EmailError> {
        let name = known(name)?;
        let (source, _) = self.source(name, language, draft).await?;
        let source = if draft == &EmailDraft::default() {
            source
        } else {
            edited::check(name, &source, language, &self.mailing.head)?
        };
        let mut head = self.mailing.head.clone();
        if self.shop_name.is_none()
            && let Some(name) = branding::shop_name(&self.store).await?
        {
            head.shop = name;
        }
        head.logo = branding::logo(&self.store).await?;
        Ok(edited::preview(name, &source, values, language, &head)?)
    }

    /// An example of an e-mail, with the saved text or with a draft; `values` replaces those of the example.
    ///
    /// # Errors
    /// [`EmailError::Source`], [`ChangeError::NotFound`].
    pub async fn preview_email(
        &self,
        _by: &Admin,
        name: &str,
        language: Language,
        draft: &EmailDraft,
        values: &BTreeMap<String, String>,
    ) -> Result<EmailPreview, EmailError> {
        let written = self.written(name, language, draft, values).await?;
        Ok(EmailPreview {
            language: language.code().to_owned(),
            subject: written.subject,
            text: written.text,
            html: written.html,
        })
    }

    /// Sends an example of an e-mail to `recipient`, at once. Recorded in the audit log. `values` may hold addresses of the
    /// shop only: else everybody with `email.write` could send what looks like the shop's e-mail and leads elsewhere.
    ///
    /// # Errors
    /// [`EmailError`].
    pub async fn send_test_email(
        &self,
        by: &Admin,
        name: &str,
        language: Language,
        recipient: &str,
        values: &BTreeMap<String, String>,
        now: DateTime<Utc>,
    ) -> Result<(), EmailError> {
        let name = known(name)?;
        if !leads_home(name, values, &self.mailing.head.public_url) {
            return Err(EmailError::Fields(vec![FieldError {
                path: "variables",
                code: "foreign_link",
                msg: "This field must have no links but those of the shop",
            }]));
        }
        let written = self.written(name, language, &EmailDraft::default(), values).await?;
        templates::note_test(&self.store, by.caller().user(), name, language.code(), recipient).await?;
        self.mailing.send(&self.store, recipient, &written, now).await
    }

    /// E-mails of the queue in a state, without their contents; recipients are masked for those who may not read users.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn email_queue(
        &self,
        by: &Admin,
        state: EmailState,
        page: Page,
    ) -> lockstep_store::Result<EmailQueueList> {
        let read = self
            .store
            .read(|tx| Box::pin(email_queue::list(tx, state, page)))
            .await?;
        let mut list = read.value;
        if !by.may(Permission::UsersRead) {
            for email in &mut list.emails {
                MASKED_PERSON.clone_into(&mut email.recipient);
            }
        }
        Ok(list)
    }

    /// Makes an e-mail due now that was given up, or that waits after a failure. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::InUse`], [`ChangeError::Store`].
    pub async fn retry_email(&self, by: &Admin, id: Uuid) -> Result<(), ChangeError> {
        email_queue::retry(&self.store, by.caller().user(), id).await
    }

    /// The same for all of them, at most 1,000, the oldest first. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::Store`].
    pub async fn retry_failed_emails(&self, by: &Admin) -> Result<EmailRetries, ChangeError> {
        let retried = email_queue::retry_failed(&self.store, by.caller().user()).await?;
        Ok(EmailRetries { retried })
    }
}
