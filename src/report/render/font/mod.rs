//! Owns the font of every picture: shipped with the crate, so that no system font changes an output.

use plotters::style::{FontStyle, register_font};
use std::sync::OnceLock;

/// The family as SVG readers get it. The picture itself is drawn with the first; the others have its widths or come near
/// them, for readers that do not have it.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

static REGULAR: &[u8] = include_bytes!("dejavu-sans-regular.ttf");
static BOLD: &[u8] = include_bytes!("dejavu-sans-bold.ttf");

/// Makes the font known to plotters, once per process. `false` if it cannot be read, which a test excludes.
pub(super) fn register() -> bool {
    static DONE: OnceLock<bool> = OnceLock::new();
    *DONE.get_or_init(|| {
        register_font(FAMILY, FontStyle::Normal, REGULAR).is_ok()
            && register_font(FAMILY, FontStyle::Bold, BOLD).is_ok()
    })
}
