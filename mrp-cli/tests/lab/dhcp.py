"""A DHCP client at a network interface, packet by packet: also such packets as no client should send."""

import os
import socket
import struct
import time

MAGIC = b"\x63\x82\x53\x63"
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE = 1, 2, 3, 4, 5, 6, 7
PATIENCE = 3


def mac_bytes(mac):
    """52:54:00:12:34:56 as bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def address_bytes(address):
    """10.0.0.1 as bytes; four zeros for none."""
    return socket.inet_aton(address or "0.0.0.0")


def options_bytes(options):
    """A list of (code, bytes) as it is on the wire."""
    return b"".join(bytes([code, len(value)]) + value for code, value in options) + b"\xff"


def bootp(kind, chaddr, options=(), xid=0, ciaddr="", giaddr="", htype=1, hlen=None, raw_options=None):
    """A client's message (RFC 2131, 2)."""
    hlen = len(chaddr) if hlen is None else hlen
    head = struct.pack("!BBBBIHH", 1, htype, hlen, 1 if giaddr else 0, xid, 0, 0x8000)
    head += address_bytes(ciaddr) + bytes(8) + address_bytes(giaddr)
    body = raw_options if raw_options is not None else options_bytes([(53, bytes([kind])), *options])
    return (head + chaddr[:16].ljust(16, b"\0") + bytes(192) + MAGIC + body).ljust(300, b"\0")


def checksum(data):
    """The Internet's (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Reply:
    """What a server answers."""

    def __init__(self, payload):
        self.xid = struct.unpack("!I", payload[4:8])[0]
        self.address = socket.inet_ntoa(payload[16:20])
        self.next_server = socket.inet_ntoa(payload[20:24])
        self.giaddr = socket.inet_ntoa(payload[24:28])
        self.file = payload[108:236].split(b"\0")[0].decode()
        self.options, rest = {}, payload[240:]
        while rest and rest[0] != 255:
            if rest[0]:
                self.options[rest[0]] = rest[2 : 2 + rest[1]]
            rest = rest[2 + rest[1] :] if rest[0] else rest[1:]
        self.kind = self.options.get(53, b"\0")[0]


class Wire:
    """One end of a cable."""

    def __init__(self, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.socket.bind((interface, 0))
        self.own = self.socket.getsockname()[4]

    def send(self, payload, source="0.0.0.0", to="255.255.255.255", port=68):
        """A message as UDP, broadcast on Ethernet."""
        udp = struct.pack("!HHHH", port, 67, 8 + len(payload), 0)
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, address_bytes(source), address_bytes(to))
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        self.socket.send(b"\xff" * 6 + self.own + b"\x08\x00" + ip + udp + payload)

    def reply(self, xid, seconds=PATIENCE):
        """The server's answer to a transaction; `None` where there is none."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                frame = self.socket.recv(4096)
            except TimeoutError:
                return None
            ip = frame[14:]
            payload = ip[(ip[0] & 15) * 4 + 8 :]
            if ip[9] == 17 and len(payload) >= 240 and payload[0] == 2 and struct.unpack("!I", payload[4:8])[0] == xid:
                return Reply(payload)
        return None

    def ask(self, kind, mac, options=(), seconds=PATIENCE, source="0.0.0.0", **more):
        """Sends a message and answers what comes back."""
        xid = int.from_bytes(os.urandom(4), "big")
        payload = bootp(kind, mac if isinstance(mac, bytes) else mac_bytes(mac), options, xid, **more)
        self.send(payload, source, port=67 if more.get("giaddr") else 68)
        return self.reply(xid, seconds)

    def lease(self, mac, options=(), **more):
        """The whole exchange; answers the ACK, or what came in its place."""
        offer = self.ask(DISCOVER, mac, options, **more)
        if offer is None:
            return None
        chosen = [(50, address_bytes(offer.address)), (54, offer.options[54])]
        return self.ask(REQUEST, mac, [*chosen, *options], **more)
