//! Covers as PNG, for link previews in messengers and social networks, which do not accept SVG. A preview has the
//! game's colours but no words, because those services show the title beside it.

use std::io::Cursor;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageEncoder as _, Rgb, RgbImage};

use super::dice::Dice;
use super::words::words;
use super::{look, mix};

const WIDTH: u32 = 1200;
const HEIGHT: u32 = 630;
/// Number of corners of each ridge.
const CORNERS: usize = 9;

/// Draws a sky, a sun and ridges; `None` if the PNG cannot be encoded.
pub(super) fn draw(slug: &str) -> Option<Vec<u8>> {
    let (palette, _) = look(&words(slug));
    let mut dice = Dice::new(slug);
    let (sun_x, sun_y, radius) = (250 + dice.below(700), 130 + dice.below(150), 60 + dice.below(60));
    let ridges: Vec<Vec<i64>> = (0..4)
        .map(|ridge| (0..CORNERS).map(|_| 300 + ridge * 75 + dice.below(110)).collect())
        .collect();
    let step = i64::from(WIDTH) / i64::try_from(CORNERS - 1).ok()?;
    let height_at = |ridge: &[i64], x: i64| {
        let at = usize::try_from(x / step).unwrap_or(0);
        let (from, to) = (ridge.get(at)?, ridge.get(at + 1).or_else(|| ridge.last())?);
        Some(from + (to - from) * (x % step) / step)
    };
    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let (x, y) = (i64::from(x), i64::from(y));
        let covering = (0i64..)
            .zip(&ridges)
            .filter(|(_, ridge)| height_at(ridge, x).is_some_and(|top| y >= top))
            .last();
        let colour = if let Some((depth, _)) = covering {
            mix(palette.far, palette.near, depth * 33)
        } else {
            let distance = (x - sun_x).pow(2) + (y - sun_y).pow(2);
            let sky = mix(palette.above, palette.below, (y * 100 / 530).min(100));
            if distance <= radius.pow(2) {
                mix(sky, palette.light, 92)
            } else {
                mix(sky, palette.light, 40 * radius.pow(2) / distance)
            }
        };
        let [_, red, green, blue] = colour.to_be_bytes();
        Rgb([red, green, blue])
    });
    let mut png = Cursor::new(Vec::new());
    PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub)
        .write_image(picture.as_raw(), WIDTH, HEIGHT, image::ExtendedColorType::Rgb8)
        .ok()?;
    Some(png.into_inner())
}
