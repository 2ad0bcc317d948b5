//! The pages as their readers get them: real PostgreSQL, the whole router, whole answers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod addresses;
mod avatars;
mod counts;
mod editions;
mod forms;
mod help;
mod html;
mod links;
mod members;
mod pages;
mod pictures;
mod shop;
