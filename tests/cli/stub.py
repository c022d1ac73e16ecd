#!/usr/bin/python3
# stub.py: a server for the tests that answers each request with one error,
# or not at all.
#
#	stub.py PATH CODE	an error of that code
#	stub.py PATH silence	takes requests and says nothing
#	stub.py PATH drop	takes a request and closes
#	stub.py PATH garbage	answers with bytes that are no MessagePack
#
# PATH is that of a Unix socket.  hello is answered as raftd would.

import os
import select
import socket
import sys

import msgpack


def answer(connection, message, what):
    kind, msgid, method = message[0], message[1], message[2]
    if kind != 0:
        return True
    if method in (b"hello", "hello"):
        reply = [1, msgid, None, {"protocol": 1, "version": "stub"}]
    elif what == "silence":
        return True
    elif what == "drop":
        return False
    elif what == "garbage":
        connection.sendall(b"\xc1" * 64)
        return True
    else:
        reply = [1, msgid, [0, what + ": as the test wants it"], None]
    connection.sendall(msgpack.packb(reply))
    return True


def main():
    path, what = sys.argv[1:3]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen(64)
    os.rename(path + ".new", path)
    connections = {}
    while True:
        ready, _, _ = select.select([listener] + list(connections), [], [])
        for s in ready:
            if s is listener:
                new, _ = listener.accept()
                connections[new] = msgpack.Unpacker(raw=True)
                continue
            alive = False
            try:
                data = s.recv(65536)
                alive = bool(data)
                connections[s].feed(data)
                for message in connections[s]:
                    alive = alive and answer(s, message, what)
            except (OSError, ValueError):
                alive = False
            if not alive:
                del connections[s]
                s.close()


main()
