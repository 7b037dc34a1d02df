//! What goes wrong between driver and service, and what is made of it.

use mrp_core::bmc::{Bmc, BmcError, BootDevice, BootOverride, Node, OpenBmc, Power, PowerAction};
use mrp_core::secret::Secret;
use mrp_redfish::RedfishBmc;
use serde_json::{Value, json};

use crate::support::machine::refused;
use crate::support::service::{Etags, Shape, Tasks};
use crate::support::sim::{Canned, Simulator};
use crate::support::{config, open, power_error, start, start_with};

const SYSTEM: &str = "GET /redfish/v1/Systems/1";
const PATCH: &str = "PATCH /redfish/v1/Systems/1";
const RESET: &str = "POST /redfish/v1/Systems/1/Actions/ComputerSystem.Reset";
const LOGIN: &str = "POST /redfish/v1/SessionService/Sessions";
const PXE: BootOverride = BootOverride { device: BootDevice::Pxe, efi: true, persistent: false };

fn node() -> Node {
    Node::default()
}

fn refusal(status: u16, id: &str, message: &str) -> Canned {
    Canned::json(status, &refused(status, id, message).body)
}

#[tokio::test]
async fn a_session_is_kept_renewed_once_when_it_is_forgotten_and_deleted_at_close() {
    let (simulator, bmc) = start(Shape::default()).await;
    for _ in 0..3 {
        bmc.power(&node()).await.unwrap();
    }
    assert_eq!(simulator.lock().logins, 1, "the session is kept");
    simulator.lock().tokens.clear();
    bmc.set_power(&node(), PowerAction::On).await.unwrap();
    assert_eq!(simulator.lock().logins, 2, "it is renewed");
    assert_eq!(simulator.lock().machines[0].resets, ["On"]);
    bmc.close().await;
    assert!(simulator.lock().tokens.is_empty());
    assert_eq!(simulator.lines().last().unwrap(), "DELETE /redfish/v1/SessionService/Sessions/2");
    simulator.can(SYSTEM, (0..4).map(|_| refusal(401, "Base.1.8.NoValidSession", "Who are you?")));
    let error = power_error(&bmc).await;
    assert!(matches!(&error, BmcError::Unauthorized { reason, .. } if reason == "Who are you?"), "{error}");
    assert_eq!(simulator.lock().logins, 4, "one that is refused at once is renewed once");
}

#[tokio::test]
async fn a_refused_password_is_tried_once_and_shown_nowhere() {
    let simulator = Simulator::start(Shape::default()).await;
    for auth in ["session", "basic"] {
        let mut wrong = config(&simulator, json!({"auth": auth}));
        wrong.password = Secret::new("hunter2");
        let bmc = RedfishBmc::open(wrong).await.unwrap();
        let before = simulator.lines().len();
        let error = power_error(&bmc).await;
        assert!(matches!(error, BmcError::Unauthorized { .. }), "{error}");
        assert!(!format!("{error:?} {bmc:?}").contains("hunter2"), "{error:?} {bmc:?}");
        let tried = simulator.lines().split_off(before);
        let tried = tried.iter().filter(|line| *line != "GET /redfish/v1/").count();
        assert_eq!(tried, 1, "{auth}: {:?}", simulator.lines());
    }
}

#[tokio::test]
async fn refusals_have_the_services_words_and_the_kind_that_they_mean() {
    let (simulator, bmc) = start(Shape::default()).await;
    for (status, id, words, kind) in [
        (403, "Base.1.8.InsufficientPrivilege", "Not you.", "Unauthorized"),
        (400, "iLO.2.14.UnauthorizedLoginAttempt", "Go away.", "Unauthorized"),
        (503, "Base.1.8.ServiceTemporarilyUnavailable", "Retry in 30 seconds.", "Busy"),
        (400, "Base.1.8.ResourceInUse", "In use.", "Busy"),
        (409, "Base.1.8.GeneralError", "An update is under way.", "Busy"),
        (500, "Base.1.8.InternalError", "Broken.", "Protocol"),
    ] {
        simulator.can(SYSTEM, [refusal(status, id, words)]);
        let error = power_error(&bmc).await;
        assert!(format!("{error:?}").starts_with(kind), "{status}: {error:?}");
        assert!(error.to_string().contains(words.trim_end_matches('.')), "{error}");
    }
    simulator.can(LOGIN, [refusal(400, "Base.1.8.SessionLimitExceeded", "Four sessions are open.")]);
    let error = power_error(&open(&simulator, json!({})).await).await;
    assert!(matches!(&error, BmcError::Busy { reason, .. } if reason == "Four sessions are open"), "{error}");
    simulator.can(RESET, [refusal(501, "Base.1.8.ActionNotSupported", "No.")]);
    let error = bmc.set_power(&node(), PowerAction::On).await.unwrap_err();
    assert!(matches!(error, BmcError::Unsupported("switching on")), "{error}");
}

