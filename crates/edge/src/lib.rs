//! The edge: one layer around every route, of the API and of the pages, of health checks and metrics, and around the
//! answers before the store is open.
//!
//! On the way in it assigns a [`RequestId`], opens the span of the request, and enforces the limits on concurrency and
//! time. On the way out it renders what failed, adds the [security headers](Policy), counts the request by route, and
//! writes the access log. What the API and the pages do differently is their [`Surface`].
//!
//! **Why this is one service and not a stack of `tower-http` layers.** A cached answer takes some ten microseconds, half
//! of them in the kernel (docs/performance.md). Each layer that changes the type of a body or a future (trace, timeout,
//! catch-panic, request body limit) costs a box and a copy of the response on each request, and the timer of a timeout
//! is registered although most answers are ready at once; removing these was measured at three microseconds an answer.
//! Two of them also answer in their own words: a timeout and a panic here are the contract's envelope or a page in the
//! reader's language. From `tower-http` come compression, CSRF protection and the marking of sensitive headers, which
//! have no such cost. CORS stays ours because a refused preflight is 403 with an envelope, and `Vary` one line.

mod access;
mod layer;
mod policy;
mod request_id;
mod series;

pub use layer::{Edge, EdgeLayer, Failure, Limits, Surface};
pub use policy::Policy;
pub use request_id::RequestId;
pub use series::{DURATION_BUCKETS, DURATION_SECONDS, REQUESTS_TOTAL};
