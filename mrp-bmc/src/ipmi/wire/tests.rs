//! Captured bytes against structs, and the property that each message holds: decoding never panics, and what was encoded
//! decodes to itself.
//!
//! The captured login and session are ipmitool's (1.8.19, cipher suite 3) with OpenIPMI's ipmi_sim (2.0.33), user and
//! password "admin".

use proptest::prelude::*;

use super::chassis_control::ChassisControl;
use super::close_session::CloseSession;
use super::get_channel_auth_capabilities::{AuthCapabilities, GetChannelAuthCapabilities};
use super::get_channel_cipher_suites::{CipherSuitesChunk, GetChannelCipherSuites, record, suite_ids};
use super::get_chassis_status::{ChassisStatus, GetChassisStatus};
use super::get_device_id::{DeviceId, GetDeviceId};
use super::lan_message::{Request, Response};
use super::open_session::{Algorithms, OpenSessionRequest, OpenSessionResponse, OpenedSession};
use super::payload_activation::{
    ActivatePayload, ActivatedPayload, DeactivatePayload, GetPayloadActivationStatus, GetPayloadInstanceInfo,
    PayloadActivationStatus, PayloadInstanceInfo, SOL,
};
use super::rakp::{Rakp1, Rakp2, Rakp2Proof, Rakp3, Rakp4};
use super::rmcp::RmcpHeader;
use super::rmcp_plus::{PayloadType, RmcpPlus};
use super::session_v15::SessionV15;
use super::set_session_privilege::{SessionPrivilege, SetSessionPrivilege};
use super::sol_packet::{SolPacket, flag};
use super::system_boot_options::{BootFlags, BootOption, GetSystemBootOptions, SetSystemBootOptions};
use super::{Command, DecodeError, Message};
use crate::ipmi::channel::Channel;
use crate::ipmi::crypto::{CipherSuite, Rakp};

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.replace(' ', "")).unwrap()
}

/// The payload of a captured packet outside a session.
fn payload(datagram: &str, kind: PayloadType) -> Vec<u8> {
    let datagram = bytes(datagram);
    let packet = RmcpPlus::decode(RmcpHeader::strip(&datagram).unwrap()).unwrap();
    assert_eq!(packet.payload_type, kind);
    let mut again = RmcpHeader.to_bytes();
    packet.encode(&mut again);
    assert_eq!(again, datagram, "the packet encodes to what was captured");
    packet.payload
}

/// Bytes decode to the message and the message encodes to the bytes.
fn same<M: Message + PartialEq + std::fmt::Debug>(hex: &str, message: &M) {
    assert_eq!(M::decode(&bytes(hex)).as_ref(), Ok(message), "{hex}");
    assert_eq!(hex::encode(message.to_bytes()), hex.replace(' ', ""), "{message:?}");
}

const AUTH_CAPABILITIES_REQUEST: &str = "0600ff07000000000000000000092018c88100388e04b5";
const AUTH_CAPABILITIES_RESPONSE: &str = "0600ff0700000000000000000010811c6320003800019704030000000009";
const OPEN_REQUEST: &str =
    "0600ff0706100000000000000000200000000000a4a3a2a0000000080100000001000008010000000200000801000000";
const OPEN_RESPONSE: &str = "0600ff0706110000000000000000240000000000a4a3a2a0020000000000000801000000010000080100000002000008\
     01000000";
const RAKP_1: &str = "0600ff07061200000000000000002100000000000200000051411709ab517800bebfa997211924bc1400000561646d69\
     6e";
const RAKP_2: &str = "0600ff07061300000000000000003c0000000000a4a3a2a0801529112e9185fccf31376cd3fdb175a123456789abcdef\
     a123456789abcdef14a67c59351c04d677f9cfb7f7d3683460982c13";
const RAKP_3: &str =
    "0600ff07061400000000000000001c000000000002000000b7d147b19128b54a67972f5df7c237956b1d546a";
