//! Routes of staff: none can be registered without the permission that it needs.

use std::sync::Arc;

use axum::Extension;
use axum::handler::Handler;
use axum::routing::{MethodRouter, delete, get, post, put};
use lockstep_domain::staff::Permission;

use crate::ApiState;

/// The permission that a request needs, in its extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs(pub(super) Permission);

/// A route of staff: every method with its handler and the permission that it needs.
pub(crate) struct StaffRoute {
    /// The path, with its parameters in braces.
    pub(crate) path: &'static str,
    /// The handlers.
    pub(crate) methods: MethodRouter<Arc<ApiState>>,
    /// The permission that each method needs.
    pub(crate) needs: Vec<(&'static str, Permission)>,
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
                pub(crate) fn $method<H, T>(self, permission: Permission, handler: H) -> Self
                where
                    H: Handler<T, Arc<ApiState>>,
                    T: 'static,
                {
                    self.with($name, permission, $method(handler))
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
    fn with(mut self, method: &'static str, permission: Permission, handler: MethodRouter<Arc<ApiState>>) -> Self {
        self.needs.push((method, permission));
        self.methods = self.methods.merge(handler.route_layer(Extension(Needs(permission))));
        self
    }
}
