"""What ipmi_sim calls: passes its words on to the lab (bmc.py) and prints the answer. Starts in a few milliseconds."""

import socket
import sys

lab = socket.socket(socket.AF_UNIX)
lab.connect(sys.argv[1])
lab.sendall((" ".join(sys.argv[2:]) + "\n").encode())
answer = lab.makefile().read()
if answer.startswith("failed: "):
    sys.exit(answer)
sys.stdout.write(answer)