const RAKP_4: &str = "0600ff0706150000000000000000140000000000a4a3a2a0efafa97e34bef4f6806710bc";
/// Set Session Privilege Level and Get Chassis Status within the session; requests and answers in turn.
const SESSION: &[(&str, &str)] = &[
    (
        "0600ff0706c0020000000300000020004d82b8497c96c8120bbb3f45eedaaa51de47eefadfbe6fc6d4c68070\
      0f5d5197ffff020701e124159c3689c9c4f769bd",
        "0600ff0706c0a4a3a2a0010000002000e942ec4cba76994c688cef94f9633a133d0b8bf9caaac1de3c3ff90c\
      1215b6beffff020783661ab51523bedaec0473d7",
    ),
    (
        "0600ff0706c0020000000400000020001ae8254cf930ac5c2358b755dc1ab8d6b8f0725181bda18580213100\
      c54daa3bffff02073c19c364990ce36ea0418e1b",
        "0600ff0706c0a4a3a2a00200000020007dde91ccb192800c3d4f8d8f519e13d88c410892b29196a6d956431e\
      47bcd098ffff0207ec668f12b28a68b0860809c9",
    ),
    (
        "0600ff0706c00200000005000000200077b6f405b06bf3a13f4e48cdfc90356434090ff23a29df3ab7056ed5\
      83194089ffff02071aae61246ba16a8d0a29c617",
        "0600ff0706c0a4a3a2a00300000030002e2483cc9d0ee539441b9c501fc3b0971392c88c644679abfed94cb1\
      0d12dfe1882ba7e891d3579f4508bb83c918eb3cffff0207b4b2f49af983849a6673a20a",
    ),
    (
        "0600ff0706c002000000060000002000f241317d8bc197c1c39c08f2894c0c4938f2423dbe532a13cc36c730\
      77e36ac1ffff020756a576b294e917bc069ce652",
        "0600ff0706c0a4a3a2a004000000200096a32ec0799aa16a9a6f3aefd0898a737cdfba816caa109142e84c62\
      7a40ae9dffff020715214b8fe1bb37cac7f0596e",
    ),
    (
        "0600ff0706c002000000070000002000713f3dbc3100513ef013477e10d4b2cacd6aa1284b4f303d0fef9920\
      00799c0cffff0207dff08959eef84191e9f3dcc2",
        "0600ff0706c0a4a3a2a0050000002000efe32dc74bfb0e6be87ab3123441a11f2580c263b328fc09f2df8558\
      e9a7f047ffff02070adb48052f0e3a733ef8d895",
    ),
    (
        "0600ff0706c0020000000800000020009c7ddd50010dea7f964f0b0dd40f91b4bdfefeded14c1f3358ef0b7b\
      4bb6e63dffff02078a615c355ee59641fad96360",
        "0600ff0706c0a4a3a2a00600000020003d8f67c94fe389e1cfb5aa712b623db88359c5e5be057edfef44dc15\
      5c1d71cdffff02071d91c4152308bd314a89ec3a",
    ),
    (
        "0600ff0706c0020000000900000020003e696aa0f10e5cdfe57836cb56e6232522cd5270d05ea74285bb8490\
      41045017ffff02072f4a439201dbe3ee2c6d3190",
        "0600ff0706c0a4a3a2a00700000020006832534f7a1b7326db85137207127ab07e5a1450ccfaeae8e48bada7\
      7c9aeaf4ffff0207362e8152d0230c5e4052e779",
    ),
];

const K1: &str = "8c15619693dcb3aef6eb70d3c718d569e9de9c96";
const K2: &str = "9add09867f3118dccfd3bd57146829ac9c98528f";
const SESSION_INTEGRITY_KEY: &str = "c977aaacb0fdd598368dbb0cc93c289ab1afc155";

