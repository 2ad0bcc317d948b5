//! `GET /fragments/me`: the personal part of the header, which `site.js` puts into pages that are the same for everybody.
//!
//! Without scripts the header shows plain links to account and cart, which know who is asking.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::account::{DEFAULT_NICKNAME, ProfileFacts};
use lockstep_shop::Arrival;

use crate::error::PageError;
use crate::frame::Frame;
use crate::session::Reader;
use crate::visit::Visit;
use crate::{WebState, page};

#[derive(Template)]
#[template(path = "fragments/me.html")]
struct Fragment {
    frame: Frame,
    me: Me,
}

/// What the header shows of a reader.
#[derive(Debug, Default)]
pub(crate) struct Me {
    /// Of a member who is signed in; empty when they have not said how they are called.
    pub(crate) name: Option<String>,
    /// Copies in the cart.
    pub(crate) in_cart: u64,
}

impl Me {
    pub(crate) async fn of(arrival: &Arrival) -> Result<Self, PageError> {
        let name = match arrival.caller() {
            Some(_) => Some(name(&arrival.profile().await?).unwrap_or_default()),
            None => None,
        };
        let cart = arrival.cart().await?.read()?;
        Ok(Self {
            name,
            in_cart: cart.items.iter().map(|line| u64::from(line.quantity)).sum(),
        })
    }
}

/// What a member wants to be called. The name that everybody has who chose none is nobody's.
pub(crate) fn name(profile: &ProfileFacts) -> Option<String> {
    let chosen = profile.nickname.as_ref().filter(|name| *name != DEFAULT_NICKNAME);
    chosen
        .or(profile.first_name.as_ref())
        .filter(|name| !name.is_empty())
        .cloned()
}

pub(crate) async fn fragment(
    State(state): State<Arc<WebState>>,
    visit: Visit,
    reader: Reader,
) -> Result<Response, PageError> {
    page::private(&Fragment {
        frame: Frame::new(&state, &visit),
        me: Me::of(&reader.arrival).await?,
    })
}
