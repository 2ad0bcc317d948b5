//! Who may open which page: none can be registered without the permission that it needs.
//!
//! To everybody who may not open a page it does not exist (404), as an address without a page. Only `/admin` itself
//! leads a signed-out visitor to the log-in, and back.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::handler::Handler;
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};

use crate::ConsoleState;
use crate::staff::{self, Needs, Outside, Staff};
use crate::step_up;
use crate::table::with_query;

impl From<Permission> for Needs {
    fn from(permission: Permission) -> Self {
        Self {
            permission: Some(permission),
            confirmed: false,
        }
    }
}

/// Any member of staff may make the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnyStaff;

impl From<AnyStaff> for Needs {
    fn from(AnyStaff: AnyStaff) -> Self {
        Self {
            permission: None,
            confirmed: false,
        }
    }
}

/// A form that counts only while the password was given a moment ago. Otherwise its page asks for it, and then carries
/// out what was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confirmed(pub(crate) Permission);

impl From<Confirmed> for Needs {
    fn from(Confirmed(permission): Confirmed) -> Self {
        Self {
            permission: Some(permission),
            confirmed: true,
        }
    }
}

/// The same for any member of staff.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConfirmedStaff;

impl From<ConfirmedStaff> for Needs {
    fn from(ConfirmedStaff: ConfirmedStaff) -> Self {
        Self {
            permission: None,
            confirmed: true,
        }
    }
}

/// A page of staff: every method with its handler and what it needs.
pub(crate) struct Route {
    /// The path, with its parameters in braces.
    pub(crate) path: &'static str,
    /// The handlers.
    pub(crate) methods: MethodRouter<Arc<ConsoleState>>,
    /// What each method needs.
    pub(crate) needs: Vec<(&'static str, Needs)>,
}

/// Starts a route at `path`.
pub(crate) fn at(path: &'static str) -> Route {
    Route {
        path,
        methods: MethodRouter::new(),
        needs: Vec::new(),
    }
}

impl Route {
    /// Adds the handler of GET.
    pub(crate) fn get<H, T>(self, needs: impl Into<Needs>, handler: H) -> Self
    where
        H: Handler<T, Arc<ConsoleState>>,
        T: 'static,
    {
        self.adding("GET", needs.into(), get(handler))
    }

    /// Adds the handler of POST.
    pub(crate) fn post<H, T>(self, needs: impl Into<Needs>, handler: H) -> Self
    where
        H: Handler<T, Arc<ConsoleState>>,
        T: 'static,
    {
        self.adding("POST", needs.into(), post(handler))
    }

    /// Adds the handler of POST that reads a file while it arrives. The use case bounds it, and asks for the permission
    /// again at its end.
    pub(crate) fn upload<H, T>(self, needs: impl Into<Needs>, handler: H) -> Self
    where
        H: Handler<T, Arc<ConsoleState>>,
        T: 'static,
    {
        self.adding("POST", needs.into(), post(handler).layer(DefaultBodyLimit::disable()))
    }

    fn adding(mut self, method: &'static str, needs: Needs, handler: MethodRouter<Arc<ConsoleState>>) -> Self {
        self.needs.push((method, needs));
        self.methods = self.methods.merge(handler.route_layer(Extension(needs)));
        self
    }
}

/// Maximum size of a form of staff in bytes. An own page, article or e-mail holds up to 90,000 bytes, which a browser may
/// send as three times as many; what is longer has to reach the field that says so.
const MAX_FORM_BYTES: usize = 512 * 1024;

/// Reads who asks, or answers them.
async fn read(parts: &mut Parts, state: &Arc<ConsoleState>) -> Result<Staff, Response> {
    staff::read(parts, state).await.map_err(|outside| match outside {
        Outside::SignedOut => {
            let back = [("next", state.settings.path.as_str())];
            forms::done(&with_query("/login", back))
        }
        Outside::NoSecondFactor(visit) => step_up::second_factor(state, &visit),
        Outside::Error(error) => error.into_response(),
    })
}

impl FromRequestParts<Arc<ConsoleState>> for Staff {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ConsoleState>) -> Result<Self, Response> {
        let staff = read(parts, state).await?;
        if staff.needs.confirmed && !step_up::is_confirmed(&staff).await.map_err(PageError::into_response)? {
            return Err(PageError::Forbidden.into_response());
        }
        Ok(staff)
    }
}

/// A member of staff and the form that they sent. What needs the password again asks for it here; the form is not lost.
pub(crate) struct StaffForm {
    pub(crate) staff: Staff,
    pub(crate) form: Form,
}

impl FromRequest<Arc<ConsoleState>> for StaffForm {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<ConsoleState>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        // The whole form comes before the permissions are read: whose rights end while they send has none afterwards.
        let copy = {
            let mut copy = Request::new(body);
            *copy.headers_mut() = parts.headers.clone();
            copy
        };
        let form = Form::read(copy, MAX_FORM_BYTES).await;
        let staff = read(&mut parts, state).await?;
        let mut form = form.map_err(PageError::into_response)?;
        if staff.needs.confirmed
            && let Some(asked) = step_up::ask(&staff, &mut form)
                .await
                .map_err(PageError::into_response)?
        {
            return Err(asked);
        }
        Ok(Self { staff, form })
    }
}

/// An address without a page, whoever asks; one with a slash at its end leads to the one without.
pub(crate) async fn nothing_here(address: Uri) -> Response {
    if address.path() == "/admin/" {
        return forms::done("/admin");
    }
    PageError::NotFound.into_response()
}

/// An address that only takes forms, or only shows a page.
pub(crate) async fn wrong_method() -> Response {
    PageError::NotFound.into_response()
}
