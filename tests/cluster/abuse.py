#!/usr/bin/python3
# abuse.py: sends what no client and no peer should.
#
#	abuse.py ADDRESS KIND
#
# Prints what came back, shortened; ends with 0 if the server closed or
# answered each connection, or held it quietly where that is right.

import random
import socket
import struct
import sys
import time

ROUNDS = 40


def connect(address):
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(address[5:])
    else:
        host, port = address.rsplit(":", 1)
        s = socket.create_connection((host.strip("[]"), int(port)), 10)
    return s


def send(s, data):
    try:
        s.sendall(data)
    except OSError:
        pass


def read_all(s):
    """Everything until the server closes; None if it does not."""
    got = b""
    try:
        while True:
            data = s.recv(65536)
            if not data:
                return got
            got += data
    except socket.timeout:
        return None
    except OSError:
        return got


def refused(address, data):
    s = connect(address)
    send(s, data)
    got = read_all(s)
    s.close()
    if got is None:
        print("not closed after %d bytes: %r" % (len(data), data[:40]))
        sys.exit(1)
    return got


def array_bombs():
    for head in (b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"):
        yield head + b"\xff\xff\xff\xff"
    # as parameters of a request, as a method, as an option
    for bomb in (b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff"):
        yield b"\x94\x00\x01\xa3put" + bomb
        yield b"\x94\x00\x01" + bomb
        yield b"\x94\x00\x01\xa3put\x92\xa1k" + bomb


def nesting():
    for depth in (9, 100, 100000):
        yield b"\x94\x00\x01\xa3put" + b"\x91" * depth + b"\xc0"
        yield b"\x91" * depth


def huge_lengths():
    for size in (2**21, 2**27, 2**31 - 1, 2**32 - 1):
        head = struct.pack(">I", size)
        yield b"\x94\x00\x01\xa3put\x92\xa1k\xc6" + head + b"x" * 100
        yield b"\x94\x00\x01\xdb" + head + b"x" * 100


def main():
    address, kind = sys.argv[1:3]
    rng = random.Random(1)
    answer = b""
    if kind == "garbage":
        for i in range(ROUNDS):
            data = bytes(rng.randrange(256) for _ in range(2000))
            # a first byte that no message has
            answer = refused(address, b"\xc1" + data)
    elif kind == "not-rpc":
        for data in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
            b"\x93\x07\x01\xa1x",
            b"\x94\x00\xff\xa3put\x90",
            b"\xc0" * 16,
        ):
            answer = refused(address, data)
    elif kind == "bombs":
        for data in array_bombs():
            answer = refused(address, data)
    elif kind == "nesting":
        for data in nesting():
            answer = refused(address, data)
    elif kind == "lengths":
        for data in huge_lengths():
            answer = refused(address, data)
    elif kind == "half":
        # A frame that never ends, and one that ends with the connection.
        held = []
        whole = b"\x94\x00\x01\xa3put\x92\xa1k\xc5\x10\x00" + b"x" * 4096
        for i in range(ROUNDS):
            s = connect(address)
            send(s, whole[: rng.randrange(1, len(whole))])
            if i % 2:
                s.close()
            else:
                held.append(s)
        time.sleep(0.5)
    elif kind == "idle":
        held = []
        for i in range(int(sys.argv[3])):
            held.append(connect(address))
        print("%d connected" % len(held), flush=True)
        time.sleep(3600)
    else:
        sys.exit("unknown kind " + kind)
    print("%s: %r" % (kind, answer[:120]))


main()
