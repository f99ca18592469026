//! A small store of derived values, bounded in number, first in first out.
//!
//! Must never be keyed by a secret or a point: keys are tags under a key drawn when the process began.

use crate::chance::draw;
use crate::digest::whole;
use ring::hmac;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Values by tag, at most `capacity` of them. The oldest gives way to the newest.
pub(crate) struct Cache<V> {
    key: hmac::Key,
    capacity: usize,
    inner: Mutex<Inner<V>>,
}

struct Inner<V> {
    values: HashMap<[u8; 16], V>,
    order: VecDeque<[u8; 16]>,
}

impl<V: Clone> Cache<V> {
    /// An empty one.
    pub(crate) fn new(capacity: usize) -> Self {
        let inner = Inner {
            values: HashMap::new(),
            order: VecDeque::new(),
        };
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &draw::<32>()),
            capacity,
            inner: Mutex::new(inner),
        }
    }

    /// The value that belongs to `parts`, made by `make` when it is not there. Two callers may make it
    /// at once; both get the same value, as it is derived from the parts alone.
    pub(crate) fn value(&self, parts: &[&[u8]], make: impl FnOnce() -> V) -> V {
        let tag = self.tag(parts);
        if let Some(value) = self.lock().values.get(&tag) {
            return value.clone();
        }
        let made = make();
        let mut inner = self.lock();
        if inner.values.insert(tag, made.clone()).is_none() {
            inner.order.push_back(tag);
        }
        while inner.order.len() > self.capacity {
            if let Some(oldest) = inner.order.pop_front() {
                inner.values.remove(&oldest);
            }
        }
        made
    }

    /// Drops every value.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        inner.values.clear();
        inner.order.clear();
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        whole(context.sign().as_ref())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<V>> {
        // A panic while the lock was held cannot leave a wrong value behind: each is put in whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_and_no_more() {
        let cache = Cache::new(3);
        for number in 0_u32..10 {
            assert_eq!(cache.value(&[&number.to_be_bytes()], || number), number);
        }
        assert_eq!(cache.lock().values.len(), 3);
        assert_eq!(cache.value(&[&9_u32.to_be_bytes()], || 0), 9, "still there");
        assert_eq!(
            cache.value(&[&0_u32.to_be_bytes()], || 77),
            77,
            "gone, so made anew"
        );
        cache.clear();
        assert_eq!(cache.value(&[&9_u32.to_be_bytes()], || 5), 5);
    }

    #[test]
    fn borders_between_parts_count() {
        let cache = Cache::new(8);
        assert_eq!(cache.value(&[b"ab", b"c"], || 1), 1);
        assert_eq!(cache.value(&[b"a", b"bc"], || 2), 2);
    }
}
