//! What staff may do while they act as a customer: one list for the API and the pages. What is not on it is refused.

use http::Method;

/// Beginnings of the paths that such a request may write to: cart and wishlist, and the looks of the pages.
const WRITABLE: [&str; 4] = ["/cart", "/wishlist", "/user/wishlist", "/preferences"];
/// Ends of the paths that move a guest's things into an account: the guest is the member of staff.
const MIGRATE: &str = "/migrate";
/// Paths of exports: they hold more than a look at the account.
const EXPORTS: [&str; 2] = ["/account/data/download", "/user/export"];

/// Whether staff who act as a customer may make this request: they look, and change cart and wishlist. `path` has no
/// query; a path of the API may begin with any number of `/api`.
pub fn may_impersonate(method: &Method, path: &str) -> bool {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("/api") {
        path = rest;
    }
    if *method == Method::GET || *method == Method::HEAD {
        // A key as a file.
        let is_key = path.starts_with("/orders/") && path.split('/').any(|part| part == "keys");
        return !is_key && !EXPORTS.contains(&path);
    }
    let is_below = |folder: &&str| {
        let rest = path.strip_prefix(*folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    WRITABLE.iter().any(is_below) && !path.ends_with(MIGRATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_acts_as_a_customer_looks_and_fills_the_cart() {
        for (method, path) in [
            (Method::GET, "/"),
            (Method::HEAD, "/account"),
            (Method::GET, "/account/keys"),
            (Method::GET, "/orders/0192f0c1-0000-4000-8000-000000000001"),
            (Method::GET, "/api/user/profile"),
            (Method::POST, "/cart/add"),
            (Method::POST, "/api/cart"),
            (Method::PUT, "/api/api/cart/0192f0c1-0000-4000-8000-000000000001"),
            (Method::DELETE, "/api/wishlist/0192f0c1-0000-4000-8000-000000000001"),
            (Method::POST, "/preferences"),
        ] {
            assert!(may_impersonate(&method, path), "{method} {path}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (method, path) in [
            (Method::POST, "/checkout"),
            (Method::POST, "/api/orders"),
            (Method::POST, "/account/balance"),
            (Method::POST, "/api/payment/balance-top-up"),
            (Method::GET, "/orders/a/keys/b"),
            (Method::GET, "/api/orders/a/keys/b/file"),
            (Method::POST, "/account/password"),
            (Method::PUT, "/api/user/password"),
            (Method::PUT, "/api/user/profile"),
            (Method::POST, "/account/second-factor"),
            (Method::POST, "/account/billing"),
            (Method::POST, "/account/delete"),
            (Method::DELETE, "/api/user/account"),
            (Method::GET, "/account/data/download"),
            (Method::GET, "/api/user/export"),
            (Method::POST, "/api/cart/migrate"),
            (Method::POST, "/login"),
            (Method::POST, "/cartography"),
            (Method::POST, "/withdraw"),
            (Method::POST, "/a-page-that-comes-later"),
        ] {
            assert!(!may_impersonate(&method, path), "{method} {path}");
        }
    }
}
