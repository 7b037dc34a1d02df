#!/usr/bin/env python3
"""mrp plugin `example-python`: a BMC that takes a line of text over TCP and answers one.

Replace `ask` with what your BMC speaks. The contract is plugins/README.md of mrp's sources.
"""
import json
import socket
import sys
import threading

OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "timeout_s": {"type": "number", "exclusiveMinimum": 0, "maximum": 60, "default": 10,
                      "description": "How long the BMC may take to answer."},
    },
}
HELLO = {
    "mrp_plugin": 1,
    "driver": "example-python",
    "capabilities": {"soft_power": True, "reset": True, "set_boot": True, "read_boot": True},
    "options": OPTIONS,
}


class BmcError(Exception):
    """An error that mrp understands: `unreachable`, `timeout`, `unauthorized`, `busy`, `unsupported`, `protocol`, `config`."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class Bmc:
    """One BMC. Its methods are the calls of the contract, and may run at the same time."""

    def __init__(self, config):
        self.config = config

    def power(self, node):
        return {"power": self.ask("power")}

    def set_power(self, node, action):
        self.ask(f"power {action}")
        return {}

    def set_boot(self, node, boot):
        if boot is None:
            self.ask("boot none")
        else:
            mode, times = "efi" if boot["efi"] else "legacy", "always" if boot["persistent"] else "once"
            self.ask(f"boot {boot['device']} {mode} {times}")
        return {}

    def boot(self, node):
        answer = self.ask("boot")
        if answer == "none":
            return {"boot": None}
        device, mode, times = answer.split()
        return {"boot": {"device": device, "efi": mode == "efi", "persistent": times == "always"}}

    def close_sessions(self):
        return {}

    def ask(self, command):
        """Logs in, asks, and returns the words behind `ok`."""
        host, _, port = self.config["address"].rpartition(":")
        line = f"{self.config['username']} {self.config['password']} {command}\n"
        try:
            with socket.create_connection((host, int(port)), self.config["options"].get("timeout_s", 10)) as bmc:
                bmc.sendall(line.encode())
                status, _, words = bmc.makefile(encoding="utf-8").readline().strip().partition(" ")
        except TimeoutError:
            raise BmcError("timeout", f"{command} was not answered in time") from None
        except OSError as error:
            raise BmcError("unreachable", str(error)) from None
        except ValueError:
            raise BmcError("config", f"the address {self.config['address']!r} is not host:port") from None
        if status == "denied":
            raise BmcError("unauthorized", words)
        if status != "ok":
            raise BmcError("protocol", f"{command} is answered with {status!r}")
        return words


class Plugin:
    """Reads calls and answers each in a thread of its own: one slow BMC holds up no other."""

    CALLS = ("power", "set_power", "set_boot", "boot", "close_sessions")

    def __init__(self):
        self.bmcs, self.output = {}, threading.Lock()

    def say(self, message):
        with self.output:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    def perform(self, instance, call, request):
        if call == "open":
            self.bmcs[instance] = Bmc(request)
        elif call == "close":
            self.bmcs.pop(instance, None)
        elif call in self.CALLS:
            return getattr(self.bmcs[instance], call)(**request)
        else:
            raise BmcError("unsupported", f"there is no {call}")
        return {}

    def answer(self, id, instance, call, request):
        try:
            self.say({"id": id, "reply": self.perform(instance, call, request)})
        except BmcError as error:
            self.say({"id": id, "error": {"kind": error.kind, "message": str(error)}})
        except Exception as error:  # a defect of this plugin
            self.say({"id": id, "error": {"kind": "failed", "message": repr(error)}})

    def run(self):
        self.say(HELLO)
        for line in sys.stdin:
            message = json.loads(line)
            if "call" in message:
                threading.Thread(target=self.answer, kwargs=message, daemon=True).start()


if __name__ == "__main__":
    Plugin().run()
