//! Pools whose buffers lie where a driver's library has them: one each, or for receiving another each time.
//!
//! A pool for receiving lends nothing by itself. Its driver binds a buffer that something came in to a free place, as a
//! frame; when the frame's last handle is gone the place is free, and the driver gives the buffer back at its next
//! turn: [`Pool::unbind`]. No foreign call here.
//!
//! Invariant: a place has a buffer while its count is not zero. What owns the buffers lives as long as the pool and
//! every frame of it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::ptr::NonNull;
use std::rc::Rc;

use super::{Free, Layout, Place, Pool};
use crate::frame::Frame;

/// Where a buffer is, and how many of its bytes are there, from its headers on; none, if a place has none.
type At = Cell<Option<(NonNull<u8>, u32)>>;

/// Where each buffer is.
pub(super) struct Places {
    starts: Box<[At]>,
    _owner: Rc<dyn Any>,
}

impl Places {
    /// Start of a part of a buffer.
    pub(super) fn start(&self, index: u32, range: &Range<usize>) -> *mut u8 {
        let (start, bytes) = self.starts[index as usize].get().expect("who has a frame has bytes");
        assert!(range.end <= bytes as usize);
        // SAFETY: so many bytes are there, by the contract of who gave the buffer.
        unsafe { start.add(range.start) }.as_ptr()
    }
}

impl Pool {
    /// A pool of the buffers that begin there, headroom first, each as long as the layout says. `owner` is kept as long
    /// as any of its frames.
    /// # Safety
    /// While `owner` lives, the bytes are initialised, nobody else has a reference into them, and nobody else writes a
    /// buffer but while its frame is held for that.
    pub(crate) unsafe fn of_foreign(
        starts: &[NonNull<u8>],
        layout: Layout,
        owner: Rc<dyn Any>,
    ) -> Pool {
        let bytes = layout.stride as u32;
        let starts = starts.iter().map(|start| Cell::new(Some((*start, bytes)))).collect();
        let places = Places { starts, _owner: owner };
        let count = places.starts.len();
        Pool::with(Place::Foreign(places), layout, (count, Free::any(count)))
    }

    /// A pool of so many places for what is received.
    pub(crate) fn for_receiving(places: usize, layout: Layout, owner: Rc<dyn Any>) -> Pool {
        let starts = (0..places).map(|_| Cell::new(None)).collect();
        let places = Places { starts, _owner: owner };
        let count = places.starts.len();
        let free = Free::Bound(Free::all(count));
        Pool::with(Place::Foreign(places), layout, (count, free))
    }

    /// The places for what is received, and those that no frame has.
    fn places(&self) -> Option<(&[At], &RefCell<Vec<u32>>)> {
        match (&self.0.place, &self.0.free) {
            (Place::Foreign(places), Free::Bound(free)) => Some((&places.starts, free)),
            _ => None,
        }
    }

    /// Lends a buffer as a frame, from behind its headroom, `payload_bytes` of it. `None`: no place is free that has no
    /// buffer any more. The index is that of its place.
    /// # Safety
    /// Headroom and payload lie from `start` on, initialised; until [`Pool::unbind`] says the place's index, or the
    /// owner is dropped, they stay, nobody writes them, and nobody else has the buffer.
    pub(crate) unsafe fn bind(
        &self,
        start: NonNull<u8>,
        payload_bytes: usize,
    ) -> Option<(u32, Frame)> {
        let bytes = self.0.layout.headroom + payload_bytes;
        assert!(bytes <= self.0.layout.stride);
        let (places, free) = self.places()?;
        let index = *free.borrow().last()?;
        let place = places.get(index as usize).filter(|it| it.get().is_none())?;
        place.set(Some((start, bytes as u32)));
        free.borrow_mut().pop();
        self.0.counts[index as usize].set(1);
        Some((index, Frame::first(self.0.clone(), index, payload_bytes)))
    }

