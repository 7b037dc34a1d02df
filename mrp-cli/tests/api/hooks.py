"""What schemathesis cannot know of a lab: which names and ids there are, and which refusals of right requests are right.

A request that is meant to be right gets names and ids that exist, and objects made for it where it removes them. One
that is meant to be wrong stays as it was made. The token that asks is kept from ending itself.
"""

import atexit
import base64
import contextlib
import ipaddress
import itertools
import json
import os
import threading
import urllib.error
import urllib.request

import schemathesis
from schemathesis.generation.meta import TestPhase

with open(os.environ["MRP_API_LAB"], encoding="utf-8") as file:
    LAB = json.load(file)
ROLE = os.environ["MRP_API_ROLE"]
LOCK = threading.Lock()
COUNTER = itertools.count(1)
SEEN = {}

# Failures that are none: operation (or *), check, status, and why.
ACCEPTED = [
    ("*", "positive_data_acceptance", 412, "If-Match names a revision, and a made-up one is another than the object's"),
    ("*", "positive_data_acceptance", 416, "a made-up range lies beyond the end"),
    ("log_in", "positive_data_acceptance", 400, "a made-up password is none"),
    ("list_machines", "positive_data_acceptance", 400, "q is a text to OpenAPI, and an expression of the query language to mrp"),
    ("list_machine_overviews", "positive_data_acceptance", 400, "q is an expression of the query language"),
    ("change_machine_tags", "positive_data_acceptance", 400, "a machine has at most 32 tags, those of before among them"),
    ("reserve_machine", "positive_data_acceptance", 400, "query is an expression of the query language"),
    ("set_machine", "positive_data_acceptance", 400, "netboot needs a subarchitecture, which a schema cannot say"),
    ("set_power", "positive_data_acceptance", 400, "a machine without a BMC cannot be switched"),
    ("provision", "positive_data_acceptance", 400, "a machine without kernel or subarchitecture cannot be provisioned"),
    ("start_run", "positive_data_acceptance", 400, "a machine without kernel or subarchitecture cannot be provisioned"),
    ("set_interface", "positive_data_acceptance", 400, "an address has to lie in the range of its network and kind"),
    ("list_audit", "positive_data_acceptance", 400, "times begin in 1970"),
    ("get_free_addresses", "positive_data_acceptance", 400, "a made-up network has no range"),
    ("open_console", "positive_data_acceptance", 400, "a machine without a BMC has no console"),
    ("read_console", "positive_data_acceptance", 400, "times begin in 1970"),
    ("take_console", "positive_data_acceptance", 400, "a machine without a BMC has no console"),
    ("create_token", "positive_data_acceptance", 400, "a made-up time may lie in the past"),
    ("render_preseed", "positive_data_acceptance", 400, "a made-up template may have a syntax error"),
    ("render_unsaved_preseed", "positive_data_acceptance", 400, "a made-up template may have a syntax error"),
    ("set_user", "positive_data_acceptance", 400, "one's own new password needs the one of before"),
    ("create_user", "positive_data_acceptance", 400, "a made-up SSH key is none"),
    ("create_bmc", "positive_data_acceptance", 400, "an address is what the driver says"),
    ("set_bmc", "positive_data_acceptance", 400, "an address is what the driver says"),
    ("create_network", "positive_data_acceptance", 400, "ranges have to lie inside the subnet, apart from each other"),
    ("set_network", "positive_data_acceptance", 400, "ranges have to lie inside the subnet, apart from each other"),
    ("begin_upload", "positive_data_acceptance", 400, "Upload-Metadata is a text to OpenAPI, and has keys and base64 to tus"),
    ("continue_upload", "positive_data_acceptance", 400, "a made-up body is longer than the upload"),
    ("replace_image", "positive_data_acceptance", 400, "an image cannot take its own place, nor that of another type"),
    ("restore_preseed_version", "positive_data_acceptance", 400, "the version is what the answer file has already"),
    ("restore_preseed_version", "ensure_resource_availability", 404, "a made-up version is none"),
    *[(operation, check, 412, "tus 1.0.0 answers 412 where its version is not named")
      for operation in ("begin_upload", "get_upload_offset", "continue_upload", "cancel_upload")
      for check in ("negative_data_rejection", "missing_required_header")],
    ("test_bmc", "not_a_server_error", 502, "a made-up BMC fails"),
    ("test_bmc", "not_a_server_error", 504, "a made-up BMC is silent"),
    ("set_power", "not_a_server_error", 502, "the machine has a made-up BMC"),
    ("set_power", "not_a_server_error", 504, "the machine has a made-up BMC"),
    ("take_console", "not_a_server_error", 502, "the machine has a made-up BMC"),
    ("take_console", "not_a_server_error", 504, "the machine has a made-up BMC"),
    ("provision", "not_a_server_error", 502, "the machine has a made-up BMC"),
    ("provision", "not_a_server_error", 504, "the machine has a made-up BMC"),
    ("start_run", "not_a_server_error", 502, "the machine has a made-up BMC"),
    ("start_run", "not_a_server_error", 504, "the machine has a made-up BMC"),
]


