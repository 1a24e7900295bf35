//! Owns the artifact store of a simulated fleet: bytes under the digest they had when they were put there.
//!
//! A put never changes what stands under a digest unless it is the same content again. Only a fault does
//! ([`Store::rot`]), and [`verify`] on what was fetched catches it.

use crate::digest::Digest;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// Bytes by content address. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Store {
    blobs: BTreeMap<Digest, Arc<[u8]>>,
}

/// What [`Store::put_if_absent`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Nothing was there; now the bytes are.
    Stored,
    /// Something was there and stayed, rotten or not.
    Present,
}

/// Bytes that are not what was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes have the digest {actual}, promised was {promised}")]
pub struct Mismatch {
    /// What the manifest says.
    pub promised: Digest,
    /// What the bytes say.
    pub actual: Digest,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub const fn new() -> Self {
        Self { blobs: BTreeMap::new() }
    }

    /// Writes bytes under their digest; rotten bytes there are replaced by the good ones.
    pub fn put(&mut self, bytes: impl Into<Arc<[u8]>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.blobs.insert(digest, bytes);
        digest
    }

    /// Writes bytes under their digest unless something is there.
    pub fn put_if_absent(&mut self, bytes: impl Into<Arc<[u8]>>) -> (Digest, Put) {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        match self.blobs.entry(digest) {
            Entry::Occupied(_) => (digest, Put::Present),
            Entry::Vacant(place) => {
                place.insert(bytes);
                (digest, Put::Stored)
            }
        }
    }

    /// The bytes under a digest, unverified.
    #[must_use]
    pub fn get(&self, digest: Digest) -> Option<&Arc<[u8]>> {
        self.blobs.get(&digest)
    }

    /// A fault: other bytes now stand under `digest`. False, and without effect, if nothing stood there.
    pub fn rot(&mut self, digest: Digest, bytes: impl Into<Arc<[u8]>>) -> bool {
        self.blobs.get_mut(&digest).map(|blob| *blob = bytes.into()).is_some()
    }
}

/// Compares bytes with the digest promised for them.
///
/// # Errors
/// [`Mismatch`] with both digests.
pub fn verify(bytes: &[u8], promised: Digest) -> Result<(), Mismatch> {
    let actual = Digest::of(bytes);
    if actual == promised { Ok(()) } else { Err(Mismatch { promised, actual }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rot_is_caught_by_verification_and_healed_by_a_put_only() {
        let mut store = Store::new();
        let digest = store.put(&b"good"[..]);
        assert_eq!(store.get(digest).map(|b| verify(b, digest)), Some(Ok(())));

        assert!(store.rot(digest, &b"goad"[..]));
        let before = store.clone();
        let caught = store.get(digest).map(|b| verify(b, digest));
        assert_eq!(caught, Some(Err(Mismatch { promised: digest, actual: Digest::of(b"goad") })));

        assert_eq!(store.put_if_absent(&b"good"[..]), (digest, Put::Present), "what is there stays, even rotten");
        assert_eq!(store, before);
        store.put(&b"good"[..]);
        assert_eq!(store.get(digest).map(|b| verify(b, digest)), Some(Ok(())));
    }

    #[test]
    fn nothing_can_rot_that_is_not_there() {
        let mut store = Store::new();
        let (digest, put) = store.put_if_absent(&b"a"[..]);
        assert_eq!(put, Put::Stored);
        assert!(!store.rot(Digest::of(b"b"), &b"a"[..]));
        assert_eq!(store.get(Digest::of(b"b")), None);
        assert_eq!(store.get(digest).map(|b| &b[..]), Some(&b"a"[..]));
    }
}
