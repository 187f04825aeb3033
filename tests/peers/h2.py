"""HTTP/2 by hand, for what no client library would send: frames are written as bytes, header fields as HPACK literals
without indexing. What the server answers is read with the inflater of libnghttp2, which the server needs too."""

import ctypes
import ctypes.util
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ENHANCE_YOUR_CALM = 11


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, bits):
    """HPACK's integer with a prefix of `bits`, whose other bits are 0."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = bytes([most]), value - most
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


def literal(name, value):
    name, value = name.encode(), value if isinstance(value, bytes) else value.encode()
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


def head(path="/inference.GRPCInferenceService/ServerLive", more=(), **changes):
    """The header block of a call. A change to None leaves a field out; names are written with _ for - and a leading
    _ for the colon."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers",
              "content-type": "application/grpc"}
    for name, value in changes.items():
        fields[(":" + name[1:] if name[0] == "_" else name).replace("_", "-")] = value
    return b"".join(literal(name, value) for name, value in [*fields.items(), *more] if value is not None)


def headers(stream, block, flags=0, at_once=16000):
    """HEADERS and as many CONTINUATIONs as the block needs; a server's larger frames may not be known yet."""
    pieces = [block[i:i + at_once] for i in range(0, len(block), at_once)] or [b""]
    return b"".join(frame(CONTINUATION if i else HEADERS,
                          (END_HEADERS if i + 1 == len(pieces) else 0) | (0 if i else flags), stream, piece)
                    for i, piece in enumerate(pieces))


def message(content=b"", flag=0):
    return bytes([flag]) + struct.pack(">I", len(content)) + content


class Inflater:
    class Field(ctypes.Structure):
        _fields_ = [("name", ctypes.POINTER(ctypes.c_uint8)), ("value", ctypes.POINTER(ctypes.c_uint8)),
                    ("name_count", ctypes.c_size_t), ("value_count", ctypes.c_size_t), ("flags", ctypes.c_uint8)]

    def __init__(self):
        self.library = ctypes.CDLL(ctypes.util.find_library("nghttp2") or "libnghttp2.so.14")
        self.library.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
        self.library.nghttp2_hd_inflate_hd2.argtypes = [ctypes.c_void_p, ctypes.POINTER(self.Field),
                                                        ctypes.POINTER(ctypes.c_int), ctypes.c_char_p, ctypes.c_size_t,
                                                        ctypes.c_int]
        self.library.nghttp2_hd_inflate_end_headers.argtypes = [ctypes.c_void_p]
        self.inflater = ctypes.c_void_p()
        assert self.library.nghttp2_hd_inflate_new(ctypes.byref(self.inflater)) == 0

    def fields(self, block):
        out = {}
        while True:
            field, flags = self.Field(), ctypes.c_int()
            used = self.library.nghttp2_hd_inflate_hd2(self.inflater, ctypes.byref(field), ctypes.byref(flags), block,
                                                       len(block), 1)
            assert used >= 0, used
            block = block[used:]
            if flags.value & 2:
                out[ctypes.string_at(field.name, field.name_count).decode()] = \
                    ctypes.string_at(field.value, field.value_count).decode()
            if flags.value & 1:
                self.library.nghttp2_hd_inflate_end_headers(self.inflater)
                return out


class Client:
    """One connection. `streams` gathers what came: {stream: {"fields", "data", "reset", "ended"}}."""

    def __init__(self, port, hello=PREFACE + frame(SETTINGS), receive_bytes=None, wait=True):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.streams, self.goaway, self.settings, self.closed = {}, None, {}, False
        self.pings, self.rest, self.inflater = 0, b"", Inflater()
        self.send(hello)
        if wait and len(hello) > len(PREFACE) and hello.startswith(PREFACE):
            self.read(lambda: self.settings)  # before, only small windows and frames are ours

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *pieces, seconds=10):
        """True: all of it; False: the server does not take it, or hung up."""
        self.socket.settimeout(seconds)
        try:
            self.socket.sendall(b"".join(pieces))
            return True
        except OSError:
            return False

    def call(self, stream, content=b"", block=None, **more):
        return self.send(headers(stream, block or head(**more)),
                         frame(DATA, END_STREAM, stream, message(content)))

    def stream(self, number):
        return self.streams.setdefault(number, {"fields": {}, "data": b"", "reset": None, "ended": False})

    def take(self, kind, flags, number, payload):
        if kind == HEADERS:
            self.stream(number)["fields"].update(self.inflater.fields(payload))
        elif kind == DATA:
            self.stream(number)["data"] += payload
            if payload:
                more = struct.pack(">I", len(payload))
                self.send(frame(WINDOW_UPDATE, 0, 0, more), frame(WINDOW_UPDATE, 0, number, more))
        elif kind == RST_STREAM:
            self.stream(number)["reset"] = struct.unpack(">I", payload)[0]
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">I", payload[4:8])[0]
        elif kind == PING and flags & ACK:
            self.pings += 1
        elif kind == SETTINGS and not flags & ACK:
            self.settings.update(struct.iter_unpack(">HI", payload))
            self.send(frame(SETTINGS, ACK))
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.stream(number)["ended"] = True

    def read(self, until, seconds=20):
        """Read until `until()` or the end of the connection. False: neither came in time."""
        deadline = time.monotonic() + seconds
        while not until() and not self.closed:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                piece = self.socket.recv(1 << 16)
            except TimeoutError:
                return False
            except OSError:
                piece = b""
            self.closed = not piece
            self.rest += piece
            while len(self.rest) >= 9:
                length = int.from_bytes(self.rest[:3], "big")
                if len(self.rest) < 9 + length:
                    break
                one, self.rest = self.rest[:9 + length], self.rest[9 + length:]
                self.take(one[3], one[4], int.from_bytes(one[5:9], "big") & 0x7fffffff, one[9:])
        return True

    def answer(self, number, seconds=20):
        """What came on a stream, once it ended or was reset; None when it did neither."""
        done = lambda: self.stream(number)["ended"] or self.stream(number)["reset"] is not None  # noqa: E731
        self.read(done, seconds)
        return self.stream(number) if done() else None
