//! Mail servers that staff enter.
//!
//! A server becomes the active one only with settings that it lets us in with, and the active one changes only to such:
//! a wrong password would otherwise stop every e-mail without anybody noticing.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_auth::Admin;
use lockstep_domain::Secret;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{EmailServer, EmailServerForm, MASKED_PASSWORD, ServerSource};
use lockstep_mail::{Encryption, SmtpAddress};
use lockstep_store::admin::email_settings::{self, Entered};
use lockstep_store::mail::servers::Server;
use uuid::Uuid;

use crate::mailing::EmailError;
use crate::{BackOffice, ChangeError};

impl BackOffice {
    /// The mail servers: that of `SMTP_URL`, if it is set, then those that staff entered, the active one first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn email_servers(&self, _by: &Admin, active_only: bool) -> lockstep_store::Result<Vec<EmailServer>> {
        let entered = email_settings::list(&self.store, active_only).await?;
        let fixed = self.fixed_server();
        Ok(fixed
            .into_iter()
            .chain(entered.into_iter().map(|server| self.shown(server)))
            .collect())
    }

    /// A mail server.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn email_server(&self, by: &Admin, id: Uuid) -> lockstep_store::Result<Option<EmailServer>> {
        let all = self.email_servers(by, false).await?;
        Ok(all.into_iter().find(|server| server.id == id))
    }

    /// Enters a mail server. Recorded in the audit log.
    ///
    /// # Errors
    /// [`EmailError::Fields`]; [`EmailError::Server`] when it shall be the active one and its test fails.
    pub async fn create_email_server(
        &self,
        by: &Admin,
        form: EmailServerForm,
        now: DateTime<Utc>,
    ) -> Result<EmailServer, EmailError> {
        let new = merged(None, form, now)?;
        self.put_server(by, new, true, now).await
    }

    /// Changes a mail server. Recorded in the audit log.
    ///
    /// # Errors
    /// As [`create_email_server`](Self::create_email_server); [`ChangeError::NotFound`], [`ChangeError::Outdated`],
    /// [`EmailError::Environment`].
    pub async fn change_email_server(
        &self,
        by: &Admin,
        id: Uuid,
        form: EmailServerForm,
        now: DateTime<Utc>,
    ) -> Result<EmailServer, EmailError> {
        self.refuse_fixed(id)?;
        let before = email_settings::detail(&self.store, id)
            .await?
            .ok_or(ChangeError::NotFound("Mail server"))?;
        if form.version.is_some_and(|version| version != before.server.version) {
            return Err(ChangeError::Outdated("mail server").into());
        }
        let new = merged(Some(&before), form, now)?;
        let mut saved = self.put_server(by, new, false, now).await?;
        if before.is_active && !saved.is_active && self.mailing.fixed.is_none() && self.mailing.otherwise.is_none() {
            let active = email_settings::list(&self.store, true).await?;
            if active.is_empty() {
                saved.warning = Some(NONE_ACTIVE.to_owned());
            }
        }
        Ok(saved)
    }

    async fn put_server(
        &self,
        by: &Admin,
        mut new: Entered,
        is_new: bool,
        now: DateTime<Utc>,
    ) -> Result<EmailServer, EmailError> {
        // Older than this, a test says nothing: a password may have been changed since.
        let is_tested = new.passed_at.is_some_and(|at| now - at < TimeDelta::minutes(10));
        if new.is_active && !is_tested {
            self.mailing.test(&new.server).await?;
            (new.passed_at, new.test_error) = (Some(now), None);
        }
        email_settings::put(&self.store, by.caller().user(), &new, is_new).await?;
        let saved = self.email_server(by, new.server.id).await?;
        saved.ok_or_else(|| ChangeError::NotFound("Mail server").into())
    }

    /// Deletes a mail server that is not the active one. Recorded in the audit log.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`], [`ChangeError::InUse`], [`EmailError::Environment`].
    pub async fn delete_email_server(&self, by: &Admin, id: Uuid) -> Result<(), EmailError> {
        self.refuse_fixed(id)?;
        Ok(email_settings::delete(&self.store, by.caller().user(), id).await?)
    }

    /// Connects to a mail server, logs in and names the sender; sends nothing. The result is saved.
    ///
    /// # Errors
    /// [`EmailError::Server`] with the server's reason, [`ChangeError::NotFound`].
    pub async fn test_email_server(&self, _by: &Admin, id: Uuid) -> Result<(), EmailError> {
        if id.is_nil() {
            return self.mailing.test_fixed().await;
        }
        let entered = email_settings::detail(&self.store, id)
            .await?
            .ok_or(ChangeError::NotFound("Mail server"))?;
        let result = self.mailing.test(&entered.server).await;
        let error = match &result {
            Ok(()) => None,
            Err(EmailError::Server(reason)) => Some(reason.as_str()),
            Err(_) => return result,
        };
        email_settings::note_test(&self.store, id, entered.server.version, error).await?;
        result
    }

    fn refuse_fixed(&self, id: Uuid) -> Result<(), EmailError> {
        match (id.is_nil(), &self.mailing.fixed) {
            (true, Some(_)) => Err(EmailError::Environment),
            _ => Ok(()),
        }
    }

    /// The server of `SMTP_URL`.
    fn fixed_server(&self) -> Option<EmailServer> {
        let fixed = self.mailing.fixed.as_ref()?;
        let (from_name, from_email) = fixed.transport.sender();
        let (user, since) = (fixed.address.user().to_owned(), self.mailing.since);
        Some(EmailServer {
            id: Uuid::nil(),
            name: "SMTP_URL".to_owned(),
            host: fixed.address.host().to_owned(),
            port: fixed.address.port(),
            secure: fixed.address.encryption() == Encryption::Implicit,
            password: masked(!user.is_empty()),
            user,
            from_email,
            from_name,
            is_active: true,
            in_use: true,
            source: ServerSource::Environment,
            version: 0,
            tested_at: None,
            test_error: None,
            created_at: since,
            updated_at: since,
            warning: fixed.transport.weakness().map(str::to_owned),
        })
    }

    fn shown(&self, entered: Entered) -> EmailServer {
        let server = entered.server;
        let is_open = server.password.is_none() && !server.secure;
        let address = SmtpAddress::of_parts(&server.host, server.port, server.secure, None).ok();
        EmailServer {
            id: server.id,
            name: entered.name,
            host: server.host,
            port: server.port,
            secure: server.secure,
            user: server.user,
            password: masked(server.password.is_some()),
            from_email: server.from_email,
            from_name: server.from_name,
            is_active: entered.is_active,
            in_use: entered.is_active && self.mailing.fixed.is_none(),
            source: ServerSource::Database,
            version: server.version,
            tested_at: entered.passed_at,
            test_error: entered.test_error,
            created_at: entered.created_at,
            updated_at: entered.updated_at,
            warning: (address.filter(|_| is_open))
                .and_then(|address| address.weakness())
                .map(|_| OPEN.to_owned()),
        }
    }
}

