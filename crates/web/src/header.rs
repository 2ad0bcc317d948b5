//! What the header of a page shows of its reader.

use lockstep_domain::account::{DEFAULT_NICKNAME, ProfileFacts};
use lockstep_shop::RequestContext;

use crate::error::PageError;

/// What the header shows of a reader.
#[derive(Debug, Default)]
pub(crate) struct Me {
    /// Name of a signed-in user; empty when they have not set one.
    pub(crate) name: Option<String>,
    /// Number of units in the cart.
    pub(crate) in_cart: u64,
}

impl Me {
    pub(crate) async fn of(context: &RequestContext) -> Result<Self, PageError> {
        let name = match context.caller() {
            Some(_) => Some(name(&context.profile().await?).unwrap_or_default()),
            None => None,
        };
        let cart = context.cart().await?.read()?;
        Ok(Self {
            name,
            in_cart: cart.items.iter().map(|line| u64::from(line.quantity)).sum(),
        })
    }
}

/// The name that a user chose, or their first name; the default nickname does not count.
pub(crate) fn name(profile: &ProfileFacts) -> Option<String> {
    let chosen = profile.nickname.as_ref().filter(|name| *name != DEFAULT_NICKNAME);
    chosen
        .or(profile.first_name.as_ref())
        .filter(|name| !name.is_empty())
        .cloned()
}
