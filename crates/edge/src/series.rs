//! The metrics of requests by route: rate, errors, duration.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Histogram};

/// Answered requests, by `route`, `method` and `status`.
pub const REQUESTS_TOTAL: &str = "http_requests_total";
/// Time until an answer began, by `route` and `method`.
pub const DURATION_SECONDS: &str = "http_request_duration_seconds";

/// Upper bounds of the buckets of [`DURATION_SECONDS`], in seconds.
///
/// The steps are where a reader of the figures decides something: 1 ms separates answers from memory from those that
/// asked the database; 5 to 100 ms are reads and orders (p99 of an uncached list: 20 to 70 ms); 250 ms is a log-in,
/// which hashes a password on purpose; 1 s is what the log calls slow; 2.5 s is a full wait for a lock or a connection;
/// 10 s is the time limit, so nothing but an upload is beyond it. Eleven buckets for each route and method keep the scrape
/// below a megabyte.
pub const DURATION_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Statuses whose counters are registered in advance; others take a look-up.
const COUNTED: [StatusCode; 14] = [
    StatusCode::OK,
    StatusCode::NOT_MODIFIED,
    StatusCode::CREATED,
    StatusCode::ACCEPTED,
    StatusCode::SEE_OTHER,
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// The metrics of one route and method.
#[derive(Debug)]
pub(crate) struct Series {
    route: Box<str>,
    method: &'static str,
    answered: [OnceLock<Counter>; COUNTED.len()],
    seconds: OnceLock<Histogram>,
}

/// The series of an endpoint, which is asked for one route and one method; and for HEAD, which it answers as GET.
pub(crate) type Seen = Arc<[OnceLock<Arc<Series>>; 2]>;

impl Series {
    /// The series of this request, from `seen` if it is the endpoint's.
    pub(crate) fn of(seen: &[OnceLock<Arc<Self>>; 2], route: &str, method: &'static str) -> Arc<Self> {
        let usual = seen[usize::from(method == "HEAD")].get_or_init(|| Arc::new(Self::new(route, method)));
        if usual.method == method && *usual.route == *route {
            Arc::clone(usual)
        } else {
            Arc::new(Self::new(route, method))
        }
    }

    fn new(route: &str, method: &'static str) -> Self {
        Self {
            route: route.into(),
            method,
            answered: [const { OnceLock::new() }; COUNTED.len()],
            seconds: OnceLock::new(),
        }
    }

    pub(crate) fn route(&self) -> &str {
        &self.route
    }

    pub(crate) const fn method(&self) -> &'static str {
        self.method
    }

    pub(crate) fn count(&self, status: StatusCode, took: Duration) {
        let counter = || {
            metrics::counter!(
                REQUESTS_TOTAL,
                "route" => self.route.to_string(),
                "method" => self.method,
                "status" => status.as_u16().to_string(),
            )
        };
        let known = COUNTED
            .iter()
            .zip(&self.answered)
            .find(|(counted, _)| **counted == status);
        match known {
            Some((_, handle)) => handle.get_or_init(counter).increment(1),
            None => counter().increment(1),
        }
        self.seconds
            .get_or_init(
                || metrics::histogram!(DURATION_SECONDS, "route" => self.route.to_string(), "method" => self.method),
            )
            .record(took.as_secs_f64());
    }
}

/// The name of a method in metrics and logs: one of a fixed number, whatever a client sends.
pub(crate) const fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_an_endpoint_are_made_once_also_after_a_head_request() {
        let seen = Seen::default();
        for method in ["HEAD", "GET"] {
            let first = Series::of(&seen, "/games", method);
            assert!(Arc::ptr_eq(&first, &Series::of(&seen, "/games", method)), "{method}");
        }
    }
}
