"""The console's part of the story: a machine's serial port, by its BMC and mrp, to those who watch and type.

Four are at it at once: two WebSockets, `mrp console --watch`, and a person in a terminal (tmux), who has the keyboard in
the end. What QEMU wrote of the serial port is what all have to see, byte for byte.
"""

import json
import re
import time
import urllib.request

import bootfiles
import server
from processes import check, run, wait_for
from terminal import Terminal
from websocket import Viewer

PORT = 8080
# What the kernel says first, to the end of the prompt.
BOOT = re.compile(rb"Linux version .*?serial login: ", re.DOTALL)


class Story:
    """What happens at the console of the machine `serial`."""

    def __init__(self, lab):
        self.lab, self.say, self.machine = lab, lab.say, lab.serial

    def tell(self):
        """From the reservation to the day when it is given back."""
        alice, admin = self.lab.alice, self.lab.admin
        self.refusals()
        alice.say("reserve", "serial", "--reason", "console")
        self.say("four watch a console: WebSockets by ticket and by token, mrp console --watch, and mrp console in tmux")
        self.path = f"/api/v1/machine/{alice.ask('machine', 'show', 'serial')['id']}/console"
        tokens = {person.name: self.token(person) for person in (alice, admin)}
        ticket = self.post(tokens["alice"])["token"]
        self.by_ticket = Viewer(PORT, f"{self.path}/ws?token={ticket}")
        check(Viewer(PORT, f"{self.path}/ws?token={ticket}").status == 401, "a ticket opened a console twice")
        self.by_token = Viewer(PORT, f"{self.path}/ws?watch=true", tokens["alice"])
        self.by_admin = Viewer(PORT, f"{self.path}/ws?watch=true", tokens["admin"])
        self.watched = self.lab.folder / "watch.out"
        self.watching = alice.follow("watch", "console", "serial", "--watch", output=self.watched)
        wait_for(lambda: self.by_ticket.said("keyboard"), "the first viewer has the keyboard")
        self.terminal = Terminal(self.lab.folder, "terminal", alice.environment)
        self.terminal.enter(f"alias mrp={self.lab.mrp}; before=$(stty -g)")
        self.terminal.enter("mrp console serial")
        self.terminal.wait_for("alice has the keyboard")

        alice.say("power", "serial", "on")
        self.booted(1)
        self.log_in_by_websocket()
        for number, how in ((2, ["reboot"]), (3, ["off", "on"])):
            self.say(f"power {' and '.join(how)}: the console goes on")
            for word in how:
                alice.say("power", "serial", word)
            self.booted(number)
        self.log_in_in_terminal()
        self.all_saw_the_same()
        self.leave()
        self.give_back()

    def refusals(self):
        """Words for who may not, before anybody may."""
        alice, machine = self.lab.alice, "serial"
        for words, said in (
            (["console", machine, "--watch"], "reserve"),
            (["console", "seriall", "--watch"], "serial"),
            (["console", machine], "needs a terminal"),
        ):
            refused = run(["sh", "-c", '"$@" 2>&1; echo "code $?"', "sh", self.lab.mrp, *words], env=alice.environment)
            check(said in refused and "code 0" not in refused, f"mrp {' '.join(words)} said {refused}")

    def token(self, person):
        """A token of a person's own."""
        return person.ask("token", "add", "--description", "console")["token"]

    def post(self, token):
        """Asks for a ticket."""
        request = urllib.request.Request(f"{server.PEOPLE}{self.path}", method="POST", data=b"")
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def serial_log(self):
        """What QEMU wrote of the serial port."""
        return self.machine.serial_log.read_bytes()

    def booted(self, number):
        """Waits for the prompt of a boot; all that the kernel said is in mrp's record, as QEMU wrote it."""
        wait_for(lambda: len(BOOT.findall(self.serial_log())) == number, f"boot {number} reaches its prompt", 60)
        real = BOOT.findall(self.serial_log())[-1]
        wait_for(lambda: len(BOOT.findall(self.record())) == number, f"boot {number} is in the record", 20)
        recorded = BOOT.findall(self.record())[-1]
        check(recorded == real, f"boot {number}: {len(real)} bytes were said and {len(recorded)} are recorded")
        self.say(f"boot {number}: {len(real)} bytes from Linux version to the prompt, all of them in the record")

    def record(self):
        """What mrp recorded."""
        return self.lab.alice.read("console", "serial", "--log")

    def log_in_by_websocket(self):
        """A login, typed by WebSocket."""
        self.say("a login by WebSocket")
        viewer = self.by_ticket
        for typed, answer in (
            ("root\r", b"Password: "),
            (f"{bootfiles.ROOT_PASSWORD}\r", b"# "),
            ("echo by-$((40 + 2))-websocket\r", b"\nby-42-websocket"),
            ("exit\r", b"serial login: "),
        ):
            start = len(viewer.output)
            viewer.type(typed)
            wait_for(lambda: answer in viewer.output[start:], f"{typed!r} is answered by {answer}", 20)
        check(not viewer.said("refused"), f"what was typed was refused: {viewer.said('refused')}")

    def log_in_in_terminal(self):
        """A login, typed in a terminal that has taken the keyboard."""
        self.say("a login in the terminal, with the keyboard taken over")
        terminal = self.terminal
        terminal.answers("~?", "take the keyboard, whoever has it", enter=False)
        terminal.answers("~t", "you have the keyboard", enter=False)
        wait_for(lambda: self.by_ticket.said("keyboard")[-1]["yours"] is False, "the other sees who took it", 20)
        self.by_ticket.type("nobody\r")
        wait_for(lambda: self.by_ticket.said("refused"), "the other one's keys are refused", 20)
        terminal.answers("", "serial login:")
        terminal.answers("root", "Password:")
        terminal.answers(bootfiles.ROOT_PASSWORD, "~ #")
        terminal.answers("echo by-$((40 + 3))-terminal", "by-43-terminal")
        # Ctrl-C is the machine's.
        terminal.answers("echo busy-$((40 + 4)); sleep 1000", "busy-44")
        terminal.press("C-c")
        terminal.wait_for("^C")
        terminal.resize(90, 30)
        terminal.answers("echo after-$((40 + 5))-resize", "after-45-resize")

    def all_saw_the_same(self):
        """Each viewer's bytes are those of QEMU's own log."""
        real = self.serial_log()
        size = len(real)
        self.say(f"all four saw the same {size} bytes")
        seen = {
            "by ticket": lambda: bytes(self.by_ticket.output),
            "by token": lambda: bytes(self.by_token.output),
            "the admin": lambda: bytes(self.by_admin.output),
            "mrp console --watch": self.watched.read_bytes,
            "the record": self.record,
        }
        for who, what in seen.items():
            wait_for(lambda: len(what()) >= size, f"{who} has {len(what())} of {size} bytes", 20)
            check(what() == real, f"{who} saw other bytes than QEMU wrote")

    def leave(self):
        """`~.` leaves; the terminal is as before."""
        terminal = self.terminal
        terminal.press("Enter")
        terminal.answers("~.", "$ ", enter=False)
        terminal.answers('echo "code $?"', "code 0")
        terminal.answers('[ "$before" = "$(stty -g)" ] && echo "as $((6 * 7)) before"', "as 42 before")
        terminal.answers("mrp console serial --log --since 1h --text by-43", "Z by-43-terminal")

    def give_back(self):
        """Giving the machine back cuts what the holder had open, within a second; the admin's stays."""
        self.say("the machine is given back: consoles are cut")
        terminal = self.terminal
        terminal.answers("mrp console serial", "Enter ~")
        self.lab.alice.say("release", "serial")
        given_back = time.monotonic()
        cut = (self.by_ticket, self.by_token)
        wait_for(lambda: all(viewer.ended_at for viewer in cut), "the holder's consoles end", 20)
        late = max(viewer.ended_at for viewer in cut) - given_back
        check(late < 1, f"the holder's consoles were cut {late:.2f} s after the machine was given back")
        reasons = [viewer.said("cut") for viewer in cut]
        check(all(reasons), f"they were not told why: {reasons}")
        wait_for(lambda: self.watching.poll() is not None, "mrp console --watch ends", 20)
        check(self.watching.returncode == 1, f"mrp console --watch ended with {self.watching.returncode}")
        terminal.wait_for("the console was cut")
        check(self.by_admin.ended_at is None, "the admin's console was cut too")
        check(Viewer(PORT, f"{self.path}/ws", self.token(self.lab.alice)).status == 403, "who gave it back may watch")
        terminal.end()
        self.lab.admin.say("power", "serial", "off")
