//! The C face of the hook, which `shim/mrp.h` declares. No panic crosses it; without a hook every question is answered
//! with no.

#![allow(unsafe_code, reason = "the other side is C++: raw pointers, borrowed bytes, exported names")]

use std::ffi::{CString, c_char};
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mrp_core::api::kea::Seen;
use mrp_core::firmware::ClientFirmware;
use mrp_core::mac::MacAddr;

use crate::answer::{self, Query};
use crate::hook::{Hook, Level, Log};
use crate::settings::Settings;
use crate::table::Client;

/// Hardware type of Ethernet (RFC 826; IANA "ARP Parameters").
const ETHERNET: u8 = 1;

/// Bytes that the shim lends: `data` is null, which is no bytes, or points to `length` bytes that live as long as the call.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct MrpBytes {
    data: *const u8,
    length: usize,
}

/// What the shim reads of a query, and of Kea's answer.
#[derive(Debug)]
#[repr(C)]
pub struct MrpQuery {
    hardware_type: u8,
    hardware_address: MrpBytes,
    /// Options 12, 93, 60 and 77 as they came.
    host_name: MrpBytes,
    architecture: MrpBytes,
    vendor_class: MrpBytes,
    user_class: MrpBytes,
    /// Option 54 of Kea's answer; 0 for none. In the machine's own byte order, as all addresses here.
    server: u32,
}

/// A host with an address of its own.
#[derive(Debug)]
#[repr(C)]
pub struct MrpHost {
    mac: [u8; 6],
    ipv4: u32,
    /// Ends with 0; empty for none.
    hostname: [c_char; 64],
}

/// What the shim puts into Kea's answer. Texts end with 0.
#[derive(Debug)]
#[repr(C)]
pub struct MrpAnswer {
    next_server: u32,
    http_client: bool,
    file: [c_char; 256],
    why: [c_char; 512],
}

/// Takes a line of the log: 0 error, 1 warning, 2 information.
type LogFn = unsafe extern "C" fn(level: i32, text: *const c_char);

impl MrpBytes {
    /// # Safety
    /// As [`MrpBytes`] says.
    unsafe fn get<'a>(self) -> &'a [u8] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.data, self.length) }
    }
}

/// Starts the hook. Null where a parameter is wrong; the log says which.
///
/// # Safety
/// `parameters` is as [`MrpBytes`] wants it; `log` may be called by any thread until [`mrp_kea_stop`] returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mrp_kea_start(parameters: MrpBytes, log: LogFn) -> *mut Hook {
    let write: Log = Box::new(move |level, text| {
        let level = match level {
            Level::Error => 0,
            Level::Warning => 1,
            Level::Info => 2,
        };
        let text = CString::new(text.replace('\0', "?")).unwrap_or_default();
        // SAFETY: the caller's promise; the text lives until the call returns.
        unsafe { log(level, text.as_ptr()) };
    });
    guarded(std::ptr::null_mut(), move || {
        // SAFETY: the caller's promise.
        let parameters = String::from_utf8_lossy(unsafe { parameters.get() });
        let settings = match Settings::read(&parameters) {
            Ok(settings) => settings,
            Err(error) => {
                write(Level::Error, &error.to_string());
                return std::ptr::null_mut();
            }
        };
        match Hook::start(settings, write) {
            Ok(hook) => Box::into_raw(Box::new(hook)),
            Err(_) => std::ptr::null_mut(),
        }
    })
}

/// Ends the hook; its threads are gone when this returns.
///
/// # Safety
/// `hook` is null or comes from [`mrp_kea_start`], and nobody uses it from here on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mrp_kea_stop(hook: *mut Hook) {
    if !hook.is_null() {
        // SAFETY: the caller's promise.
        guarded((), || drop(unsafe { Box::from_raw(hook) }));
    }
}

/// The host with a hardware address, if it has an address of its own.
///
/// # Safety
/// `hook` is null or a running hook; `address` is as [`MrpBytes`] wants it; `host` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mrp_kea_host_by_mac(
    hook: *const Hook,
    address: MrpBytes,
    host: *mut MrpHost,
) -> bool {
    guarded(false, || {
        // SAFETY: the caller's promises.
        let (hook, address) = unsafe { (hook.as_ref(), address.get()) };
        let (Some(hook), Ok(mac)) = (hook, address.try_into().map(MacAddr)) else { return false };
        let table = hook.shared().table();
        // SAFETY: the caller's promise.
        table.by_mac(mac).is_some_and(|client| unsafe { write_host(client, host) })
    })
}

