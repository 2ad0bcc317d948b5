//! Makes small WebP pictures of a large one, or a square of one that a reader has sent. What is read comes from outside, so it is decoded by Rust code within limits;
//! only our own pixels go to the encoder, which is C.

use std::io::Cursor;

use bytes::Bytes;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits};

/// Wider or higher pictures are not decoded.
const MAX_SIDE: u32 = 8_000;
/// Nor those that take more memory.
const MAX_ALLOC: u64 = 160 * 1024 * 1024;
/// Of 100: hard to tell from the original at these sizes.
const QUALITY: f32 = 78.0;
/// For what would be too many bytes otherwise.
const LOW_QUALITY: f32 = 40.0;

/// The picture cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the picture cannot be read")]
pub(crate) struct Unreadable;

/// `bytes` in each of `widths`, never wider than it is. Takes tens of milliseconds of a processor.
pub(crate) fn shrink(bytes: &[u8], widths: &[u32]) -> Result<Vec<(u32, Bytes)>, Unreadable> {
    let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif];
    let picture = read(bytes, &formats)?;
    widths
        .iter()
        .map(|&width| {
            let smaller = if picture.width() > width {
                picture.resize(width, MAX_SIDE, FilterType::CatmullRom)
            } else {
                picture.clone()
            };
            Ok((width, encoded(&smaller, QUALITY)?))
        })
        .collect()
}

/// The middle of a JPEG, PNG or WebP as a square of `side` pixels, or as many as it has, upright, in at most `most_bytes`.
/// Nothing that the file says beside its pixels is kept: where it was taken, for example.
pub(crate) fn square(bytes: &[u8], side: u32, most_bytes: usize) -> Result<Bytes, Unreadable> {
    let picture = read(bytes, &[ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP])?;
    let side = side.min(picture.width()).min(picture.height()).max(1);
    let square = picture.resize_to_fill(side, side, FilterType::CatmullRom);
    [QUALITY, LOW_QUALITY]
        .into_iter()
        .find_map(|quality| encoded(&square, quality).ok().filter(|made| made.len() <= most_bytes))
        .ok_or(Unreadable)
}

/// A picture of one of `formats`, within the limits, turned as it says.
fn read(bytes: &[u8], formats: &[ImageFormat]) -> Result<DynamicImage, Unreadable> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|_| Unreadable)?;
    if !reader.format().is_some_and(|format| formats.contains(&format)) {
        return Err(Unreadable);
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| Unreadable)?;
    let (width, height) = decoder.dimensions();
    if width > MAX_SIDE || height > MAX_SIDE || decoder.total_bytes() > MAX_ALLOC {
        return Err(Unreadable);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|_| Unreadable)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn encoded(picture: &DynamicImage, quality: f32) -> Result<Bytes, Unreadable> {
    let pixels = picture.to_rgba8();
    let encoder = webp::Encoder::from_rgba(&pixels, pixels.width(), pixels.height());
    let made = encoder.encode_simple(false, quality).map_err(|_| Unreadable)?;
    Ok(Bytes::copy_from_slice(&made))
}

#[cfg(test)]
mod tests {
    use image::{RgbImage, Rgba, RgbaImage};

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
    fn a_square_is_cut_out_of_the_middle_and_stays_small_even_of_noise() {
        for (width, height, side) in [(600, 800, 256), (800, 300, 256), (40, 90, 40), (1, 1, 1)] {
            let made = square(&jpeg(width, height), 256, 128 * 1024).unwrap();
            let picture = image::load_from_memory_with_format(&made, ImageFormat::WebP).unwrap();
            assert_eq!((picture.width(), picture.height()), (side, side));
        }
        let mut seed = 1_u32;
        let noise = RgbaImage::from_fn(512, 512, |_, _| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Rgba(seed.to_be_bytes())
        });
        let mut png = Cursor::new(Vec::new());
        DynamicImage::from(noise).write_to(&mut png, ImageFormat::Png).unwrap();
        let made = square(png.get_ref(), 256, 128 * 1024).unwrap();
        assert!(made.len() <= 128 * 1024 && made.starts_with(b"RIFF"));
        assert!(square(png.get_ref(), 256, 100).is_err(), "never more than allowed");
    }

    #[test]
    fn a_photo_is_upright_as_its_camera_says() {
        // Left half dark, right half light; the camera says that it was turned by a quarter (6), so the dark is above.
        let plain = RgbImage::from_fn(64, 64, |x, _| image::Rgb(if x < 32 { [0; 3] } else { [255; 3] }));
        let mut photo = Cursor::new(Vec::new());
        DynamicImage::from(plain)
            .write_to(&mut photo, ImageFormat::Jpeg)
            .unwrap();
        let mut photo = photo.into_inner();
        let exif = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        photo.splice(2..2, exif.iter().copied());
        let made = square(&photo, 64, 128 * 1024).unwrap();
        let picture = image::load_from_memory_with_format(&made, ImageFormat::WebP)
            .unwrap()
            .to_luma8();
        assert!(picture.get_pixel(56, 8).0[0] < 60 && picture.get_pixel(8, 56).0[0] > 200);
        assert!(
            !made.windows(4).any(|window| window == b"Exif"),
            "and says nothing else"
        );
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
            assert!(square(bad, 256, 128 * 1024).is_err());
        }
    }
}
