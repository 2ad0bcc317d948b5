//! The API as its callers see it: real PostgreSQL, the whole router, whole answers.

mod bad_input;
mod edge;
mod filters;
mod lists;
mod outage;
mod search;
mod shapes;
mod shop;