@schemathesis.serializer("application/offset+octet-stream")
def piece(_, value):
    """The bytes of an upload, as they are."""
    return value if isinstance(value, bytes) else str(value).encode()


def ask(method, path, body=None, token=None, headers=None):
    """One request beside those of schemathesis, as an admin."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(LAB["url"] + "/api/v1/" + path, data=data, method=method, headers=headers or {})
    request.add_header("Authorization", token or LAB["helper"])
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
        return json.loads(text) if text else None


# The first addresses of what is made, far from those that the document's examples name.
BMCS, SUBNETS = ipaddress.IPv4Address("127.9.0.0"), ipaddress.IPv4Address("172.16.0.0")


def fresh(noun):
    """The id of an object that was made for this request."""
    number = next(COUNTER)
    name = f"{ROLE}-{number}"
    made = {
        "machine": lambda: ask("POST", "machine", {"name": name, "arch": "arm64"}),
        "arch": lambda: ask("POST", "arch", {"name": name}),
        "subarch": lambda: ask("POST", "subarch", {"arch": "arm64", "name": name}),
        "bmc": lambda: ask("POST", "bmc", {"name": name, "address": str(BMCS + number)}),
        "network": lambda: ask("POST", "network", {"name": name, "subnet": f"{SUBNETS + 256 * number}/24"}),
        "user": lambda: ask("POST", "user", {"name": name, "password": "password1"}),
        "preseed": lambda: ask("POST", "preseed", {"name": name, "type": "preseed"}, LAB["tokens"][ROLE]),
        "token": lambda: ask("POST", "token", {}, LAB["tokens"][ROLE]),
        "image": image,
    }[noun]()
    return made["id"]


def image():
    """An image of the role's own."""
    q = json.dumps({"type": "Kernel", "arch": "arm64"})
    body = (
        f'--B\r\nContent-Disposition: form-data; name="q"\r\n\r\n{q}\r\n'
        f'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n{next(COUNTER)}\r\n--B--\r\n'
    )
    request = urllib.request.Request(LAB["url"] + "/api/v1/image", data=body.encode(), method="POST")
    request.add_header("Authorization", LAB["tokens"][ROLE])
    request.add_header("Content-Type", "multipart/form-data; boundary=B")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def described():
    """What the beginning of an upload says of the image that it is to become, and that it is 4 bytes long."""
    words = {"filename": "f", "type": "Kernel", "arch": "arm64"}
    pairs = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in words.items())
    return {"Tus-Resumable": "1.0.0", "Upload-Length": "4", "Upload-Metadata": pairs}


def upload(case):
    """An upload of the role's own that waits for its bytes, and these bytes."""
    made = ask("POST", "upload", token=LAB["tokens"][ROLE], headers=described())
    case.path_parameters["upload"] = made["id"]
    if case.headers and "Upload-Offset" in case.headers:
        case.headers["Upload-Offset"] = "0"
        case.body = f"{next(COUNTER) % 10_000:04}"


def discovered(case):
    """A client that asked for an address for this request."""
    number = next(COUNTER)
    mac = f"52:54:02:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    body = json.dumps({"discover": True, "mac": mac, "options": []}).encode()
    urllib.request.urlopen(LAB["machines_url"] + "/dhcp/ipv4/seen", data=body, timeout=30).close()
    case.path_parameters["mac"] = mac


def interface(case):
    """An interface that was made for this request, of one of the lab's machines."""
    number = next(COUNTER)
    machine = LAB["machines"][0]
    mac = f"52:54:01:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    made = ask("POST", f"machine/{machine}/interface", {"mac": mac})
    case.path_parameters.update(id=machine, interface=made["id"])


def assignment(case):
    """An assignment that the role may end: one's own."""
    machine = fresh("machine")
    case.path_parameters["id"] = machine
    made = ask("POST", f"machine/{machine}/assignee", {"user": "alice" if ROLE == "user" else "admin"})
    case.path_parameters["assignee"] = str(made["id"])


def run(case):
    """A run of one of the lab's machines, if one can be started."""
    machine = LAB["machines"][next(COUNTER) % len(LAB["machines"])]
    for found in ask("GET", f"run?machine={machine}&active=true"):
        ask("POST", f"run/{found['id']}/cancel", {})
    restore(machine)
    case.path_parameters["id"] = ask("POST", "run", {"machine": machine})["id"]


