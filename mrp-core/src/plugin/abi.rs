//! The C ABI of a plugin in a dynamic library; `plugins/mrp_plugin.h` is the same in C, and a test holds the two together.
//!
//! Both sides offer a table of functions that begins with its own size. Fields are only added at the end: who reads a table
//! takes what lies within its size, and the rest counts as absent. Rules:
//!
//! - The library is loaded once and never unloaded. `mrp_bmc_driver_v1` answers null if it cannot work.
//! - The host calls the driver's functions from one thread, one after the other. They may block, but then nothing else is
//!   asked meanwhile. The plugin may call the host's functions from any thread, at any time.
//! - Bytes that are passed are borrowed for the duration of the call; those of `describe` live as long as the process.
//! - Each call is answered by `done` exactly once, a cancelled one too. The host chooses the numbers of calls and BMCs.

#![allow(unsafe_code, reason = "what C passes is read through pointers")]

use std::ffi::c_void;
use std::mem::MaybeUninit;

/// The name of the one symbol that a library exports; its type is [`Entry`].
pub const ENTRY: &str = "mrp_bmc_driver_v1";

/// The entry: takes the host's table, which lives as long as the process, and answers the driver's, which does too.
pub type Entry = unsafe extern "C" fn(host: *const MrpHostV1) -> *const MrpDriverV1;

/// Borrowed bytes. A null pointer is no bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct MrpBytes {
    /// The first byte.
    pub ptr: *const u8,
    /// How many there are.
    pub len: usize,
}

impl MrpBytes {
    /// Lends bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes.
    ///
    /// # Safety
    /// They live for `'a` and do not change.
    pub unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: passed on from the caller.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// What the host offers to a plugin.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct MrpHostV1 {
    /// Size of this table in bytes.
    pub size: u32,
    /// [`super::VERSION`].
    pub version: u32,
    /// Handed back as the first argument of each function.
    pub host: *mut c_void,
    /// Answers a call: status 0 and the reply in JSON (no bytes are `{}`), or an [`super::ErrorKind`] and words.
    pub done: Option<unsafe extern "C" fn(host: *mut c_void, call: u64, status: i32, payload: MrpBytes)>,
    /// Bytes that a machine printed at the console which the call opened.
    pub console: Option<unsafe extern "C" fn(host: *mut c_void, call: u64, bytes: MrpBytes)>,
    /// The console which the call opened is closed: status 0 if that was wanted, else an [`super::ErrorKind`] and words.
    pub console_end:
        Option<unsafe extern "C" fn(host: *mut c_void, call: u64, status: i32, payload: MrpBytes)>,
    /// A line for the server's log: 0 error, 1 warning, 2 information, 3 for debugging.
    pub log: Option<unsafe extern "C" fn(host: *mut c_void, level: u32, message: MrpBytes)>,
}

/// What a plugin offers to the host.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct MrpDriverV1 {
    /// Size of this table in bytes.
    pub size: u32,
    /// [`super::VERSION`].
    pub version: u32,
    /// Handed back as the first argument of each function.
    pub driver: *mut c_void,
    /// The hello ([`super::Hello`]) in JSON.
    pub describe: Option<unsafe extern "C" fn(driver: *mut c_void) -> MrpBytes>,
    /// Asks something: an operation's name and its request in JSON, about the BMC of that number.
    pub call: Option<
        unsafe extern "C" fn(
            driver: *mut c_void,
            call: u64,
            instance: u64,
            operation: MrpBytes,
            request: MrpBytes,
        ),
    >,
    /// The call's answer is wanted no more, or the console of that call is to be closed. May be absent.
    pub cancel: Option<unsafe extern "C" fn(driver: *mut c_void, call: u64)>,
    /// Bytes that were typed at the console which the call opened; answers 0 if they were taken. May be absent.
    pub console_write: Option<unsafe extern "C" fn(driver: *mut c_void, call: u64, bytes: MrpBytes) -> i32>,
    /// A break condition for that console; answers 0 if it was taken. May be absent.
    pub console_break: Option<unsafe extern "C" fn(driver: *mut c_void, call: u64) -> i32>,
}

/// A table of this ABI: all its fields may be zero.
///
/// # Safety
/// The type is `repr(C)`, begins with its size as `u32`, and a zero in any field is a value of it.
pub unsafe trait Table: Copy {}

// SAFETY: numbers, pointers and optional functions.
unsafe impl Table for MrpHostV1 {}
// SAFETY: numbers, pointers and optional functions.
unsafe impl Table for MrpDriverV1 {}

/// Copies as much of a table as the other side has; `None` for a null pointer.
///
/// # Safety
/// The pointer is null, or points to as many bytes as the table's first field says.
pub unsafe fn read<T: Table>(table: *const T) -> Option<T> {
    if table.is_null() {
        return None;
    }
    // SAFETY: each table begins with its size, and what lies within the size is there; what does not stays zero, which is a
    // value of every field.
    unsafe {
        let size = table.cast::<u32>().read_unaligned() as usize;
        let mut copy = MaybeUninit::<T>::zeroed();
        std::ptr::copy_nonoverlapping(
            table.cast::<u8>(),
            copy.as_mut_ptr().cast::<u8>(),
            size.min(size_of::<T>()),
        );
        Some(copy.assume_init())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beyond_a_tables_size_is_absent() {
        unsafe extern "C" fn cancel(_: *mut c_void, _: u64) {}
        let full = MrpDriverV1 {
            size: u32::try_from(size_of::<MrpDriverV1>()).unwrap(),
            version: 1,
            driver: std::ptr::null_mut(),
            describe: None,
            call: None,
            cancel: Some(cancel),
            console_write: None,
            console_break: None,
        };
        // SAFETY: the tables are whole, or null.
        unsafe {
            assert!(read(&raw const full).unwrap().cancel.is_some());
            let older = MrpDriverV1 {
                size: u32::try_from(std::mem::offset_of!(MrpDriverV1, cancel)).unwrap(),
                ..full
            };
            assert!(read(&raw const older).unwrap().cancel.is_none());
            let newer = MrpDriverV1 { size: 4096, ..full };
            assert!(read(&raw const newer).unwrap().cancel.is_some());
            assert!(read::<MrpDriverV1>(std::ptr::null()).is_none());
        }
    }
}