#[test]
fn captured_auth_capabilities() {
    let request = GetChannelAuthCapabilities { v20_data: true, channel: 0x0e, maximum_privilege: 4 };
    let message = Request {
        rs_addr: 0x20,
        net_fn: 0x06,
        rs_lun: 0,
        rq_addr: 0x81,
        rq_seq: 0,
        rq_lun: 0,
        cmd: GetChannelAuthCapabilities::CMD,
        data: request.to_bytes(),
    };
    let datagram = bytes(AUTH_CAPABILITIES_REQUEST);
    let packet = SessionV15::decode(RmcpHeader::strip(&datagram).unwrap()).unwrap();
    assert_eq!(packet, SessionV15::outside_session(message.to_bytes()));
    same("8e 04", &request);

    let datagram = bytes(AUTH_CAPABILITIES_RESPONSE);
    let packet = SessionV15::decode(RmcpHeader::strip(&datagram).unwrap()).unwrap();
    let response = Response::decode(&packet.payload).unwrap();
    assert_eq!((response.cmd, response.completion_code, response.rs_addr), (0x38, 0, 0x20));
    let capabilities = AuthCapabilities::decode(&response.data).unwrap();
    assert!(capabilities.speaks_rmcp_plus());
    assert_eq!(capabilities.to_bytes(), response.data);
}

#[test]
fn captured_open_session() {
    let algorithms = CipherSuite::from_id(3).unwrap().algorithms();
    assert_eq!(algorithms, Algorithms { authentication: 1, integrity: 1, confidentiality: 1 });
    let request = OpenSessionRequest {
        message_tag: 0,
        requested_maximum_privilege: 0,
        remote_console_session_id: 0xa0a2_a3a4,
        algorithms,
    };
    same(&hex::encode(payload(OPEN_REQUEST, PayloadType::OpenSessionRequest)), &request);
    let response = OpenSessionResponse {
        message_tag: 0,
        maximum_privilege: 0,
        remote_console_session_id: 0xa0a2_a3a4,
        outcome: Ok(OpenedSession { managed_system_session_id: 2, algorithms }),
    };
    same(&hex::encode(payload(OPEN_RESPONSE, PayloadType::OpenSessionResponse)), &response);
}

/// The captured login proves the codes and keys of suite 3 against two implementations that are not ours.
#[test]
fn captured_rakp() {
    let rakp1 = Rakp1::decode(&payload(RAKP_1, PayloadType::Rakp1)).unwrap();
    same(&hex::encode(payload(RAKP_1, PayloadType::Rakp1)), &rakp1);
    assert_eq!((rakp1.managed_system_session_id, rakp1.user_name.as_slice()), (2, b"admin".as_slice()));
    let rakp2 = Rakp2::decode(&payload(RAKP_2, PayloadType::Rakp2)).unwrap();
    same(&hex::encode(payload(RAKP_2, PayloadType::Rakp2)), &rakp2);
    let rakp3 = Rakp3::decode(&payload(RAKP_3, PayloadType::Rakp3)).unwrap();
    same(&hex::encode(payload(RAKP_3, PayloadType::Rakp3)), &rakp3);
    let rakp4 = Rakp4::decode(&payload(RAKP_4, PayloadType::Rakp4)).unwrap();
    same(&hex::encode(payload(RAKP_4, PayloadType::Rakp4)), &rakp4);

    let proof = rakp2.outcome.unwrap();
    let suite = CipherSuite::from_id(3).unwrap();
    let rakp = Rakp {
        suite,
        console_session_id: 0xa0a2_a3a4,
        managed_system_session_id: 2,
        console_nonce: rakp1.console_nonce,
        managed_system_nonce: proof.managed_system_nonce,
        managed_system_guid: proof.managed_system_guid,
        role: rakp1.role,
        user_name: rakp1.user_name,
    };
    assert!(rakp.verify_rakp2(b"admin", &proof.key_exchange_authentication_code));
    assert!(!rakp.verify_rakp2(b"Admin", &proof.key_exchange_authentication_code));
    assert_eq!(rakp.code_of_rakp3(b"admin").to_vec(), rakp3.outcome.unwrap());
    let key = rakp.session_integrity_key(b"admin");
    assert_eq!(hex::encode(&*key), SESSION_INTEGRITY_KEY);
    assert_eq!(hex::encode(&*suite.additional_key(&key, 1)), K1);
    assert_eq!(hex::encode(&*suite.additional_key(&key, 2)), K2);
    assert!(rakp.verify_rakp4(&key, &rakp4.outcome.unwrap()));
}