/// A list, a single message, messages of the body's own, ids without texts, a page for people.
#[tokio::test]
async fn messages_are_found_wherever_they_are() {
    let (simulator, bmc) = start(Shape::default()).await;
    let one = json!({"MessageId": "Acme.1.0.Fuse", "Message": "The fuse is blown."});
    let bare = json!([{"MessageId": "Acme.1.0.Fuse", "MessageArgs": ["F7"]}]);
    for (body, says) in [
        (json!({"error": {"@Message.ExtendedInfo": [one, one]}}), "HTTP 400: The fuse is blown"),
        (json!({"error": {"@Message.ExtendedInfo": one}}), "HTTP 400: The fuse is blown"),
        (json!({"@Message.ExtendedInfo": [one]}), "HTTP 400: The fuse is blown"),
        (
            json!({"error": {"message": "Fuse.", "@Message.ExtendedInfo": bare}}),
            "HTTP 400: Fuse. Acme.1.0.Fuse (F7)",
        ),
        (json!({"error": {"@Message.ExtendedInfo": bare}}), "HTTP 400: Acme.1.0.Fuse (F7)"),
        (json!({"error": {"code": "x", "message": "line\nline\u{1b}[2J"}}), "HTTP 400: line line [2J"),
        (json!("<html>Bad Request</html>"), "HTTP 400"),
    ] {
        simulator.can(SYSTEM, [Canned::json(400, &body)]);
        let error = power_error(&bmc).await.to_string();
        let expected = format!("reading the power state is refused with {says}");
        assert!(error.ends_with(&expected), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_resource_that_was_changed_meanwhile_is_read_again_once() {
    let (simulator, bmc) = start(Shape::default()).await;
    let changed = || refusal(412, "Base.1.8.PreconditionFailed", "Somebody else has changed it.");
    simulator.can(PATCH, [changed()]);
    bmc.set_boot(&node(), Some(PXE)).await.unwrap();
    assert_eq!(bmc.boot(&node()).await.unwrap(), Some(PXE));
    let etags: Vec<_> = simulator.seen(PATCH).into_iter().map(|seen| seen.if_match).collect();
    assert_eq!(etags, [Some("\"1\"".to_owned()), Some("\"1\"".to_owned())]);
    simulator.can(PATCH, [changed(), changed()]);
    let error = bmc.set_boot(&node(), None).await.unwrap_err();
    assert!(error.to_string().contains("HTTP 412: Somebody else has changed it"), "{error}");
    assert_eq!(simulator.seen(PATCH).len(), 4, "twice, not for ever");
    for etags in [Etags::WeakForStrong, Etags::Misquoted] {
        let (simulator, bmc) = start(Shape { etags, ..Shape::default() }).await;
        bmc.set_boot(&node(), Some(PXE)).await.unwrap();
        assert_eq!(bmc.boot(&node()).await.unwrap(), Some(PXE));
        assert_eq!(simulator.seen(PATCH).len(), 2, "{etags:?}: refused once, and then spelt otherwise");
    }
    let (simulator, bmc) = start(Shape { etags: Etags::None, ..Shape::default() }).await;
    bmc.set_boot(&node(), Some(PXE)).await.unwrap();
    assert_eq!(simulator.seen(PATCH)[0].if_match, None);
}

#[tokio::test]
async fn what_is_accepted_is_followed_to_its_end() {
    for tasks in [Tasks::Monitor(3), Tasks::Resource(3, "Completed")] {
        let (simulator, bmc) = start(Shape { tasks: Some(tasks), ..Shape::default() }).await;
        bmc.set_power(&node(), PowerAction::On).await.unwrap();
        assert!(simulator.lock().machines[0].on, "{tasks:?}: it is done when the call returns");
        assert_eq!(simulator.seen("GET /redfish/v1/TaskService/TaskMonitors/1").len(), 4);
    }
    let shape = Shape { tasks: Some(Tasks::Resource(1, "Exception")), ..Shape::default() };
    let (simulator, bmc) = start(shape).await;
    let error = bmc.set_power(&node(), PowerAction::On).await.unwrap_err().to_string();
    assert!(error.ends_with("the task ends with Exception: The fuse is blown"), "{error}");
    simulator.can(RESET, [Canned::json(202, &Value::Null)]);
    bmc.set_power(&node(), PowerAction::On).await.unwrap();
    let never = Shape { tasks: Some(Tasks::Monitor(u32::MAX)), ..Shape::default() };
    let (_simulator, bmc) = start_with(never, json!({"timeout_s": 1})).await;
    let error = bmc.set_power(&node(), PowerAction::Reset).await.unwrap_err();
    assert!(
        matches!(error, BmcError::Timeout { operation: "the reset (it may have been carried out)", .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_reset_is_never_sent_twice() {
    let (simulator, bmc) = start_with(Shape::default(), json!({"timeout_s": 1})).await;
    bmc.set_power(&node(), PowerAction::On).await.unwrap();
    simulator.can(RESET, [Canned::Silence]);
    let error = bmc.set_power(&node(), PowerAction::Reset).await.unwrap_err();
    assert!(matches!(error, BmcError::Timeout { .. }), "{error}");
    for (action, refused) in [(PowerAction::Cycle, "PowerCycle"), (PowerAction::Reset, "ForceRestart")] {
        simulator.can(RESET, [refusal(400, "Base.1.8.GeneralError", "Not now.")]);
        let error = bmc.set_power(&node(), action).await.unwrap_err().to_string();
        assert!(error.contains("is refused with HTTP 400: Not now"), "{error}");
        assert_eq!(simulator.seen(RESET).last().unwrap().body, json!({"ResetType": refused}));
    }
    assert_eq!(simulator.seen(RESET).len(), 4);
}

#[tokio::test]
async fn answers_are_bounded_and_broken_ones_told() {
    let (simulator, bmc) = start_with(Shape::default(), json!({"timeout_s": 2})).await;
    let raw = |body: Vec<u8>| Canned::Answer { status: 200, headers: Vec::new(), body: body.into() };
    for (answer, says) in [
        (raw(vec![b' '; (1 << 20) + 1]), "its answer has more than 1048576 bytes"),
        (raw(b"{\"PowerState\": \"O".to_vec()), "the answer at /redfish/v1/Systems/1 is no JSON object"),
        (raw(b"<html>It works!</html>".to_vec()), "the answer at /redfish/v1/Systems/1 is no JSON object"),
        (Canned::json(200, &json!({"PowerState": "Quantum"})), "the power state is \"Quantum\""),
        (Canned::json(200, &json!({"PowerState": null})), "it does not know the power state"),
    ] {
        simulator.can(SYSTEM, [answer]);
        let error = power_error(&bmc).await.to_string();
        assert!(error.ends_with(says), "{error}");
    }
    simulator.can(SYSTEM, [Canned::Silence]);
    let error = power_error(&bmc).await;
    assert!(matches!(error, BmcError::Timeout { operation: "reading the power state", .. }), "{error}");
    let nobody = RedfishBmc::open(crate::support::plugins::config("127.0.0.1:9", json!({}))).await.unwrap();
    let error = power_error(&nobody).await;
    assert!(matches!(&error, BmcError::Unreachable { address } if address == "127.0.0.1:9"), "{error}");
}

/// Neither a link nor a redirect takes the session's token to another host.
#[tokio::test]
async fn links_to_other_hosts_are_not_followed() {
    let (simulator, bmc) = start(Shape::default()).await;
    let other = Simulator::start(Shape::default()).await;
    let elsewhere = format!("https://{}/redfish/v1/Systems/1", other.address);
    bmc.power(&node()).await.unwrap();
    simulator.can(SYSTEM, [Canned::json(302, &Value::Null).with("Location", &elsewhere)]);
    let error = power_error(&bmc).await.to_string();
    assert!(error.ends_with("HTTP 302 leads to another service or in circles"), "{error}");
    simulator.can(SYSTEM, [Canned::json(307, &Value::Null).with("Location", "/redfish/v1/Systems/1")]);
    assert_eq!(bmc.power(&node()).await.unwrap(), Power::Off, "to a path of the same service it is");
    let mut system =
        json!({"PowerState": "Off", "Actions": {"#ComputerSystem.Reset": {"target": elsewhere}}});
    simulator.can(SYSTEM, [Canned::json(200, &system)]);
    let error = bmc.set_power(&node(), PowerAction::On).await.unwrap_err().to_string();
    assert!(error.contains("which is not of this service"), "{error}");
    system["Actions"] = json!({});
    simulator.can(SYSTEM, [Canned::json(200, &system)]);
    let error = bmc.set_power(&node(), PowerAction::On).await.unwrap_err().to_string();
    assert!(error.ends_with("the system has no action to reset it"), "{error}");
    assert_eq!(other.lines(), [""; 0]);
}

#[tokio::test]
async fn a_system_of_several_is_named_by_machine_or_option_and_the_lot_is_listed() {
    let systems = || Shape { systems: vec!["blade-a", "blade-b", "blade-c"], page: 2, ..Shape::default() };
    let (simulator, bmc) = start(systems()).await;
    let error = power_error(&bmc).await;
    let all = "/redfish/v1/Systems/blade-a, /redfish/v1/Systems/blade-b, /redfish/v1/Systems/blade-c";
    let says = format!(
        "BMC configuration: the service has several systems, so that the machine's bmc_info or option system has to name one: {all}"
    );
    assert_eq!(error.to_string(), says);
    let unknown = bmc.power(&Node("blade-d".into())).await.unwrap_err().to_string();
    assert_eq!(unknown, format!("BMC configuration: the service has no system \"blade-d\": {all}"));
    simulator.lock().machines[2].on = true;
    assert_eq!(bmc.power(&Node("blade-c".into())).await.unwrap(), Power::On);
    assert_eq!(bmc.power(&Node("blade-b".into())).await.unwrap(), Power::Off);
    for system in ["blade-c", "/redfish/v1/Systems/blade-c", "/redfish/v1/Systems/blade-c/"] {
        let bmc = open(&simulator, json!({"system": system})).await;
        assert_eq!(bmc.power(&node()).await.unwrap(), Power::On, "{system}");
        assert_eq!(bmc.power(&Node("blade-a".into())).await.unwrap(), Power::Off, "the machine goes before");
    }
}

/// The paths of a service may change with its firmware; an id need not be the end of a path.
#[tokio::test]
async fn a_system_that_has_moved_is_found_again() {
    let (simulator, bmc) = start_with(Shape::default(), json!({"system": "Node1"})).await;
    simulator.lock().shape.system = json!({"Id": "Node1"});
    bmc.power(&node()).await.unwrap();
    simulator.lock().shape.collection = "/redfish/v1/Moved";
    assert_eq!(bmc.power(&node()).await.unwrap(), Power::Off);
    let before = simulator.lines().len();
    bmc.power(&node()).await.unwrap();
    assert_eq!(simulator.lines().split_off(before), ["GET /redfish/v1/Moved/1"], "one request a poll");
}

#[tokio::test]
async fn reset_types_of_a_resource_of_their_own_are_read() {
    let info = "/redfish/v1/Systems/1/ResetActionInfo";
    let parameters =
        json!([{"Name": "ResetType", "AllowableValues": ["ForceOff", "ForceOn", "GracefulShutdown"]}]);
    let action = json!({"@Redfish.ActionInfo": info, "ResetType@Redfish.AllowableValues": null});
    let shape = Shape {
        system: json!({"Actions": {"#ComputerSystem.Reset": action}}),
        resources: vec![(info, json!({"Parameters": parameters}))],
        ..Shape::default()
    };
    let (simulator, bmc) = start(shape).await;
    bmc.set_power(&node(), PowerAction::On).await.unwrap();
    // Neither PowerCycle nor ForceRestart is offered.
    bmc.set_power(&node(), PowerAction::Reset).await.unwrap();
    assert_eq!(simulator.lock().machines[0].resets, ["ForceOn", "ForceOff", "ForceOn"]);
}

#[tokio::test]
async fn the_console_is_there_where_the_service_says_so() {
    let of = |system: Value, resources: Vec<(&'static str, Value)>| Shape {
        system,
        resources,
        ..Shape::default()
    };
    let manager = (
        "/redfish/v1/Managers/1",
        json!({
            "SerialConsole": {"ServiceEnabled": true, "ConnectTypesSupported": ["SSH", "IPMI"]},
            "NetworkProtocol": {"@odata.id": "/redfish/v1/Managers/1/NetworkProtocol"},
        }),
    );
    let protocols = |enabled: bool| {
        ("/redfish/v1/Managers/1/NetworkProtocol", json!({"IPMI": {"ProtocolEnabled": enabled, "Port": 9}}))
    };
    let managed = json!({"Links": {"ManagedBy": [{"@odata.id": "/redfish/v1/Managers/1"}]}});
    let ssh = json!({"SerialConsole": {"SSH": {"ServiceEnabled": true, "Port": 2200}}});
    let off = json!({"SerialConsole": {"IPMI": {"ServiceEnabled": false}}});
    for (shape, says) in [
        (of(ssh, Vec::new()), "the service offers none over IPMI"),
        (of(off, Vec::new()), "is switched off for IPMI"),
        (of(managed.clone(), vec![manager.clone(), protocols(false)]), "IPMI is switched off"),
        (of(managed, vec![manager, protocols(true)]), "BMC at 127.0.0.1:9 does not answer"),
    ] {
        let options = json!({"console": "ipmi", "ipmi": {"retry_ms": 10, "tries": 1}});
        let (_simulator, bmc) = start_with(shape, options).await;
        let error = bmc.open_console(&node()).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