def restore(machine):
    """Gives a machine of the lab what it needs to be provisioned."""
    settings = {"kernel_id": LAB["kernel"], "initrd_id": LAB["initrd"], "preseed_id": LAB["preseed"], "subarch": "efi"}
    number = LAB["machines"].index(machine)
    ask("PUT", f"subarch/{LAB['subarch']}", {"arch": "arm64", "name": "efi", "bootloader_id": LAB["loader"]})
    bmc = {"name": f"bmc{number}", "address": LAB["bmc_addresses"][number], "username": "admin", "password": "admin"}
    ask("PUT", f"bmc/{LAB['bmcs'][number]}", bmc)
    ask("PATCH", f"machine/{machine}", {"arch": "arm64", "bmc": f"bmc{number}", "bmc_info": ""})
    ask("PUT", f"machine/{machine}", settings)


# Objects that are in the path, by operation: those of the lab, or new ones.
MACHINE_OPERATIONS = {
    "get_machine", "set_machine", "define_machine", "get_machine_detail", "list_interfaces", "create_interface",
    "list_assignees", "get_power", "set_power", "get_state", "provision", "set_state", "open_console", "take_console",
    "read_console", "get_machine_tags",
    "change_machine_tags",
}
MADE = {
    "delete_machine": "machine", "assign_machine": "machine",
    "set_arch": "arch", "delete_arch": "arch", "set_subarch": "subarch", "delete_subarch": "subarch",
    "set_bmc": "bmc", "delete_bmc": "bmc", "set_network": "network", "delete_network": "network",
    "set_user": "user", "delete_user": "user", "set_preseed": "preseed", "delete_preseed": "preseed",
    "set_image": "image", "delete_image": "image", "delete_token": "token",
}
KNOWN = {
    "get_bmc": lambda: LAB["bmcs"][0], "test_bmc": lambda: LAB["bmcs"][0], "get_network": lambda: LAB["network"],
    "list_network_addresses": lambda: LAB["network"], "get_free_addresses": lambda: LAB["network"],
    "get_user": lambda: LAB["users"]["user"], "get_image": lambda: LAB["kernel"], "get_image_detail": lambda: LAB["kernel"],
    "get_preseed": lambda: LAB["preseed"], "render_preseed": lambda: LAB["preseed"],
}


def place(name, case):
    """Puts objects that exist into the path of a right request, three times in four."""
    if next(COUNTER) % 4 == 0 or not case.path_parameters:
        return
    if name in MACHINE_OPERATIONS:
        case.path_parameters["id"] = LAB["machines"][next(COUNTER) % len(LAB["machines"])]
        if name == "provision":
            for found in ask("GET", f"run?machine={case.path_parameters['id']}&active=true"):
                ask("POST", f"run/{found['id']}/cancel", {})
        if name in ("set_power", "provision", "open_console", "take_console"):
            restore(case.path_parameters["id"])
    elif name in MADE:
        case.path_parameters["id"] = fresh(MADE[name])
    elif name in KNOWN:
        case.path_parameters["id"] = KNOWN[name]()
    elif name in ("get_interface", "set_interface", "delete_interface"):
        interface(case)
    elif name in ("get_assignee", "set_assignee", "release_machine"):
        assignment(case)
    elif name in ("adopt_discovered", "forget_discovered"):
        discovered(case)
    elif name in ("get_run", "cancel_run"):
        run(case)
    elif name in ("get_upload_offset", "continue_upload", "cancel_upload"):
        upload(case)