/// The host that an address belongs to.
///
/// # Safety
/// `hook` is null or a running hook; `host` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mrp_kea_host_by_address(
    hook: *const Hook,
    address: u32,
    host: *mut MrpHost,
) -> bool {
    guarded(false, || {
        // SAFETY: the caller's promise.
        let Some(hook) = (unsafe { hook.as_ref() }) else { return false };
        let table = hook.shared().table();
        // SAFETY: the caller's promise.
        table.by_address(address.into()).is_some_and(|client| unsafe { write_host(client, host) })
    })
}

/// What is to be put into Kea's answer; false where it is to be left alone.
///
/// # Safety
/// `hook` is null or a running hook; `query` is valid, its bytes as [`MrpBytes`] wants them; `told` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mrp_kea_answer(
    hook: *const Hook,
    query: *const MrpQuery,
    told: *mut MrpAnswer,
) -> bool {
    guarded(false, || {
        // SAFETY: the caller's promises.
        let (hook, query) = unsafe { (hook.as_ref(), &*query) };
        // SAFETY: the caller's promise.
        let (Some(hook), Some(mac)) = (hook, unsafe { mac(query) }) else { return false };
        let server = Some(query.server).filter(|server| *server != 0).map(Ipv4Addr::from);
        // SAFETY: the caller's promise.
        let firmware = unsafe { firmware(query) };
        let Some(found) = answer::answer(&hook.shared().table(), &Query { mac, firmware, server }) else {
            return false;
        };
        let next_server = found.next_server.into();
        let (file, why) = (text(&found.file), text(&found.why));
        // SAFETY: the caller's promise.
        unsafe { told.write(MrpAnswer { next_server, http_client: found.http_client, file, why }) };
        true
    })
}

/// A client asked for an address, for the first time (`discover`) or for one that it had.
///
/// # Safety
/// As [`mrp_kea_answer`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mrp_kea_asked(hook: *const Hook, query: *const MrpQuery, discover: bool) {
    guarded((), || {
        // SAFETY: the caller's promises.
        let (hook, query) = unsafe { (hook.as_ref(), &*query) };
        // SAFETY: the caller's promise.
        let (Some(hook), Some(mac)) = (hook, unsafe { mac(query) }) else { return };
        // SAFETY: the caller's promise.
        let (client, name) = unsafe { (firmware(query), query.host_name.get()) };
        let hostname = Some(String::from_utf8_lossy(name).into_owned()).filter(|name| !name.is_empty());
        let (client_arch, firmware) = (client.architecture, answer::is_firmware(&client));
        hook.shared().queue.push(mac, Seen::Asked { discover, hostname, client_arch, firmware });
    });
}

/// A lease was given or renewed for so many seconds.
///
/// # Safety
/// As [`mrp_kea_answer`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mrp_kea_leased(
    hook: *const Hook,
    query: *const MrpQuery,
    address: u32,
    seconds: u32,
) {
    guarded((), || {
        // SAFETY: the caller's promises.
        let (hook, query) = unsafe { (hook.as_ref(), &*query) };
        // SAFETY: the caller's promise.
        let (Some(hook), Some(mac)) = (hook, unsafe { mac(query) }) else { return };
        // SAFETY: the caller's promise.
        let firmware = answer::is_firmware(&unsafe { firmware(query) });
        hook.shared().queue.push(mac, Seen::Lease { ipv4: address.into(), seconds, firmware });
    });
}

/// A lease is over: 0 it was given back, 1 it ran out, 2 the client declined the address.
///
/// # Safety
/// `hook` is null or a running hook; `hardware_address` is as [`MrpBytes`] wants it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mrp_kea_lease_over(
    hook: *const Hook,
    hardware_type: u8,
    hardware_address: MrpBytes,
    address: u32,
    how: i32,
) {
    guarded((), || {
        // SAFETY: the caller's promises.
        let (hook, bytes) = unsafe { (hook.as_ref(), hardware_address.get()) };
        let (Some(hook), Some(mac)) = (hook, ethernet(hardware_type, bytes)) else { return };
        let ipv4 = address.into();
        let what = match how {
            0 => Seen::Released { ipv4 },
            1 => Seen::Expired { ipv4 },
            _ => Seen::Declined { ipv4 },
        };
        hook.shared().queue.push(mac, what);
    });
}