#[test]
fn captured_session() {
    let (suite, key) = (CipherSuite::from_id(3).unwrap(), bytes(SESSION_INTEGRITY_KEY));
    let mut console = Channel::new(suite, &key, 0xa0a2_a3a4, 2);
    let mut bmc = Channel::new(suite, &key, 2, 0xa0a2_a3a4);
    let mut commands = Vec::new();
    for (request, response) in SESSION {
        let request = Request::decode(&bmc.open(&bytes(request)[4..]).unwrap().1).unwrap();
        let response = Response::decode(&console.open(&bytes(response)[4..]).unwrap().1).unwrap();
        assert_eq!(
            (response.cmd, response.rq_seq, response.net_fn),
            (request.cmd, request.rq_seq, request.net_fn | 1)
        );
        commands.push((request.net_fn, request.cmd));
        match (request.net_fn, request.cmd) {
            (SetSessionPrivilege::NET_FN, SetSessionPrivilege::CMD) => {
                assert_eq!(SetSessionPrivilege::decode(&request.data), Ok(SetSessionPrivilege { level: 4 }));
                assert_eq!(SessionPrivilege::decode(&response.data), Ok(SessionPrivilege { level: 4 }));
            }
            (GetChassisStatus::NET_FN, GetChassisStatus::CMD) => {
                assert!(ChassisStatus::decode(&response.data).unwrap().is_on());
            }
            (CloseSession::NET_FN, CloseSession::CMD) => {
                assert_eq!(CloseSession::decode(&request.data), Ok(CloseSession { session_id: 2 }));
            }
            _ => {}
        }
    }
    assert_eq!(commands.first(), Some(&(SetSessionPrivilege::NET_FN, SetSessionPrivilege::CMD)));
    assert!(commands.contains(&(GetChassisStatus::NET_FN, GetChassisStatus::CMD)));
    assert_eq!(commands.last(), Some(&(CloseSession::NET_FN, CloseSession::CMD)));
}

#[test]
fn known_bytes_of_messages() {
    let status = Request::to_bmc(0, GetChassisStatus::CMD, 1, Vec::new());
    same("20 00 e0 81 04 01 7a", &status);
    same("81 04 7b 20 04 01 00 21 10 40 6a", &status.answer(0, vec![0x21, 0x10, 0x40]));
    same("21 10 40", &ChassisStatus { current_power_state: 0x21, last_power_event: 0x10, misc_state: 0x40 });
    for (hex, control) in [
        ("00", ChassisControl::PowerDown),
        ("01", ChassisControl::PowerUp),
        ("02", ChassisControl::PowerCycle),
        ("03", ChassisControl::HardReset),
        ("05", ChassisControl::SoftShutdown),
    ] {
        same(hex, &control);
    }
    same("05 a0 04 00 00 00", &SetSystemBootOptions::new(5, [0xa0, 4, 0, 0, 0]));
    same("03 08", &SetSystemBootOptions::new(3, [8]));
    same("04 01 01", &SetSystemBootOptions::new(4, [1, 1]));
    same("05 00 00", &GetSystemBootOptions::new(5));
    let pxe = BootFlags { data1: 0xa0, data2: 0x04, ..BootFlags::default() };
    same("a0 04 00 00 00", &pxe);
    let option =
        BootOption { parameter_version: 1, parameter_invalid: false, parameter: 5, data: pxe.to_bytes() };
    same("01 05 a0 04 00 00 00", &option);
    same("0e 00 80", &GetChannelCipherSuites { channel: 0x0e, payload_type: 0, list_index: 0 });
    let id = DeviceId {
        device_id: 0x20,
        device_revision: 1,
        firmware_major: 9,
        firmware_minor: 8,
        ipmi_version: 2,
        additional_device_support: 0x9f,
        manufacturer_id: [0x91, 0x12, 0],
        product_id: 0x0f02,
    };
    same("20 01 09 08 02 9f 91 12 00 02 0f", &id);
    assert!(GetDeviceId.to_bytes().is_empty());
}

#[test]
fn cipher_suite_records() {
    let mut records = record(3, 1, 1, 1).to_vec();
    assert_eq!(records, bytes("c0 03 01 41 81"));
    // An OEM record, and a suite without integrity or confidentiality payloads of its own.
    records.extend(bytes("c1 90 00 01 02 01 41 81 c0 11 03 44 81 c0 00 00"));
    assert_eq!(suite_ids(&records), [3, 17, 0]);
    assert!(suite_ids(&bytes("c0")).is_empty());
    assert_eq!(suite_ids(&bytes("c0 03 01 41 81 c1 90")), [3]);
    assert!(suite_ids(&bytes("55 c0 03")).is_empty());
}

