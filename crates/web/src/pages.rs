//! The pages, one module each.

pub(crate) mod home;
pub(crate) mod me;
pub(crate) mod preferences;
pub(crate) mod style;
