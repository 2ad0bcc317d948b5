//! Scales pictures to small WebP files, or crops an uploaded picture to a square. The input is not trusted, so it is
//! decoded by Rust code within limits; the encoder, which is C, gets only decoded pixels.

use std::io::Cursor;

use bytes::Bytes;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits};

use crate::{Drawn, NoPicture};

/// Maximum width and height of a picture that is decoded.
const MAX_SIDE: u32 = 8_000;
/// Maximum memory for decoding, in bytes.
const MAX_ALLOC: u64 = 160 * 1024 * 1024;
/// Maximum number of pixels of an uploaded picture: a member's upload takes at most 64 MB, and twice that when it is 16
/// bits deep.
const MAX_UPLOAD_PIXELS: u64 = 16_000_000;
/// WebP quality of 100: hard to distinguish from the original at these sizes.
const QUALITY: f32 = 78.0;
/// WebP quality for pictures that would be too large otherwise.
const LOW_QUALITY: f32 = 40.0;

/// Alpha of a pixel from which on nothing shines through.
const OPAQUE: u8 = 250;
/// Alpha of a pixel from which on it counts as part of what is drawn.
const VISIBLE: u8 = 128;

/// The picture cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[error("the picture cannot be read")]
pub struct Unreadable;

impl From<Unreadable> for NoPicture {
    fn from(Unreadable: Unreadable) -> Self {
        Self::Unreadable
    }
}

/// Scales a picture to each of `widths`, but never up. Takes tens of milliseconds of processor time.
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

/// The centre of a JPEG, PNG or WebP as an upright square of at most `side` pixels and at most `most_bytes` bytes.
/// Metadata of the file, such as the location, is dropped.
pub(crate) fn square(bytes: &[u8], side: u32, most_bytes: usize) -> Result<Bytes, NoPicture> {
    let (picture, orientation) = uploaded(bytes)?;
    let side = side.min(picture.width()).min(picture.height()).max(1);
    let mut square = picture.resize_to_fill(side, side, FilterType::CatmullRom);
    // Rotated when it is small: rotating makes a copy.
    square.apply_orientation(orientation);
    within(&square, most_bytes).ok_or(NoPicture::Unreadable)
}

/// A JPEG, PNG or WebP, upright, at most `width` pixels wide and `most_bytes` bytes long. Metadata of the file is dropped.
pub(crate) fn fitted(bytes: &[u8], width: u32, most_bytes: usize) -> Result<Bytes, NoPicture> {
    let (mut picture, orientation) = uploaded(bytes)?;
    picture.apply_orientation(orientation);
    // What does not fit in this width, noise for example, fits in a smaller one.
    [width, width / 2, width / 4]
        .into_iter()
        .find_map(|width| {
            if picture.width() > width {
                picture = picture.resize(width, MAX_SIDE, FilterType::CatmullRom);
            }
            within(&picture, most_bytes)
        })
        .ok_or(NoPicture::Unreadable)
}

/// A JPEG, PNG or WebP, upright, within a width and height in pixels and `most_bytes` bytes, as a PNG.
pub(crate) fn drawn(bytes: &[u8], (width, height): (u32, u32), most_bytes: usize) -> Result<Drawn, NoPicture> {
    let (mut picture, orientation) = uploaded(bytes)?;
    picture.apply_orientation(orientation);
    if picture.width() > width || picture.height() > height {
        picture = picture.resize(width, height, FilterType::CatmullRom);
    }
    let pixels = picture.to_rgba8();
    let (mut sum, mut visible, mut is_transparent) = ([0_u64; 3], 0_u64, false);
    for image::Rgba([red, green, blue, alpha]) in pixels.pixels() {
        is_transparent |= *alpha < OPAQUE;
        if *alpha >= VISIBLE {
            visible += 1;
            for (sum, part) in sum.iter_mut().zip([red, green, blue]) {
                *sum += u64::from(*part);
            }
        }
    }
    let color = sum.map(|sum| sum.checked_div(visible).and_then(|mean| u8::try_from(mean).ok()));
    let [Some(red), Some(green), Some(blue)] = color else {
        return Err(NoPicture::Unreadable);
    };
    let (width, height) = pixels.dimensions();
    let mut made = Cursor::new(Vec::new());
    DynamicImage::from(pixels)
        .write_to(&mut made, ImageFormat::Png)
        .map_err(|_| NoPicture::Unreadable)?;
    let bytes = Bytes::from(made.into_inner());
    if bytes.len() > most_bytes {
        return Err(NoPicture::TooLarge);
    }
    Ok(Drawn {
        bytes,
        width,
        height,
        color: [red, green, blue],
        is_transparent,
    })
}