#[test]
fn refusals_may_be_cut_short() {
    let refusal = OpenSessionResponse::decode(&[7, 0x11]).unwrap();
    assert_eq!((refusal.message_tag, refusal.outcome), (7, Err(0x11)));
    assert!(OpenSessionResponse::decode(&[7]).is_err());
    assert!(OpenSessionResponse::decode(&[7, 0, 4, 0]).is_err(), "a grant may not");
}

#[test]
fn broken_bytes_say_what_is_wrong() {
    let error = Request::decode(&bytes("20 00 e1 81 04 01 7a")).unwrap_err();
    assert_eq!(error.to_string(), "the checksum of an IPMI message's header is wrong");
    let error = Request::decode(&bytes("20 00 e0 81 04 01 7b")).unwrap_err();
    assert_eq!(error, DecodeError::Checksum("an IPMI message"));
    let error = Request::decode(&bytes("20 00 e0 81")).unwrap_err();
    assert_eq!(error.to_string(), "IPMI request ends after 1 bytes");
    let error = RmcpHeader::decode(&bytes("06 00 ff 06")).unwrap_err();
    assert_eq!(error.to_string(), "RMCP class of message has the value 0x06, which is not known");
}

/// Whatever decodes encodes to bytes that decode to the same.
fn holds<M: Message + PartialEq + std::fmt::Debug>(input: &[u8]) {
    if let Ok(message) = M::decode(input) {
        assert_eq!(M::decode(&message.to_bytes()).as_ref(), Ok(&message));
    }
}

