//! E-mails about an order, as staff read them.

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_domain::admin::MASKED_PERSON;
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::OrderId;
use lockstep_domain::staff::Permission;
use lockstep_mail::edited::{self, Source};
use lockstep_mail::{RenderedEmail, write};
use lockstep_store::mail::{self, edits};
use lockstep_store::{Result, branding, sessions};
use uuid::Uuid;

use crate::BackOffice;

/// What an e-mail says.
pub enum EmailContent {
    /// As it is sent, with keys, codes and tokens masked.
    Kept(Box<RenderedEmail>),
    /// It is kept, but this process cannot read it.
    Unreadable,
    /// It was erased after it was sent, or when it had become useless.
    Forgotten,
}

/// An e-mail about an order. Without `Debug`, as what it holds.
pub struct SentEmail {
    /// Its kind ([`EmailTemplate::kind`]).
    pub kind: String,
    /// The recipient's address, masked without `users.read`.
    pub recipient: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was given up.
    pub gave_up_at: Option<DateTime<Utc>>,
    /// What it says.
    pub content: EmailContent,
}

impl BackOffice {
    /// The e-mail `id`, if it is about `order`.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.order_email", skip_all, fields(%order))]
    pub async fn order_email(&self, by: &Admin, order: OrderId, id: Uuid) -> Result<Option<SentEmail>> {
        let Some(found) = mail::about_order(&self.store, order, id).await? else {
            return Ok(None);
        };
        let content = match found.letter {
            Some(Ok(letter)) => self.content(id, letter).await?,
            Some(Err(_)) => EmailContent::Unreadable,
            None => EmailContent::Forgotten,
        };
        let queued = found.queued;
        let recipient = if by.may(Permission::UsersRead) {
            queued.recipient
        } else {
            MASKED_PERSON.to_owned()
        };
        Ok(Some(SentEmail {
            kind: queued.kind,
            recipient,
            created_at: queued.created_at,
            sent_at: queued.sent_at,
            gave_up_at: queued.gave_up_at,
            content,
        }))
    }

    /// What the worker would send now, masked.
    async fn content(&self, id: Uuid, letter: EmailTemplate) -> Result<EmailContent> {
        let language = match letter.language() {
            Some(language) => language,
            None => sessions::language_of_letter(&self.store, id).await?,
        };
        let letter = letter.masked();
        let mut head = self.mailing.head.clone();
        if self.shop_name.is_none()
            && let Some(name) = branding::shop_name(&self.store).await?
        {
            head.shop = name;
        }
        head.logo = branding::logo(&self.store).await?;
        let edit = edits::current(&self.store, letter.kind(), language.code()).await?;
        let edited = edit.and_then(|edit| {
            let source = Source {
                subject: edit.subject,
                content: edit.content,
            };
            // The worker sends the shipped text as well where the edited one cannot be used.
            edited::render(&letter, &source, language, &head).ok()
        });
        let rendered = edited.or_else(|| write(&letter, language, &head).ok());
        Ok(rendered.map_or(EmailContent::Unreadable, |email| EmailContent::Kept(Box::new(email))))
    }
}