/// Decodes an uploaded picture, as it is stored, and how it is to be rotated.
fn uploaded(bytes: &[u8]) -> Result<(DynamicImage, Orientation), NoPicture> {
    let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];
    if is_cut_short(bytes) {
        // Decoders would fill the rest with grey.
        return Err(NoPicture::Incomplete);
    }
    Ok(decode(bytes, &formats, MAX_UPLOAD_PIXELS)?)
}

/// The picture in the best quality of at most `most_bytes` bytes.
fn within(picture: &DynamicImage, most_bytes: usize) -> Option<Bytes> {
    [QUALITY, LOW_QUALITY]
        .into_iter()
        .find_map(|quality| encoded(picture, quality).ok().filter(|made| made.len() <= most_bytes))
}

/// Whether a JPEG, PNG or WebP file lacks its end. The decoders take some of those: a JPEG's missing rows become grey.
fn is_cut_short(bytes: &[u8]) -> bool {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => !ends_like_jpeg(bytes),
        Ok(ImageFormat::Png) => !bytes.windows(4).any(|name| name == b"IEND"),
        // The header says how long the rest is.
        Ok(ImageFormat::WebP) => (bytes.get(4..8).and_then(|size| size.try_into().ok()))
            .map(u32::from_le_bytes)
            .and_then(|size| usize::try_from(size).ok())
            .is_none_or(|size| bytes.len() - 8 < size),
        _ => false,
    }
}

/// Whether the marker EOI follows the image data of a JPEG. Segments before it are skipped whole, since a preview in the
/// metadata has an EOI of its own; what follows it (other pictures of the same photo) is not looked at.
fn ends_like_jpeg(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        // In image data, 0xff is followed by 0 or a restart marker; before a marker it may be repeated.
        let marker = rest
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff));
        let Some((marker, after)) = marker.and_then(|at| rest.get(at + 1..)?.split_first()) else {
            return false;
        };
        if *marker == 0xd9 {
            return true;
        }
        let size = after.first_chunk().map(|size| usize::from(u16::from_be_bytes(*size)));
        let Some(next) = size.and_then(|size| after.get(size..)) else {
            return false;
        };
        rest = next;
    }
}

