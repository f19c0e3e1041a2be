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

/// An array of fixed length. On Linux a large one is in huge pages as far as the system has them: a product that reads weights
/// from memory is a quarter faster, because the processor looks up 512 times fewer addresses. It is mapped and not allocated:
/// an allocator would lose up to a huge page before each array to its alignment.
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
        let start = match layout.size() {
            0 => return Self { start: NonNull::dangling(), length },
            bytes if is_mapped(bytes) => map(bytes),
            // SAFETY: the size of the layout is not 0.
            _ => NonNull::new(unsafe { alloc(layout) }),
        };
        let Some(start) = start.map(NonNull::cast::<T>) else { handle_alloc_error(layout) };
        // SAFETY: the memory has room for `length` elements, and nobody else knows it.
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
        // The elements are `Copy`, so they need no drop.
        let (start, layout) = (self.start.cast::<u8>(), layout::<T>(self.length));
        match layout.size() {
            0 => {}
            bytes if is_mapped(bytes) => unmap(start, bytes.next_multiple_of(HUGE_PAGE)),
            // SAFETY: `new` has allocated this memory with this layout.
            _ => unsafe { dealloc(start.as_ptr(), layout) },
        }
    }
}

fn layout<T>(length: usize) -> Layout {
    Layout::array::<T>(length).expect("an array that is larger than the address space")
}

/// Returns true for an array that is mapped: on Linux one that fills a huge page.
fn is_mapped(bytes: usize) -> bool {
    cfg!(target_os = "linux") && bytes >= HUGE_PAGE
}

/// Maps memory that begins at a huge page. Returns `None` if the system has not as much.
#[cfg(target_os = "linux")]
fn map(bytes: usize) -> Option<NonNull<u8>> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

    let (length, access) = (bytes.next_multiple_of(HUGE_PAGE), ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: a mapping at an address of the system's choice touches no other.
    let mapped = unsafe { mmap_anonymous(std::ptr::null_mut(), length + HUGE_PAGE, access, MapFlags::PRIVATE) };
    let mapped = NonNull::new(mapped.ok()?.cast::<u8>())?;
    let before = mapped.as_ptr().align_offset(HUGE_PAGE);
    // SAFETY: both lie within the mapping.
    let (start, end) = unsafe { (mapped.add(before), mapped.add(before + length)) };
    unmap(mapped, before);
    unmap(end, HUGE_PAGE - before);
    // SAFETY: the range is mapped, and the advice changes no content. It is a hint, so its failure is none.
    let _ = unsafe { madvise(start.as_ptr().cast(), length, Advice::LinuxHugepage) };
    Some(start)
}

/// Gives mapped memory back.
#[cfg(target_os = "linux")]
fn unmap(start: NonNull<u8>, bytes: usize) {
    if bytes > 0 {
        // SAFETY: the callers give memory that `map` has mapped, and that nobody uses any more.
        let _ = unsafe { rustix::mm::munmap(start.as_ptr().cast(), bytes) };
    }
}

#[cfg(not(target_os = "linux"))]
fn map(_: usize) -> Option<NonNull<u8>> {
    None
}

#[cfg(not(target_os = "linux"))]
fn unmap(_: NonNull<u8>, _: usize) {}

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