/// The layouts of sections 24.1, 24.2, 24.4, 24.5 and 15.9.
#[test]
fn serial_over_lan() {
    let activate = ActivatePayload { payload_type: SOL, instance: 1, auxiliary: [0xc0, 0, 0, 0] };
    assert_eq!(ActivatePayload::console(true, true), activate);
    same("01 01 c0 00 00 00", &activate);
    let activated = ActivatedPayload {
        auxiliary: [0; 4],
        inbound_size: 0x0100,
        outbound_size: 0x0100,
        udp_port: 623,
        vlan: 0xffff,
    };
    same("00 00 00 00 00 01 00 01 6f 02 ff ff", &activated);
    assert_eq!(ActivatedPayload::decode(&activated.to_bytes()[..10]), Ok(activated), "without a VLAN field");
    same("01 01 00 00 00 00", &DeactivatePayload::console(1));
    same("01", &GetPayloadActivationStatus { payload_type: SOL });
    let status = PayloadActivationStatus { capacity: 1, active: 1 };
    same("01 01 00", &status);
    assert_eq!(status.instances().collect::<Vec<_>>(), [1]);
    let both = PayloadActivationStatus { capacity: 15, active: 0x8002 };
    assert_eq!(both.instances().collect::<Vec<_>>(), [2, 16]);
    same("01 01", &GetPayloadInstanceInfo::CONSOLE);
    let info = PayloadInstanceInfo { session_id: 0x0403_0201, information: [1, 0, 0, 0, 0, 0, 0, 0] };
    same("01 02 03 04 01 00 00 00 00 00 00 00", &info);

    let typed = SolPacket { sequence: 5, characters: b"ls\r".to_vec(), ..SolPacket::default() };
    same("05 00 00 00 6c 73 0d", &typed);
    let taken_in_part = SolPacket { acknowledged: 5, accepted: 2, flags: flag::NACK, ..SolPacket::default() };
    same("00 05 02 40", &taken_in_part);
    let with_break = SolPacket { sequence: 15, flags: flag::BREAK, ..SolPacket::default() };
    same("0f 00 00 10", &with_break);
    let short = DecodeError::Short { what: "SOL packet", length: 3 };
    assert_eq!(SolPacket::decode(&[1, 2, 3]), Err(short));
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..60)
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic_and_what_decodes_encodes(input in prop::collection::vec(any::<u8>(), 0..120)) {
        holds::<RmcpHeader>(&input);
        holds::<SessionV15>(&input);
        holds::<RmcpPlus>(&input);
        holds::<OpenSessionRequest>(&input);
        holds::<OpenSessionResponse>(&input);
        holds::<Rakp1>(&input);
        holds::<Rakp2>(&input);
        holds::<Rakp3>(&input);
        holds::<Rakp4>(&input);
        holds::<Request>(&input);
        holds::<Response>(&input);
        holds::<GetChannelAuthCapabilities>(&input);
        holds::<AuthCapabilities>(&input);
        holds::<GetChannelCipherSuites>(&input);
        holds::<CipherSuitesChunk>(&input);
        holds::<GetChassisStatus>(&input);
        holds::<ChassisStatus>(&input);
        holds::<ChassisControl>(&input);
        holds::<SetSystemBootOptions>(&input);
        holds::<GetSystemBootOptions>(&input);
        holds::<BootOption>(&input);
        holds::<BootFlags>(&input);
        holds::<SetSessionPrivilege>(&input);
        holds::<SessionPrivilege>(&input);
        holds::<CloseSession>(&input);
        holds::<GetDeviceId>(&input);
        holds::<DeviceId>(&input);
        holds::<ActivatePayload>(&input);
        holds::<ActivatedPayload>(&input);
        holds::<DeactivatePayload>(&input);
        holds::<GetPayloadActivationStatus>(&input);
        holds::<PayloadActivationStatus>(&input);
        holds::<GetPayloadInstanceInfo>(&input);
        holds::<PayloadInstanceInfo>(&input);
        holds::<SolPacket>(&input);
        let _ = suite_ids(&input);
    }

    #[test]
    fn messages_decode_to_what_was_encoded(
        addresses: [u8; 2], net_fn in 0u8..64, luns in (0u8..4, 0u8..4), seq in 0u8..64, cmd: u8, code: u8, data in data(),
    ) {
        let request = Request {
            rs_addr: addresses[0], net_fn, rs_lun: luns.0, rq_addr: addresses[1], rq_seq: seq, rq_lun: luns.1, cmd,
            data: data.clone(),
        };
        prop_assert_eq!(Request::decode(&request.to_bytes()), Ok(request.clone()));
        let response = request.answer(code, data.clone());
        prop_assert_eq!(Response::decode(&response.to_bytes()), Ok(response.clone()));
        let v15 = SessionV15::outside_session(data);
        prop_assert_eq!(SessionV15::decode(&v15.to_bytes()), Ok(v15.clone()));
    }

    #[test]
    fn rakp_messages_decode_to_what_was_encoded(
        tag: u8, id: u32, nonce: [u8; 16], guid: [u8; 16], role in 0u8..0x20, name in prop::collection::vec(any::<u8>(), 0..17),
        code in data(), status in 1u8..0x13,
    ) {
        let rakp1 = Rakp1 {
            message_tag: tag, managed_system_session_id: id, console_nonce: nonce, role, user_name: name,
        };
        prop_assert_eq!(Rakp1::decode(&rakp1.to_bytes()), Ok(rakp1.clone()));
        let proof = Rakp2Proof {
            managed_system_nonce: nonce, managed_system_guid: guid, key_exchange_authentication_code: code.clone(),
        };
        for outcome in [Ok(proof), Err(status)] {
            let rakp2 = Rakp2 { message_tag: tag, remote_console_session_id: id, outcome };
            prop_assert_eq!(Rakp2::decode(&rakp2.to_bytes()), Ok(rakp2.clone()));
        }
        for outcome in [Ok(code), Err(status)] {
            let rakp3 = Rakp3 { message_tag: tag, managed_system_session_id: id, outcome: outcome.clone() };
            prop_assert_eq!(Rakp3::decode(&rakp3.to_bytes()), Ok(rakp3.clone()));
            let rakp4 = Rakp4 { message_tag: tag, remote_console_session_id: id, outcome };
            prop_assert_eq!(Rakp4::decode(&rakp4.to_bytes()), Ok(rakp4.clone()));
        }
    }
}