def fill(name, case):
    """Puts names and ids that exist into the query and the body of a right request."""
    query, body = case.query, case.body
    if isinstance(query, dict):
        if "q" in query and next(COUNTER) % 2:
            query["q"] = '(= arch "arm64")'
        if "machine" in query:
            query["machine"] = LAB["machines"][0]
    if name == "begin_upload" and next(COUNTER) % 4:
        case.headers.update(described())
    if not isinstance(body, dict):
        return
    names = {"arch": "arm64", "subarch": "efi", "bmc": "bmc0", "network": "lab", "driver": "plain"}
    ids = {"kernel_id": LAB["kernel"], "initrd_id": LAB["initrd"], "preseed_id": LAB["preseed"],
           "bootloader_id": LAB["loader"]}
    for key, value in {**names, **ids}.items():
        if body.get(key) is not None:
            body[key] = value
    for interface in body.get("interfaces", ()):
        if isinstance(interface, dict) and interface.get("network") is not None:
            interface["network"] = "lab"
    if body.get("ssh_keys") and next(COUNTER) % 4:
        body["ssh_keys"] = LAB["ssh_key"]
    if name == "upload_image":
        # The name of another part may break multipart, whatever the schema says of it.
        for key in set(body) - {"q", "file"}:
            del body[key]
        if isinstance(body.get("q"), dict):
            body["q"]["arch"] = "arm64"
    if "name" in body and name.startswith(("create_", "set_")) and next(COUNTER) % 4:
        body["name"] = f"{ROLE}-n{next(COUNTER)}"
    if name == "reserve_machine" and next(COUNTER) % 2:
        fresh("machine")
        body["query"] = '(= arch "arm64")'
    if name == "assign_machine":
        body["user"] = ask("GET", f"user/{fresh('user')}")["name"]
    if name in ("create_network", "set_network"):
        number = next(COUNTER)
        body["subnet"] = f"192.{number // 250}.{number % 250}.0/24"
        for key in ("static_net", "reserved_net", "server_url"):
            body.pop(key, None)
    if name == "start_run":
        machine = LAB["machines"][next(COUNTER) % len(LAB["machines"])]
        for found in ask("GET", f"run?machine={machine}&active=true"):
            ask("POST", f"run/{found['id']}/cancel", {})
        restore(machine)
        body["machine"] = machine
    if name in ("create_bmc", "set_bmc"):
        # Each driver has options of its own, and refuses others.
        body["options"] = {}
    if name == "replace_image":
        body["by"] = fresh("image")
    if name == "log_in":
        body.update(user="alice", password=LAB["password"])
    for key in ("expires", "until"):
        body.pop(key, None)


def spare(name, case):
    """Keeps what the other requests need: the token that asks, its user, and the lab's objects."""
    parameters = case.path_parameters or {}
    asked = str(parameters.get("id"))
    kept = {
        "token": LAB["token_ids"].values(), "user": LAB["users"].values(), "machine": LAB["machines"],
        "image": (LAB["kernel"], LAB["initrd"], LAB["loader"]), "preseed": (LAB["preseed"],), "arch": (LAB["arch"],),
        "subarch": (LAB["subarch"],), "bmc": LAB["bmcs"], "network": (LAB["network"],),
    }
    verb, _, noun = name.partition("_")
    if verb in ("set", "delete") and name != "set_machine" and asked in {str(value) for value in kept.get(noun, ())}:
        parameters["id"] = fresh(noun) if verb == "set" else 999_999_999


@schemathesis.hook
def before_call(_, case, _kwargs):
    """Makes a request fit the lab."""
    name = case.operation.definition.raw.get("operationId")
    # Whoever touches a case makes schemathesis send the header after all that it means to leave out.
    if case.meta is not None and getattr(case.meta.phase.data, "parameter", None) == "Authorization":
        return
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    # Mostly with a condition that every object meets: else nothing behind it would be tried.
    if case.headers and "If-Match" in case.headers and not (positive and next(COUNTER) % 4 == 0):
        case.headers["If-Match"] = "*"
    if positive:
        # Another request may have removed what this one was to have: then it is asked as it was made.
        # What comes after another request, as its consequence, stays where that one led.
        with contextlib.suppress(urllib.error.HTTPError):
            if case.meta.phase.name != TestPhase.STATEFUL:
                place(name, case)
        with contextlib.suppress(urllib.error.HTTPError):
            fill(name, case)
    spare(name, case)


@schemathesis.hook
def after_call(_, case, response):
    """Counts what was answered."""
    name = case.operation.definition.raw.get("operationId")
    with LOCK:
        by_status = SEEN.setdefault(name, {})
        status = str(response.status_code)
        by_status[status] = by_status.get(status, 0) + 1


@schemathesis.hook
def filter_failure(_, failure, case, response):
    """Leaves out the failures that are none."""
    name = case.operation.definition.raw.get("operationId")
    check = getattr(failure, "check", None) or CHECKS.get(type(failure).__name__, type(failure).__name__)
    # No schema says of a name that it is not of digits alone, and has no blanks at its ends.
    if check == "positive_data_acceptance" and response.status_code == 400 and '"name: \\"' in response.text:
        return False
    return not any(
        operation in ("*", name) and known == check and status == response.status_code
        for operation, known, status, _ in ACCEPTED
    )


CHECKS = {
    "RejectedPositiveData": "positive_data_acceptance",
    "EnsureResourceAvailability": "ensure_resource_availability",
    "ServerError": "not_a_server_error",
    "AcceptedNegativeData": "negative_data_rejection",
    "MissingHeaderNotRejected": "missing_required_header",
}


@atexit.register
def write_down():
    """Tells api.py what was answered."""
    with open(os.environ["MRP_API_SEEN"], "w", encoding="utf-8") as out:
        json.dump(SEEN, out)
