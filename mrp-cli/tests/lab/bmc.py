"""A server's BMC: OpenIPMI's ipmi_sim, which asks a program of the lab to switch the machine and has its serial port.

ipmi_sim is one thread and waits for that program, so it only passes the question on by a socket (chassis.py); the lab
answers it here. ipmi_sim keeps of boot flags the device alone: it does not report back that EFI was asked for.
"""

import socket
import sys
import threading
from pathlib import Path

from processes import Failure, run

USER, PASSWORD = "admin", "lab-secret"

LAN = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} 623
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcd{number}
  endlan
  chassis_control "{control}"
  sol "tcp:127.0.0.1:{serial}" 115200
  user 1 false "" "" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""

CONTROLLER = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


class Bmc:
    """The BMC of one machine."""

    def __init__(self, processes, folder, machine, number):
        self.machine, self.address = machine, f"10.77.1.{number}"
        name, control = f"{machine.name}-bmc", folder / f"{machine.name}.chassis"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(control))
        self.listener.listen()
        threading.Thread(target=self.serve, name=name, daemon=True).start()
        run(["ip", "addr", "add", f"{self.address}/32", "dev", "lo"])
        program = f"{sys.executable} -I -S {Path(__file__).with_name('chassis.py')} {control}"
        lan, controller, state = folder / f"{name}.lan", folder / f"{name}.emu", folder / f"{name}.state"
        fields = {"name": name, "address": self.address, "number": number, "control": program}
        lan.write_text(LAN.format(user=USER, password=PASSWORD, serial=machine.serial_port, **fields))
        controller.write_text(CONTROLLER)
        state.mkdir()
        processes.start(name, ["ipmi_sim", "-n", "-c", lan, "-f", controller, "-s", state])

    def serve(self):
        """Answers chassis.py, one question after the other."""
        while True:
            connection, _ = self.listener.accept()
            with connection:
                words = connection.makefile().readline().split()
                try:
                    answer = self.answer(words)
                except (Failure, OSError) as error:
                    answer = f"failed: {error}"
                connection.sendall(answer.encode())

    def answer(self, words):
        """`get power boot` answers a line each; `set power 1` and the like do something."""
        verb, *words = words
        if verb == "get":
            values = {"power": int(self.machine.is_on()), "boot": self.machine.boot or "none"}
            return "".join(f"{word}:{values[word]}\n" for word in words)
        for name, value in zip(words[::2], words[1::2]):
            if name == "power":
                self.machine.power_on() if value == "1" else self.machine.power_off()
            elif name == "reset":
                if not self.machine.reset():
                    return "failed: the machine is off"
            elif name == "boot":
                self.machine.boot = value
            elif name == "shutdown":
                self.machine.shutdown()
        return ""