/// What is said of a server to which e-mails may go in clear.
const OPEN: &str = "E-mails, with their links, codes and keys, are sent in clear if this server offers no STARTTLS.";
/// What is said when the last active server is deactivated.
const NONE_ACTIVE: &str = "No mail server is active now: every e-mail waits until one is.";

fn masked(is_there: bool) -> String {
    if is_there {
        MASKED_PASSWORD.to_owned()
    } else {
        String::new()
    }
}

/// What is to be stored. A password is kept only for the server and the user that it was entered for: otherwise an
/// account that may change the host could have the password sent to it.
fn merged(before: Option<&Entered>, form: EmailServerForm, now: DateTime<Utc>) -> Result<Entered, EmailError> {
    let was = before.map(|before| &before.server);
    let host = form
        .host
        .or_else(|| was.map(|was| was.host.clone()))
        .unwrap_or_default();
    let port = form.port.and_then(|port| u16::try_from(port).ok());
    let port = port.or_else(|| was.map(|was| was.port)).unwrap_or_default();
    let secure = form.secure.or_else(|| was.map(|was| was.secure)).unwrap_or(port == 465);
    let user = form
        .user
        .or_else(|| was.map(|was| was.user.clone()))
        .unwrap_or_default();
    let is_same = was.is_some_and(|was| (&was.host, was.port, was.secure, &was.user) == (&host, port, secure, &user));
    let kept = was.filter(|_| is_same).and_then(|was| was.password.clone());
    let has_new_password = form.password.is_some();
    let password = form.password.or(kept).filter(|_| !user.is_empty());
    let is_active = form
        .is_active
        .unwrap_or_else(|| before.is_some_and(|before| before.is_active));
    // What cannot be opened can stay, but not be tested.
    let is_locked = was.is_some_and(|was| was.is_locked) && is_same && password.is_none();
    if is_locked && is_active {
        return Err(EmailError::Fields(vec![FieldError {
            path: "password",
            code: "required",
            msg: "This field is required: no secret of LOCKSTEP_KEY_SECRET opens the stored password",
        }]));
    }
    if password.is_none() && !user.is_empty() && !is_locked {
        return Err(EmailError::Fields(vec![FieldError {
            path: "password",
            code: "required",
            msg: "This field is required with a user, and again when the server or the user changes",
        }]));
    }
    let from_email = form.from_email.or_else(|| was.map(|was| was.from_email.clone()));
    let from_name = match form.from_name {
        Some(name) => Some(name).filter(|name| !name.is_empty()),
        None => was.and_then(|was| was.from_name.clone()),
    };
    let name = form.name.or_else(|| before.map(|before| before.name.clone()));
    // The sender is a part of what was tested: a server may refuse another one.
    let is_same_sender = was.is_some_and(|was| from_email.as_ref() == Some(&was.from_email));
    let is_proved = is_same && is_same_sender && !has_new_password;
    Ok(Entered {
        name: name.unwrap_or_else(|| host.chars().take(100).collect()),
        is_active,
        passed_at: before
            .as_ref()
            .filter(|_| is_proved)
            .and_then(|before| before.passed_at),
        test_error: before
            .as_ref()
            .filter(|_| is_proved)
            .and_then(|before| before.test_error.clone()),
        created_at: before.map_or(now, |before| before.created_at),
        updated_at: now,
        server: Server {
            id: was.map_or_else(Uuid::now_v7, |was| was.id),
            version: was.map_or(0, |was| was.version),
            host,
            port,
            secure,
            user,
            password: password.filter(|password: &Secret| !password.expose().is_empty()),
            is_locked,
            from_email: from_email.unwrap_or_default(),
            from_name,
        },
    })
}