/// Runs a call; a panic, which the panic hook has told, becomes `otherwise`.
fn guarded<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(otherwise)
}

/// The client's MAC address; `None` for hardware that is no Ethernet (InfiniBand has 20 bytes).
///
/// # Safety
/// The query's bytes are as [`MrpBytes`] wants them.
unsafe fn mac(query: &MrpQuery) -> Option<MacAddr> {
    // SAFETY: the caller's promise.
    ethernet(query.hardware_type, unsafe { query.hardware_address.get() })
}

fn ethernet(hardware_type: u8, address: &[u8]) -> Option<MacAddr> {
    address.try_into().ok().filter(|_| hardware_type == ETHERNET).map(MacAddr)
}

/// # Safety
/// The query's bytes are as [`MrpBytes`] wants them.
unsafe fn firmware(query: &MrpQuery) -> ClientFirmware<'_> {
    // SAFETY: the caller's promise.
    let (architecture, vendor_class, user_class) =
        unsafe { (query.architecture.get(), query.vendor_class.get(), query.user_class.get()) };
    ClientFirmware { architecture: answer::architecture(architecture), vendor_class, user_class }
}

/// # Safety
/// `host` can be written.
unsafe fn write_host(client: Client<'_>, host: *mut MrpHost) -> bool {
    let Some(ipv4) = client.ipv4 else { return false };
    // SAFETY: the caller's promise.
    unsafe { host.write(MrpHost { mac: client.mac.0, ipv4: ipv4.into(), hostname: text(client.hostname) }) };
    true
}

/// A text that ends with 0, cut where it does not fit.
fn text<const N: usize>(from: &str) -> [c_char; N] {
    let mut into = [0; N];
    for (to, byte) in into[..N - 1].iter_mut().zip(from.bytes()) {
        *to = byte.cast_signed();
    }
    into
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_with_zero() {
        assert_eq!(text::<4>("ab"), [97, 98, 0, 0]);
        assert_eq!(text::<4>("abcdef"), [97, 98, 99, 0]);
    }

    #[test]
    fn a_panic_becomes_a_no() {
        assert!(!guarded(false, || panic!("this test panics")));
    }

    #[test]
    fn without_a_hook_every_answer_is_no() {
        let none = MrpBytes { data: std::ptr::null(), length: 0 };
        let mac = [2, 0, 0, 0, 0, 1];
        let bytes = MrpBytes { data: mac.as_ptr(), length: 6 };
        let query = MrpQuery {
            hardware_type: 1,
            hardware_address: bytes,
            host_name: none,
            architecture: none,
            vendor_class: none,
            user_class: none,
            server: 0,
        };
        let (mut host, mut answer) = (std::mem::MaybeUninit::uninit(), std::mem::MaybeUninit::uninit());
        let hook = std::ptr::null();
        // SAFETY: all pointers live until the end of the test.
        unsafe {
            assert!(!mrp_kea_host_by_mac(hook, bytes, host.as_mut_ptr()));
            assert!(!mrp_kea_host_by_address(hook, 1, host.as_mut_ptr()));
            assert!(!mrp_kea_answer(hook, &raw const query, answer.as_mut_ptr()));
            mrp_kea_asked(hook, &raw const query, true);
            mrp_kea_leased(hook, &raw const query, 1, 1);
            mrp_kea_lease_over(hook, 1, bytes, 1, 0);
            mrp_kea_stop(std::ptr::null_mut());
        }
    }

    #[test]
    fn only_ethernet_has_a_mac_address() {
        assert_eq!(ethernet(1, &[1, 2, 3, 4, 5, 6]), Some(MacAddr([1, 2, 3, 4, 5, 6])));
        for (kind, length) in [(32, 20), (32, 6), (1, 0), (1, 5), (1, 7), (1, 16)] {
            assert_eq!(ethernet(kind, &vec![0; length]), None);
        }
    }
}
