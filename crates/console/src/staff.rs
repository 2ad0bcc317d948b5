//! The member of staff who asks for a page.

use std::sync::Arc;

use axum::extract::FromRequestParts as _;
use axum::http::Method;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use lockstep_admin::BackOffice;
use lockstep_auth::{Admin, AuthError, ClientInfo};
use lockstep_domain::admin::{Found, Page};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::i18n::Language;
use lockstep_page::session::PageUser;
use lockstep_page::visit::{OnEveryPage, Preferences};

use crate::ConsoleState;

/// Rows of a page of a list.
const ROWS: u32 = 50;
/// Highest page number.
const MAX_PAGE: u32 = 100_000;

/// What a request needs, in its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// The permission; `None` if any member of staff may make it.
    pub(crate) permission: Option<Permission>,
    /// Whether the password must have been given within the last five minutes.
    pub(crate) confirmed: bool,
}

/// A member of staff with the permission of the page, and the use cases.
pub(crate) struct Staff {
    pub(crate) state: Arc<ConsoleState>,
    pub(crate) admin: Admin,
    pub(crate) visit: Preferences,
    pub(crate) device: ClientInfo,
    /// When the request was authenticated.
    pub(crate) now: DateTime<Utc>,
    pub(crate) needs: Needs,
}

impl Staff {
    /// The use cases of staff.
    pub(crate) fn office(&self) -> &BackOffice {
        &self.state.office
    }

    /// The language of the page.
    pub(crate) fn words(&self) -> Language {
        self.visit.language
    }

    /// Whether they have `permission`.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.admin.may(permission)
    }

    /// A parameter of the address, trimmed; `None` if it is missing, empty, or nothing that could be stored.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let found = self.visit.pairs().find(|(known, _)| known == name)?.1;
        let text = found.trim();
        let fits = !text.is_empty() && text.len() <= 2_000 && !text.contains('\0');
        fits.then(|| text.to_owned())
    }

    /// Every value of a parameter of the address.
    pub(crate) fn parameters(&self, name: &str) -> Vec<String> {
        let found = self.visit.pairs().filter(|(known, _)| known == name);
        found.map(|(_, value)| value).collect()
    }

    /// Whether there is a page at `address`, whose path has no parameters, that they may open.
    pub(crate) fn may_open(&self, address: &str) -> bool {
        let path = address.split('?').next().unwrap_or_default();
        let needed = self.state.needed_to_open(path);
        needed.is_some_and(|needed| needed.is_none_or(|permission| self.may(permission)))
    }

    /// Remembers that they have opened the page of a thing, for the search.
    pub(crate) async fn saw(&self, thing: Found) {
        self.office().saw(&self.admin, &thing).await;
    }

    /// The page of a list that the address names. A number that none has is the first page.
    pub(crate) fn page(&self) -> Page {
        let number = self.parameter("page").and_then(|number| number.parse().ok());
        Page {
            number: number.filter(|number| (1..=MAX_PAGE).contains(number)).unwrap_or(1),
            size: ROWS,
        }
    }
}

/// Why somebody gets another answer than the page.
pub(crate) enum Outside {
    /// They ask for the console and are signed out: the log-in leads back to it.
    SignedOut,
    /// They are on the staff, but gave no second factor in this session, which is required.
    NoSecondFactor(Preferences),
    /// The page does not exist, for them or at all; or it cannot be made.
    Error(PageError),
}

impl From<PageError> for Outside {
    fn from(error: PageError) -> Self {
        Self::Error(error)
    }
}

/// Reads who asks, without regard to whether they gave their password a moment ago.
pub(crate) async fn read(parts: &mut Parts, state: &Arc<ConsoleState>) -> Result<Staff, Outside> {
    let PageUser { context, device } = PageUser::from_request_parts(parts, state).await?;
    let Some(caller) = context.caller() else {
        // The one address that a member of staff types.
        if parts.method == Method::GET && parts.uri.path() == "/admin" {
            return Err(Outside::SignedOut);
        }
        return Err(PageError::NotFound.into());
    };
    let mut visit = Preferences::of_console(&parts.uri, &parts.headers);
    if !state.settings.shop_name_is_set
        && let Ok(site) = state.shop.catalogue().site().await
        && let Ok(site) = site.part(|site| site)
    {
        visit.site = Arc::new(OnEveryPage::of(&site, visit.language, state.now()));
    }
    let admin = match state.shop.auth().admin(caller.clone()).await {
        Ok(admin) => admin,
        Err(AuthError::AdminNeedsSecondFactor) => return Err(Outside::NoSecondFactor(visit)),
        Err(AuthError::Forbidden) => return Err(PageError::NotFound.into()),
        Err(error) => return Err(PageError::from(error).into()),
    };
    // Only `Route` puts it there: a page that was registered in another way is closed.
    let needs = parts.extensions.get::<Needs>().copied();
    let allowed = needs.filter(|needs| needs.permission.is_none_or(|permission| admin.may(permission)));
    let needs = allowed.ok_or(PageError::NotFound)?;
    Ok(Staff {
        now: state.now(),
        state: Arc::clone(state),
        admin,
        visit,
        device,
        needs,
    })
}
