//! The HTTP plane of the server: what every request passes, whatever its route.

mod assets;
mod body;
mod edge;
mod measured;

pub(crate) use self::assets::{Page, page, static_file};
pub(crate) use self::body::{invalid, nothing, read_bytes, read_json};
pub(crate) use self::edge::{edge, panicked};
