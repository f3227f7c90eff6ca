//! The slabs of one kind: made at start, never freed, free again when the last reader lets go.

use std::sync::Arc;

/// A fixed number of slabs, owned by the thread that fills them.
///
/// The pool keeps one `Arc` of every slab. While it is the only one, the slab is free and [`Arc::get_mut`] hands it
/// out for filling; a clone is what travels. No queue of free slabs is needed, no lock, and no `unsafe`.
///
/// Fast because a hand-out is one uncontended atomic exchange on a slab that has usually been free for a long time:
/// the search starts after the last slab given, the one that has been away longest (`bench/road`, pool and link).
/// Starting at the first slab each time would touch the ones still in use.
#[derive(Debug)]
pub struct Pool<T> {
    slabs: Vec<Arc<T>>,
    last: usize,
}

impl<T> Pool<T> {
    /// Makes `n_slabs` slabs with `make`. Allocates; call it before the road starts.
    pub fn new(n_slabs: usize, mut make: impl FnMut() -> T) -> Pool<T> {
        Pool { slabs: (0..n_slabs).map(|_| Arc::new(make())).collect(), last: 0 }
    }

    /// Lets `fill` write into a free slab and returns it shared read-only, with what `fill` returned.
    /// `None`, and `fill` is not called, when no slab is free: count it as `pool_empty`.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn fill<R>(&mut self, fill: impl FnOnce(&mut T) -> R) -> Option<(Arc<T>, R)> {
        let n_slabs = self.slabs.len();
        for step in 1..=n_slabs {
            let i = (self.last + step) % n_slabs;
            if let Some(slab) = Arc::get_mut(&mut self.slabs[i]) {
                let result = fill(slab);
                self.last = i;
                return Some((Arc::clone(&self.slabs[i]), result));
            }
        }
        None
    }

    /// How many slabs there are.
    #[must_use]
    pub fn n_slabs(&self) -> usize {
        self.slabs.len()
    }

    /// How many slabs nobody reads at this moment.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[must_use]
    pub fn n_free(&self) -> usize {
        self.slabs.iter().filter(|slab| Arc::strong_count(slab) == 1).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slab_is_free_again_when_its_last_reader_lets_go() {
        let mut pool = Pool::new(2, || 0_u32);
        let (a, ()) = pool.fill(|slab| *slab = 1).expect("two are free");
        let (b, ()) = pool.fill(|slab| *slab = 2).expect("one is free");
        let reader = Arc::clone(&a);
        assert!(pool.fill(|_| ()).is_none());
        drop(a);
        assert!(pool.fill(|_| ()).is_none(), "a reader still holds it");
        drop(reader);
        assert_eq!(pool.n_free(), 1);
        let (again, ()) = pool.fill(|slab| *slab += 10).expect("free again");
        assert_eq!((*again, *b), (11, 2));
    }
}
