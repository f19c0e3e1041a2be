//! Large arrays in huge pages.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    mem::MaybeUninit,
    ptr::NonNull,
};

use rayon::prelude::*;

/// Size of a huge page on x86-64 and aarch64.
const HUGE_PAGE: usize = 2 << 20;

/// Number of elements that a thread initialises at once.
const CHUNK: usize = 1 << 14;

/// An array of fixed length. On Linux its memory is in huge pages as far as the system has them: a product that reads
/// weights from memory is a quarter faster, because the processor looks up 512 times fewer addresses.
pub(super) struct HugeArray<T> {
    start: NonNull<T>,
    length: usize,
}

// SAFETY: the array owns its elements, as a vector does.
unsafe impl<T: Send> Send for HugeArray<T> {}
// SAFETY: a shared array gives shared access to its elements alone.
unsafe impl<T: Sync> Sync for HugeArray<T> {}

impl<T: Copy + Send + Sync> HugeArray<T> {
    /// Creates an array of copies of `value`.
    pub(super) fn new(value: T, length: usize) -> Self {
        let layout = layout::<T>(length);
        if layout.size() == 0 {
            return Self { start: NonNull::dangling(), length };
        }
        // SAFETY: the size of the layout is not 0.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        advise(start, layout.size());
        let start = start.cast::<T>();
        // SAFETY: the allocation has room for `length` elements, and nobody else knows it.
        let elements = unsafe { std::slice::from_raw_parts_mut(start.as_ptr().cast::<MaybeUninit<T>>(), length) };
        // The first write to a page makes the system find and clear it, so all threads share that.
        elements.par_chunks_mut(CHUNK).for_each(|elements| elements.fill(MaybeUninit::new(value)));
        Self { start, length }
    }

    /// Returns the elements.
    pub(super) fn as_slice(&self) -> &[T] {
        // SAFETY: `new` has written all elements.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// Returns the elements.
    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: `new` has written all elements, and they are borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T> Drop for HugeArray<T> {
    fn drop(&mut self) {
        let layout = layout::<T>(self.length);
        if layout.size() > 0 {
            // SAFETY: `new` has allocated this memory with this layout. The elements are `Copy`, so they need no drop.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) };
        }
    }
}

/// Returns the layout of an array. One that fills a huge page begins at one.
fn layout<T>(length: usize) -> Layout {
    let plain = Layout::array::<T>(length);
    let aligned = plain.and_then(|plain| match plain.size() < HUGE_PAGE {
        true => Ok(plain),
        false => plain.align_to(HUGE_PAGE),
    });
    aligned.expect("an array that is larger than the address space")
}

/// Asks for huge pages. The request is a hint, so its failure is none.
fn advise(start: NonNull<u8>, bytes: usize) {
    // The rest of the last huge page is not the array's.
    let bytes = bytes / HUGE_PAGE * HUGE_PAGE;
    #[cfg(target_os = "linux")]
    if bytes > 0 {
        // SAFETY: the range lies within an allocation, and the advice changes no content.
        let _ = unsafe { rustix::mm::madvise(start.as_ptr().cast(), bytes, rustix::mm::Advice::LinuxHugepage) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_written_and_large_arrays_begin_at_huge_pages() {
        for length in [0, 1, 1000, HUGE_PAGE / 4 + 1] {
            let mut array = HugeArray::new(7f32, length);
            assert_eq!(array.as_slice().len(), length);
            assert!(array.as_slice().iter().all(|value| *value == 7.0));
            array.as_mut_slice().iter_mut().for_each(|value| *value += 1.0);
            assert!(array.as_slice().iter().all(|value| *value == 8.0));
            assert!(length * 4 < HUGE_PAGE || (array.as_slice().as_ptr() as usize).is_multiple_of(HUGE_PAGE));
        }
    }
}
