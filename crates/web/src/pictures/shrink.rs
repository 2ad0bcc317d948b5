//! Makes small WebP pictures of a large one. What is read comes from outside, so it is decoded by Rust code within limits;
//! only our own pixels go to the encoder, which is C.

use std::io::Cursor;

use bytes::Bytes;
use image::imageops::FilterType;
use image::{ImageFormat, ImageReader, Limits};

/// Wider or higher pictures are not decoded.
const MAX_SIDE: u32 = 8_000;
/// Nor those that take more memory.
const MAX_ALLOC: u64 = 160 * 1024 * 1024;
/// Of 100: hard to tell from the original at these sizes.
const QUALITY: f32 = 78.0;

/// The picture cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the picture cannot be read")]
pub(crate) struct Unreadable;

/// `bytes` in each of `widths`, never wider than it is. Takes tens of milliseconds of a processor.
pub(crate) fn shrink(bytes: &[u8], widths: &[u32]) -> Result<Vec<(u32, Bytes)>, Unreadable> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|_| Unreadable)?;
    if !matches!(
        reader.format(),
        Some(ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP | ImageFormat::Gif)
    ) {
        return Err(Unreadable);
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    let picture = reader.decode().map_err(|_| Unreadable)?;
    widths
        .iter()
        .map(|&width| {
            let smaller = if picture.width() > width {
                picture.resize(width, MAX_SIDE, FilterType::CatmullRom)
            } else {
                picture.clone()
            };
            let pixels = smaller.to_rgba8();
            let encoder = webp::Encoder::from_rgba(&pixels, pixels.width(), pixels.height());
            let small = encoder.encode_simple(false, QUALITY).map_err(|_| Unreadable)?;
            Ok((width, Bytes::copy_from_slice(&small)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, RgbImage};

    use super::*;

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let picture = RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], 90])
        });
        DynamicImage::from(picture)
            .write_to(&mut out, ImageFormat::Jpeg)
            .unwrap();
        out.into_inner()
    }

    #[test]
    fn a_picture_comes_in_every_width_but_never_larger_than_it_is() {
        let made = shrink(&jpeg(600, 800), &[160, 320, 1280]).unwrap();
        let sizes: Vec<(u32, u32, u32)> = made
            .iter()
            .map(|(asked, bytes)| {
                let picture = image::load_from_memory_with_format(bytes, ImageFormat::WebP).unwrap();
                (*asked, picture.width(), picture.height())
            })
            .collect();
        assert_eq!(sizes, [(160, 160, 213), (320, 320, 427), (1280, 600, 800)]);
    }

    #[test]
    fn what_is_no_picture_or_too_large_a_one_is_refused() {
        let whole = jpeg(300, 300);
        // A PNG that says it is 60,000 pixels wide.
        let mut huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        huge.extend_from_slice(&60_000_u32.to_be_bytes());
        huge.extend_from_slice(&60_000_u32.to_be_bytes());
        huge.extend_from_slice(&[8, 2, 0, 0, 0, 0, 0, 0, 0]);
        for bad in [
            &b""[..],
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"GIF89a",
            &whole[..200],
            &huge,
        ] {
            assert!(shrink(bad, &[160]).is_err());
        }
    }
}
