//! Routes of staff: none can be registered without the permission that it needs.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use lockstep_domain::staff::Permission;

use crate::{ApiState, body};

/// What a request needs, in its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// The permission; `None` if any member of staff may make it.
    pub(super) permission: Option<Permission>,
    /// Whether the password must have been given within the last five minutes.
    pub(super) confirmed: bool,
    /// Whether the body is read by the handler while it arrives.
    pub(super) streamed: bool,
}

impl From<Permission> for Needs {
    fn from(permission: Permission) -> Self {
        Self {
            permission: Some(permission),
            confirmed: false,
            streamed: false,
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
            streamed: false,
        }
    }
}

/// What counts only while the password was given a moment ago.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confirmed<N>(pub(crate) N);

impl<N: Into<Needs>> From<Confirmed<N>> for Needs {
    fn from(Confirmed(needs): Confirmed<N>) -> Self {
        Self {
            confirmed: true,
            ..needs.into()
        }
    }
}

/// A permission to send a file that the handler reads while it arrives. The handler asks for the permission again at the
/// end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streamed(pub(crate) Permission);

impl From<Streamed> for Needs {
    fn from(Streamed(permission): Streamed) -> Self {
        Self {
            permission: Some(permission),
            confirmed: false,
            streamed: true,
        }
    }
}

/// A route of staff: every method with its handler and the permission that it needs.
pub(crate) struct StaffRoute {
    /// The path, with its parameters in braces.
    pub(crate) path: &'static str,
    /// The handlers.
    pub(crate) methods: MethodRouter<Arc<ApiState>>,
    /// The permission that each method needs; `None` if any member of staff may use it.
    pub(crate) needs: Vec<(&'static str, Option<Permission>)>,
}

/// Starts a route at `path`.
pub(crate) fn at(path: &'static str) -> StaffRoute {
    StaffRoute {
        path,
        methods: MethodRouter::new(),
        needs: Vec::new(),
    }
}

/// Defines the functions that add the handler of a method.
macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident $name:literal),*) => {
        impl StaffRoute {
            $(
                $(#[$doc])*
                pub(crate) fn $method<H, T>(self, needs: impl Into<Needs>, handler: H) -> Self
                where
                    H: Handler<T, Arc<ApiState>>,
                    T: 'static,
                {
                    self.with($name, needs.into(), $method(handler))
                }
            )*
        }
    };
}

methods! {
    /// Adds the handler of GET.
    get "GET",
    /// Adds the handler of POST.
    post "POST",
    /// Adds the handler of PUT.
    put "PUT",
    /// Adds the handler of DELETE.
    delete "DELETE"
}

impl StaffRoute {
    fn with(mut self, method: &'static str, needs: Needs, handler: MethodRouter<Arc<ApiState>>) -> Self {
        self.needs.push((method, needs.permission));
        let handler = handler.route_layer(Extension(needs));
        // Whose rights end while they still send has none when the change is made.
        let handler = if needs.streamed {
            handler
        } else {
            handler.route_layer(middleware::from_fn(whole_body))
        };
        self.methods = self.methods.merge(handler);
        self
    }
}

/// Reads the whole body before the caller's permissions are.
async fn whole_body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match body::read(body).await {
        Ok(bytes) => next.run(Request::from_parts(parts, bytes.into())).await,
        Err(error) => error.into_response(),
    }
}
