//! What the pages of the shop and those of its staff have in common: languages and formats, forms, sessions, errors,
//! and how a page is answered.
//!
//! Texts are in `messages/`; a crate of pages has its own templates, stylesheet and routes.

pub mod assets;
pub mod countries;
pub mod error;
pub mod format;
pub mod forms;
pub mod i18n;
pub mod page;
pub mod session;
pub mod visit;
