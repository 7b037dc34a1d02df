//! Completion codes (section 5.2, table 5-2).

pub(crate) const OK: u8 = 0x00;
pub(crate) const NODE_BUSY: u8 = 0xc0;
pub(crate) const INVALID_COMMAND: u8 = 0xc1;
pub(crate) const REQUEST_DATA_TRUNCATED: u8 = 0xc6;
pub(crate) const PARAMETER_OUT_OF_RANGE: u8 = 0xc9;
pub(crate) const INVALID_DATA_FIELD: u8 = 0xcc;
pub(crate) const INSUFFICIENT_PRIVILEGE: u8 = 0xd4;
pub(crate) const NOT_IN_PRESENT_STATE: u8 = 0xd5;
/// Get/Set System Boot Options: parameter not supported (section 28.12).
pub(crate) const PARAMETER_NOT_SUPPORTED: u8 = 0x80;
/// Set Session Privilege Level: the user may not have that level (section 22.18).
pub(crate) const LEVEL_NOT_FOR_USER: u8 = 0x80;
/// Set Session Privilege Level: the level exceeds the channel's or user's limit (section 22.18).
pub(crate) const LEVEL_EXCEEDS_LIMIT: u8 = 0x81;

/// A generic completion code in words.
pub(crate) fn words(code: u8) -> &'static str {
    match code {
        OK => "done",
        NODE_BUSY => "node busy",
        INVALID_COMMAND => "invalid command",
        0xc2 => "command invalid for this LUN",
        0xc3 => "timeout while processing the command",
        0xc4 => "out of space",
        0xc5 => "reservation cancelled",
        REQUEST_DATA_TRUNCATED => "request data truncated",
        0xc7 => "request data length invalid",
        0xc8 => "request data field length limit exceeded",
        PARAMETER_OUT_OF_RANGE => "parameter out of range",
        0xca => "cannot return that many bytes",
        0xcb => "requested object not present",
        INVALID_DATA_FIELD => "invalid data field in the request",
        0xcd => "command illegal for this sensor or record",
        0xce => "response could not be provided",
        0xcf => "cannot execute a duplicated request",
        0xd0 => "its sensor records are in update mode",
        0xd1 => "its firmware is in update mode",
        0xd2 => "its initialization is in progress",
        0xd3 => "destination unavailable",
        INSUFFICIENT_PRIVILEGE => "insufficient privilege",
        NOT_IN_PRESENT_STATE => "not possible in the present state",
        0xd6 => "the command's function is disabled",
        _ => "unspecified error",
    }
}

/// True where the BMC has no time just now and the same command may work a moment later.
pub(crate) fn is_busy(code: u8) -> bool {
    matches!(code, NODE_BUSY | 0xc3 | 0xc4 | 0xd1 | 0xd2)
}