    /// Says each place whose frame is gone: its buffer is the driver's again.
    pub(crate) fn unbind(&self, mut each: impl FnMut(u32)) {
        let Some((places, free)) = self.places() else { return };
        for index in free.borrow().iter().rev() {
            // What was given back lies on top, as the last that was bound was taken from there.
            if places[*index as usize].take().is_none() {
                break;
            }
            each(*index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const LAYOUT: Layout = Layout { stride: 64, headroom: 8 };

    fn buffers(memory: &mut [u8]) -> Vec<NonNull<u8>> {
        memory.chunks_mut(64).map(|it| NonNull::from(it).cast()).collect()
    }

    #[test]
    fn frames_lie_where_the_buffers_are_and_keep_their_owner() {
        let mut memory = vec![0u8; 128];
        let mut starts = buffers(&mut memory);
        starts.reverse();
        let owner = Rc::new(());
        // SAFETY: they are ours, one behind the other, and zeroed.
        let pool = unsafe { Pool::of_foreign(&starts, LAYOUT, owner.clone()) };
        let mut frames = [pool.take().unwrap(), pool.take().unwrap()];
        assert!(pool.take().is_none());
        for (seed, frame) in (1..).zip(&mut frames) {
            assert_eq!(frame.len(), 56);
            frame.bytes_mut().unwrap().fill(seed);
            frame.put_before(&[seed + 10; 8]);
        }
        assert_eq!(frames[0].as_ptr(), starts[0].as_ptr().wrapping_add(8));
        assert_eq!((frames[0][55], frames[1][0], frames[1].before::<8>()), (1, 2, [12; 8]));
        drop(pool);
        assert_eq!(Rc::strong_count(&owner), 2);
        drop(frames);
        assert_eq!(Rc::strong_count(&owner), 1);
    }

    #[test]
    fn a_pool_for_receiving_lends_nothing_by_itself_and_no_more_than_came() {
        let mut memory = vec![7u8; 64];
        let pool = Pool::for_receiving(1, LAYOUT, Rc::new(()));
        assert!(pool.take().is_none());
        let start = buffers(&mut memory)[0];
        // SAFETY: it is ours, and stays until the pool is gone.
        let (index, frame) = unsafe { pool.bind(start, 16) }.unwrap();
        assert_eq!((index, &frame[..]), (0, &[7; 16][..]));
        // SAFETY: as above.
        assert!(unsafe { pool.bind(start, 16) }.is_none());
        let other = frame.slice(0..1);
        drop(frame);
        pool.unbind(|_| panic!("somebody has it"));
        drop(other);
        // SAFETY: as above: nobody has it, and it was not taken back.
        assert!(unsafe { pool.bind(start, 16) }.is_none());
        let mut unbound = Vec::new();
        pool.unbind(|index| unbound.push(index));
        pool.unbind(|index| unbound.push(index));
        assert_eq!(unbound, [0]);
    }

    proptest! {
        #[test]
        fn each_buffer_that_is_bound_is_unbound_once_after_its_frame_is_gone(
            steps in prop::collection::vec((0u8..4, any::<u8>()), 0..200),
        ) {
            let mut memory = vec![0u8; 64 * 8];
            let starts = buffers(&mut memory);
            let pool = Pool::for_receiving(8, LAYOUT, Rc::new(()));
            let (mut free, mut gone) = ((0..8).collect::<VecDeque<usize>>(), Vec::new());
            let (mut held, mut at) = (Vec::new(), [None; 8]);
            for (step, which) in steps {
                match step {
                    0 | 1 => {
                        let Some(&buffer_index) = free.front() else { continue };
                        // SAFETY: it is ours, zeroed, and bound nowhere.
                        match unsafe { pool.bind(starts[buffer_index], 16) } {
                            Some((index, frame)) => {
                                free.pop_front();
                                prop_assert_eq!(at[index as usize].replace(buffer_index), None);
                                held.push((index, frame));
                            }
                            None => prop_assert!(!gone.is_empty() || held.len() == 8),
                        }
                    }
                    2 if !held.is_empty() => {
                        let which = usize::from(which) % held.len();
                        gone.push(held.swap_remove(which).0);
                    }
                    _ => {
                        let mut unbound = Vec::new();
                        pool.unbind(|index| unbound.push(index));
                        free.extend(unbound.iter().filter_map(|it| at[*it as usize].take()));
                        unbound.sort_unstable();
                        gone.sort_unstable();
                        prop_assert_eq!(unbound, std::mem::take(&mut gone));
                    }
                }
            }
            prop_assert_eq!(pool.frames_free(), 8 - held.len());
        }
    }
}
