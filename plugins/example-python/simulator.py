#!/usr/bin/env python3
"""The BMC that the plugin is tried on: `./simulator.py [PORT]`. It knows one account, admin with the password admin."""
import socketserver
import sys

STATE = {"power": "off", "boot": "none"}


class Connection(socketserver.StreamRequestHandler):
    """One line, one answer."""

    def handle(self):
        user, password, *command = self.rfile.readline().decode().split()
        if (user, password) != ("admin", "admin"):
            answer = "denied wrong user name or password"
        else:
            answer = perform(*command)
        self.wfile.write((answer + "\n").encode())


def perform(name, *words):
    if name not in STATE:
        return "error there is no such command"
    if words:
        STATE[name] = {"on": "on", "cycle": "on", "reset": "on", "off": "off", "soft": "off"}[words[0]] \
            if name == "power" else " ".join(words)
    return f"ok {STATE[name]}"


class Simulator(socketserver.ThreadingTCPServer):
    """Connections at once, on a port that a moment ago was another's."""

    allow_reuse_address = daemon_threads = True


if __name__ == "__main__":
    with Simulator(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 7700), Connection) as simulator:
        print("a BMC listens on {}:{}".format(*simulator.server_address), flush=True)
        simulator.serve_forever()
