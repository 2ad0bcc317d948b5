//! Pictures: as pages refer to them, always with a size, so that nothing moves while they load, and always from here;
//! and the proxy that brings them from where the catalogue says they are.

mod fetch;
mod keep;
pub(crate) mod proxy;
mod shrink;
pub(crate) mod upload;

use std::fmt::Write as _;

use lockstep_domain::GameId;
use lockstep_domain::catalogue::Game;
use sha2::{Digest as _, Sha256};

use crate::covers;
pub use proxy::PictureSettings;
pub(crate) use proxy::Proxy;

/// Widths that covers are offered in, in pixels.
pub(crate) const COVER_WIDTHS: [u32; 3] = [160, 320, 480];

/// Width of the small pictures under a gallery.
pub(crate) const THUMB_WIDTH: u32 = 160;

/// Widths that pictures of a gallery are offered in.
pub(crate) const GALLERY_WIDTHS: [u32; 3] = [480, 960, 1280];

/// One picture of a page.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) src: String,
    /// Empty when there is but one size.
    pub(crate) srcset: String,
}

impl Picture {
    /// The cover of a game, upright, 3 to 4. `image` is what the catalogue names: an address somewhere, or that of the
    /// cover that is drawn here.
    pub(crate) fn cover(id: GameId, slug: &str, image: &str) -> Self {
        if !image.starts_with("https://") && !image.starts_with("http://") {
            return Self::drawn(slug);
        }
        let version = version(image);
        let srcset = COVER_WIDTHS
            .map(|width| format!("/images/{id}/0/{width}.webp?v={version} {width}w"))
            .join(", ");
        Self {
            src: format!("/images/{id}/0/320.webp?v={version}"),
            srcset,
        }
    }

    /// The pictures of a game's page, large and small: its gallery, or else its cover where that is a picture of some
    /// address. Empty when there is nothing but the cover that is drawn here.
    pub(crate) fn gallery(game: &Game) -> Vec<(Self, Self)> {
        let is_address = |image: &str| image.starts_with("https://") || image.starts_with("http://");
        game.images
            .iter()
            .enumerate()
            .filter(|(_, image)| is_address(image))
            .map(|(i, image)| {
                let (place, version) = (i + 1, version(image));
                let address = |width| format!("/images/{}/{place}/{width}.webp?v={version}", game.id);
                let large = Self {
                    src: address(1280),
                    srcset: GALLERY_WIDTHS
                        .map(|width| format!("{} {width}w", address(width)))
                        .join(", "),
                };
                let small = Self {
                    src: address(THUMB_WIDTH),
                    srcset: String::new(),
                };
                (large, small)
            })
            .collect()
    }

    /// The cover that is drawn from the title.
    pub(crate) fn drawn(slug: &str) -> Self {
        Self {
            src: format!("/covers/{slug}.svg?v={}", covers::EDITION),
            srcset: String::new(),
        }
    }

    /// A wide picture without words, drawn from the title: what stands behind others.
    pub(crate) fn backdrop(slug: &str) -> Self {
        Self {
            src: format!("/covers/{slug}.wide.svg?v={}", covers::EDITION),
            srcset: String::new(),
        }
    }
}

/// Tells addresses of one place in the catalogue apart, so that browsers may keep a picture for ever.
pub(crate) fn version(address: &str) -> String {
    let hash = address.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}", hash >> 32)
}

/// Under which name a picture is kept.
fn name_of(address: &str, width: u32) -> String {
    let hash = Sha256::digest(address.as_bytes());
    let mut name = hash.iter().take(20).fold(String::with_capacity(50), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    });
    let _infallible = write!(name, "-{width}.webp");
    name
}
