//! The pages, one module each.

pub(crate) mod catalogue;
pub(crate) mod game;
pub(crate) mod home;
pub(crate) mod me;
pub(crate) mod preferences;
pub(crate) mod preorders;
pub(crate) mod recent;
pub(crate) mod style;
