#!/usr/bin/python3
# rpc.py: MessagePack-RPC for the tests, by python3-msgpack alone.
#
#	rpc.py ADDRESS call METHOD [JSON-PARAMS]	print the answer as JSON
#	rpc.py ADDRESS many PREFIX COUNT		pipelined puts
#	rpc.py ADDRESS,... write PREFIX FILE		puts until killed; each
#							acknowledged key is a line
#							of FILE, its value as well
#	rpc.py ADDRESS check FILE...			each of these is there
#	rpc.py ADDRESS fail PID				kills it and prints the
#							ms until a put succeeds
#
# ADDRESS is unix:/path or host:port.

import json
import os
import signal
import socket
import sys
import time

import msgpack


def connect(address, timeout=10):
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(address[5:])
    else:
        host, port = address.rsplit(":", 1)
        s = socket.create_connection((host.strip("[]"), int(port)), timeout)
    return s


class Client:
    def __init__(self, address, timeout=10):
        self.socket = connect(address, timeout)
        self.unpacker = msgpack.Unpacker(raw=True)
        self.msgid = 0

    def send(self, method, params):
        self.msgid += 1
        self.socket.sendall(msgpack.packb([0, self.msgid, method, params]))
        return self.msgid

    def receive(self):
        while True:
            for message in self.unpacker:
                return message
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("connection closed")
            self.unpacker.feed(data)

    def call(self, method, *params):
        msgid = self.send(method, list(params))
        while True:
            message = self.receive()
            if message[0] == 1 and message[1] == msgid:
                return message[2], message[3]


def plain(value):
    """What json can print: bytes as text, or as base16 after b16:"""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return "b16:" + value.hex()
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def many(client, prefix, count):
    window = 256
    sent = done = 0
    while done < count:
        while sent < count and sent - done < window:
            client.send("put", ["%s%06d" % (prefix, sent), b"v"])
            sent += 1
        error = client.receive()[2]
        if error is not None:
            sys.exit("put: %r" % (error,))
        done += 1


def write(addresses, prefix, path):
    # An error or a lost connection leaves a put in doubt: it is not noted,
    # and its key is never used again.
    out = open(path, "a", buffering=1)
    client = None
    turn = hash(prefix) % len(addresses)
    n = 0
    while True:
        n += 1
        try:
            if client is None:
                client = Client(addresses[turn % len(addresses)], 2)
            key = "%s%06d" % (prefix, n)
            error, _ = client.call("put", key, key.encode())
            if error is None:
                out.write(key + "\n")
            else:
                time.sleep(0.01)
        except (OSError, EOFError):
            client = None
            turn += 1
            time.sleep(0.01)


def check(client, paths):
    keys = []
    for path in paths:
        with open(path) as f:
            keys += [line.rstrip("\n") for line in f if line.endswith("\n")]
    window = 256
    lost = []
    for start in range(0, len(keys), window):
        batch = keys[start : start + window]
        expected = {}
        for key in batch:
            expected[client.send("get", [key])] = key
        for _ in batch:
            message = client.receive()
            key = expected.pop(message[1])
            record = message[3]
            if (
                message[2] is not None
                or record is None
                or record[b"value"] != key.encode()
            ):
                lost.append((key, message[2], record))
    for key, error, record in lost[:10]:
        print("lost: %s: error %r record %r" % (key, error, record))
    print("%d acknowledged, %d lost" % (len(keys), len(lost)))
    sys.exit(1 if lost or not keys else 0)


def fail(client, pid):
    error, _ = client.call("put", "failover", b"before")
    if error is not None:
        sys.exit("put: %r" % (error,))
    os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    while time.monotonic() - start < 30:
        error, _ = client.call("put", "failover", b"after")
        if error is None:
            print("%.1f" % ((time.monotonic() - start) * 1000))
            return
        time.sleep(0.001)
    sys.exit("no put succeeded for 30 s: %r" % (error,))


def main():
    address, command = sys.argv[1:3]
    if command == "write":
        write(address.split(","), sys.argv[3], sys.argv[4])
    client = Client(address, 40)
    if command == "many":
        many(client, sys.argv[3], int(sys.argv[4]))
    elif command == "check":
        check(client, sys.argv[3:])
    elif command == "fail":
        fail(client, int(sys.argv[3]))
    else:
        params = json.loads(sys.argv[4]) if len(sys.argv) > 4 else []
        print(json.dumps(plain(client.call(sys.argv[3], *params))))


if __name__ == "__main__":
    main()
