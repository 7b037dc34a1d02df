"""A real `mrp serve` with a seeded lab, beside simulated BMCs that answer."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

CONFIG = """\
[server]
data_dir = "{folder}/data"

[web]
listen = "127.0.0.1:{people}"

[machine]
listen = "127.0.0.1:{machines}"

[tftp]
enabled = false
"""

PASSWORD = "password-of-alice"
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXtJ1gJcU7cMNkUp6K+1S2c0DmMYwzqY0x0c8y6M9oQ alice"


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Server:
    """The server and its BMCs, from start to end."""

    def __init__(self, mrp, farm, folder):
        self.mrp, self.farm, self.folder = mrp.resolve(), farm.resolve(), folder
        self.running, self.token = [], None

    def __enter__(self):
        people, machines = free_port(), free_port()
        self.url, self.machines_url = f"http://127.0.0.1:{people}", f"http://127.0.0.1:{machines}"
        config = self.folder / "mrp.toml"
        config.write_text(CONFIG.format(folder=self.folder, people=people, machines=machines))
        farm = subprocess.Popen(
            [self.farm, "3", f"127.0.0.1:{free_port()}", "ports"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )
        self.running.append(farm)
        self.bmcs = list(iter(lambda: farm.stdout.readline().strip(), ""))
        environment = dict(os.environ, HOME=str(self.folder), RUST_BACKTRACE="1")
        with (self.folder / "mrp.log").open("wb") as log:
            server = subprocess.Popen(
                [self.mrp, "serve", "--config", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, start_new_session=True,
            )
        self.running.append(server)
        for _ in range(600):
            if server.poll() is not None:
                raise SystemExit(f"api: mrp ended: {(self.folder / 'mrp.log').read_text()}")
            try:
                self.get("/healthz")
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit("api: mrp does not answer within a minute")

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ask(self, method, path, body=None, token=None, headers=None):
        """One request; the JSON of its answer, or its text."""
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        if token or self.token:
            request.add_header("Authorization", token or self.token)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as refusal:
            raise SystemExit(f"api: {method} {path} {body}: {refusal.code} {refusal.read().decode()}") from None
        try:
            return json.loads(text)
        except ValueError:
            return text

    def get(self, path):
        """Asks for something."""
        return self.ask("GET", path)

    def upload(self, kind, public, token=None):
        """Uploads an image."""
        q = json.dumps({"type": kind, "arch": "arm64", "public": public})
        body = (
            f'--B\r\nContent-Disposition: form-data; name="q"\r\n\r\n{q}\r\n'
            f'--B\r\nContent-Disposition: form-data; name="file"; filename="{kind}"\r\n\r\ncontent of {kind}\r\n--B--\r\n'
        )
        headers = {"Content-Type": "multipart/form-data; boundary=B"}
        return self.ask("POST", "/api/v1/image", body.encode(), token, headers)["id"]

    def seed(self):
        """What the lab has; what hooks.py needs to know of it."""
        password = (self.folder / "data/admin-password").read_text().strip()
        self.token = self.ask("POST", "/api/v1/session", {"user": "admin", "password": password})["token"]
        post = lambda path, body, token=None: self.ask("POST", f"/api/v1/{path}", body, token)
        arch = post("arch", {"name": "arm64"})["id"]
        alice = post("user", {"name": "alice", "password": PASSWORD})["id"]
        session = post("session", {"user": "alice", "password": PASSWORD})["token"]
        loader = self.upload("bootloader", True)
        kernel, initrd = self.upload("Kernel", True, session), self.upload("Initrd", True, session)
        subarch = post("subarch", {"arch": "arm64", "name": "efi", "bootloader_id": loader, "efiboot": True})["id"]
        network = post("network", {"name": "lab", "subnet": "10.64.0.0/16", "static_net": "10.64.1.0/24",
                                   "reserved_net": "10.64.2.0/24"})["id"]
        preseed = post("preseed", {"name": "debian", "type": "preseed", "content": "d-i {{ hostname }}", "public": True},
                       session)["id"]
        machines, interfaces, bmcs = [], [], []
        for number, address in enumerate(self.bmcs):
            bmc = {"name": f"bmc{number}", "address": address, "username": "admin", "password": "admin"}
            bmcs.append(post("bmc", bmc)["id"])
            machine = post("machine", {"name": f"m{number}", "arch": "arm64", "subarch": "efi", "bmc": bmc["name"]})["id"]
            machines.append(machine)
            interface = {"mac": f"52:54:00:00:00:0{number}", "identifier": "eth0", "network": "lab"}
            interfaces.append(post(f"machine/{machine}/interface", interface)["id"])
            post(f"machine/{machine}/assignee", {"user": "alice", "reason": "tests"})
            settings = {"kernel_id": kernel, "initrd_id": initrd, "preseed_id": preseed}
            self.ask("PUT", f"/api/v1/machine/{machine}", settings)
        token = lambda session: post("token", {"description": "schemathesis"}, session)
        admins, alices = token(self.token), token(session)
        return {
            "url": self.url, "machines_url": self.machines_url, "arch": arch, "subarch": subarch, "network": network, "preseed": preseed, "kernel": kernel,
            "initrd": initrd, "loader": loader, "machines": machines, "interfaces": interfaces, "bmcs": bmcs,
            "users": {"admin": 1, "user": alice}, "password": PASSWORD, "ssh_key": SSH_KEY, "bmc_addresses": self.bmcs,
            "tokens": {"admin": admins["token"], "user": alices["token"]},
            "token_ids": {"admin": admins["id"], "user": alices["id"]},
            "helper": token(self.token)["token"],
        }

    def first_event(self, path, token):
        """True if a stream of events gives one that lies in the past."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": token, "Last-Event-ID": "0"})
        with urllib.request.urlopen(request, timeout=30) as stream:
            return stream.status == 200 and any(line.startswith(b"data:") for line in iter(stream.readline, b""))

    def check_log_out(self, token):
        """A token ends by logging out, and is none after it."""
        ended = self.ask("POST", "/api/v1/token", {}, token)["token"]
        for wanted in (204, 401):
            request = urllib.request.Request(f"{self.url}/api/v1/session", method="DELETE", headers={"Authorization": ended})
            try:
                status = urllib.request.urlopen(request, timeout=30).status
            except urllib.error.HTTPError as refusal:
                status = refusal.code
            if status != wanted:
                raise SystemExit(f"api: DELETE /api/v1/session: {status} and not {wanted}")

    def faults(self):
        """Panics and failures in the server's log."""
        text = (self.folder / "mrp.log").read_text(errors="replace")
        return "; ".join(re.findall(r"panicked at .*|.*a request failed.*", text)[:3])
