//! Owns the PNG file format, as far as a picture of 8-bit RGB pixels needs it (RFC 2083).
//!
//! The bytes depend on the pixels alone; an encoder that picks filters by its own heuristics would change them with its
//! version.

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use std::io::{self, Write as _};

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// The file of a picture whose rows of RGB pixels follow one another from the top.
///
/// # Errors
/// When `pixels` is not `3 × width × height` bytes long.
pub(super) fn encode(pixels: &[u8], width: u32, height: u32) -> io::Result<Vec<u8>> {
    let row = width as usize * 3;
    if row == 0 || pixels.len() != row * height as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut header = Vec::new();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    // 8 bits, RGB, the only compression, the only filter method, not interlaced.
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut body = ZlibEncoder::new(Vec::new(), Compression::new(7));
    let mut above: &[u8] = &[];
    let mut filtered = Vec::with_capacity(row);
    for line in pixels.chunks_exact(row) {
        // Filter 2, "up": panels repeat themselves from row to row.
        filtered.clear();
        filtered.extend(line.iter().enumerate().map(|(i, byte)| byte.wrapping_sub(above.get(i).copied().unwrap_or(0))));
        body.write_all(&[2])?;
        body.write_all(&filtered)?;
        above = line;
    }
    let mut file = SIGNATURE.to_vec();
    chunk(&mut file, *b"IHDR", &header);
    chunk(&mut file, *b"IDAT", &body.finish()?);
    chunk(&mut file, *b"IEND", &[]);
    Ok(file)
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(data);
    // Pictures stay far below 4 GB.
    file.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    file.extend_from_slice(&kind);
    file.extend_from_slice(data);
    file.extend_from_slice(&crc.sum().to_be_bytes());
}

#[cfg(test)]
pub(super) fn decode(file: &[u8]) -> Option<(u32, u32, Vec<u8>)> {
    use std::io::Read as _;
    let mut rest = file.strip_prefix(&SIGNATURE)?;
    let (mut size, mut packed) = (None, Vec::new());
    while rest.len() >= 12 {
        let length = u32::from_be_bytes(rest[..4].try_into().ok()?) as usize;
        let (kind, data) = (&rest[4..8], &rest[8..8 + length]);
        let mut crc = Crc::new();
        crc.update(&rest[4..8 + length]);
        if crc.sum().to_be_bytes() != rest[8 + length..12 + length] {
            return None;
        }
        match kind {
            b"IHDR" => {
                let number = |from: usize| Some(u32::from_be_bytes(data[from..from + 4].try_into().ok()?));
                size = Some((number(0)?, number(4)?));
            }
            b"IDAT" => packed.extend_from_slice(data),
            _ => {}
        }
        rest = &rest[12 + length..];
    }
    let (width, height) = size?;
    let mut raw = Vec::new();
    flate2::read::ZlibDecoder::new(packed.as_slice()).read_to_end(&mut raw).ok()?;
    let row = width as usize * 3;
    let mut pixels: Vec<u8> = Vec::with_capacity(row * height as usize);
    for line in raw.chunks_exact(row + 1) {
        let above = pixels.len().checked_sub(row);
        for (i, byte) in line[1..].iter().enumerate() {
            pixels.push(byte.wrapping_add(above.map_or(0, |above| pixels[above + i])));
        }
    }
    (pixels.len() == row * height as usize).then_some((width, height, pixels))
}