/// Decodes a picture of one of `formats` within the limits, rotated according to its metadata.
fn read(bytes: &[u8], formats: &[ImageFormat]) -> Result<DynamicImage, Unreadable> {
    let (mut picture, orientation) = decode(bytes, formats, u64::MAX)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Decodes a picture of one of `formats` within the limits, as it is stored, and how it is to be rotated.
fn decode(bytes: &[u8], formats: &[ImageFormat], most_pixels: u64) -> Result<(DynamicImage, Orientation), Unreadable> {
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
    if width > MAX_SIDE
        || height > MAX_SIDE
        || decoder.total_bytes() > MAX_ALLOC
        || u64::from(width) * u64::from(height) > most_pixels
    {
        return Err(Unreadable);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(|_| Unreadable)?;
    Ok((picture, orientation))
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
    fn pictures_are_scaled_to_every_width_but_never_up() {
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
    fn squares_are_cropped_from_the_centre_within_the_size_limit() {
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
    fn fitted_pictures_keep_their_shape_within_the_limits() {
        for (width, height, made) in [(2000, 1000, (800, 400)), (400, 900, (400, 900)), (1, 1, (1, 1))] {
            let bytes = fitted(&jpeg(width, height), 800, 256 * 1024).unwrap();
            let picture = image::load_from_memory_with_format(&bytes, ImageFormat::WebP).unwrap();
            assert_eq!((picture.width(), picture.height()), made);
        }
        let mut seed = 1_u32;
        let noise = RgbImage::from_fn(800, 800, |_, _| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [r, g, b, _] = seed.to_be_bytes();
            image::Rgb([r, g, b])
        });
        let mut png = Cursor::new(Vec::new());
        DynamicImage::from(noise).write_to(&mut png, ImageFormat::Png).unwrap();
        let made = fitted(png.get_ref(), 800, 64 * 1024).unwrap();
        assert!(made.len() <= 64 * 1024);
        assert_eq!(
            fitted(png.get_ref(), 800, 100),
            Err(NoPicture::Unreadable),
            "never more than allowed"
        );
        assert_eq!(fitted(b"GIF89a", 800, 64 * 1024), Err(NoPicture::Unreadable));
    }

    #[test]
    fn drawn_pictures_keep_their_transparency_and_say_what_colour_they_have() {
        let mut png = Cursor::new(Vec::new());
        // A dark green sign on nothing, and invisible red around it.
        let sign = RgbaImage::from_fn(960, 200, |x, _| {
            if (240..720).contains(&x) {
                Rgba([10, 60, 40, 255])
            } else {
                Rgba([255, 0, 0, 0])
            }
        });
        DynamicImage::from(sign).write_to(&mut png, ImageFormat::Png).unwrap();
        let made = drawn(png.get_ref(), (480, 160), 384 * 1024).unwrap();
        assert_eq!((made.width, made.height, made.is_transparent), (480, 100, true));
        // The edges are resampled, which may move a channel by one.
        let off = made
            .color
            .iter()
            .zip([10_u8, 60, 40])
            .map(|(is, wanted)| is.abs_diff(wanted));
        assert!(off.max() <= Some(1), "{:?}", made.color);
        let picture = image::load_from_memory_with_format(&made.bytes, ImageFormat::Png)
            .unwrap()
            .to_rgba8();
        assert_eq!(
            (picture.get_pixel(2, 50).0[3], picture.get_pixel(240, 50).0[3]),
            (0, 255)
        );
        // A photo has its own background. The largest noise fits.
        let made = drawn(&jpeg(300, 600), (480, 160), 384 * 1024).unwrap();
        assert_eq!((made.width, made.height, made.is_transparent), (80, 160, false));
        let mut seed = 1_u32;
        let noise = RgbaImage::from_fn(480, 160, |_, _| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Rgba(seed.to_be_bytes())
        });
        let mut png = Cursor::new(Vec::new());
        DynamicImage::from(noise).write_to(&mut png, ImageFormat::Png).unwrap();
        assert!(drawn(png.get_ref(), (480, 160), 384 * 1024).is_ok());
        assert_eq!(drawn(png.get_ref(), (480, 160), 1024), Err(NoPicture::TooLarge));
        let mut nothing = Cursor::new(Vec::new());
        DynamicImage::from(RgbaImage::new(50, 50))
            .write_to(&mut nothing, ImageFormat::Png)
            .unwrap();
        assert_eq!(drawn(nothing.get_ref(), (480, 160), 1024), Err(NoPicture::Unreadable));
        assert_eq!(drawn(b"<svg/>", (480, 160), 1024), Err(NoPicture::Unreadable));
    }

    #[test]
    fn photos_are_rotated_by_their_exif_orientation() {
        // Left half dark, right half light; the metadata says rotated by a quarter (6), so the dark half is on top.
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
    fn files_that_end_too_early_make_no_square() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let picture = RgbImage::from_fn(90, 120, |x, y| {
                image::Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0].wrapping_mul(7), 90])
            });
            let mut whole = Cursor::new(Vec::new());
            DynamicImage::from(picture).write_to(&mut whole, format).unwrap();
            let mut whole = whole.into_inner();
            assert!(square(&whole, 64, 128 * 1024).is_ok(), "{format:?}");
            for length in (16..whole.len() - 8).step_by(5) {
                let made = square(&whole[..length], 64, 128 * 1024);
                assert_eq!(
                    made,
                    Err(NoPicture::Incomplete),
                    "{format:?}: {length} of {}",
                    whole.len()
                );
            }
            // Cameras append other pictures of the same photo.
            whole.extend_from_slice(b"\xff\xd8\xff");
            assert!(square(&whole, 64, 128 * 1024).is_ok(), "{format:?}");
        }
        // The preview in the metadata is whole, the photo is not.
        let (preview, photo) = (jpeg(8, 8), jpeg(300, 300));
        let mut file = b"\xff\xd8\xff\xe1".to_vec();
        file.extend_from_slice(&u16::try_from(preview.len() + 2).unwrap().to_be_bytes());
        file.extend_from_slice(&preview);
        file.extend_from_slice(&photo[2..]);
        assert!(square(&file, 64, 128 * 1024).is_ok());
        file.truncate(file.len() - 500);
        assert_eq!(square(&file, 64, 128 * 1024), Err(NoPicture::Incomplete));
    }

    #[test]
    fn unreadable_and_oversized_pictures_are_rejected() {
        let whole = jpeg(300, 300);
        // A PNG with a declared width of 60,000 pixels.
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
