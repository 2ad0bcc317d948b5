//! Pictures. Pages refer to them with a size, so that the layout does not shift while they load, and only at this site;
//! the proxy fetches them from where the catalogue says they are.

mod fetch;
mod keep;
pub(crate) mod proxy;
pub(crate) mod upload;

use std::fmt::Write as _;

use lockstep_domain::GameId;
use lockstep_domain::catalogue::Game;
use sha2::{Digest as _, Sha256};

use crate::covers;
pub use proxy::PictureSettings;
pub(crate) use proxy::Proxy;

/// Available widths of covers, in pixels.
pub(crate) const COVER_WIDTHS: [u32; 3] = [160, 320, 480];

/// Width of the thumbnails below a gallery, in pixels.
pub(crate) const THUMB_WIDTH: u32 = 160;

/// Available widths of gallery pictures, in pixels.
pub(crate) const GALLERY_WIDTHS: [u32; 3] = [480, 960, 1280];

/// A picture of a page.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) src: String,
    /// Empty when there is only one size.
    pub(crate) srcset: String,
}

impl Picture {
    /// The cover of a game, portrait, 3:4. `image` is the catalogue's entry: an external address, or the address of the
    /// generated cover.
    pub(crate) fn cover(id: GameId, slug: &str, image: &str) -> Self {
        if !is_served(image) {
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

    /// The gallery of a game's page, each picture large, small, and in words, which are empty if staff have given none.
    /// Entries of the catalogue that the proxy does not serve are skipped.
    pub(crate) fn gallery(game: &Game) -> Vec<(Self, Self, String)> {
        game.images
            .iter()
            .enumerate()
            .filter(|(_, image)| is_served(image))
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
                (large, small, game.image_alts.get(i).cloned().unwrap_or_default())
            })
            .collect()
    }

    /// The generated cover.
    pub(crate) fn drawn(slug: &str) -> Self {
        Self {
            src: format!("/covers/{slug}.svg?v={}", covers::EDITION),
            srcset: String::new(),
        }
    }

    /// The generated wide picture without words, for backdrops.
    pub(crate) fn backdrop(slug: &str) -> Self {
        Self {
            src: format!("/covers/{slug}.wide.svg?v={}", covers::EDITION),
            srcset: String::new(),
        }
    }
}

/// Whether the proxy serves what is at this address of the catalogue: everything but generated covers.
fn is_served(image: &str) -> bool {
    image.starts_with("https://") || image.starts_with("http://") || proxy::uploaded(image).is_some()
}

/// Distinguishes successive addresses of one place in the catalogue, so that browsers may cache a picture without
/// expiry.
pub(crate) fn version(address: &str) -> String {
    let hash = address.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}", hash >> 32)
}

/// The name under which a picture is stored.
fn name_of(address: &str, width: u32) -> String {
    let hash = Sha256::digest(address.as_bytes());
    let mut name = hash.iter().take(20).fold(String::with_capacity(50), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    });
    let _infallible = write!(name, "-{width}.webp");
    name
}
