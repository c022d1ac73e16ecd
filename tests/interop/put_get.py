#!/usr/bin/python3
# put_get.py: a client of ten lines, with python3-msgpack and a socket.
import socket, sys, msgpack
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
reply = msgpack.Unpacker()
def call(method, *params):
    s.sendall(msgpack.packb([0, 1, method, params]))
    while True:
        reply.feed(s.recv(65536))
        for kind, msgid, error, result in reply:
            return error or result
call("put", "from python", b"ten\0lines")
print(call("get", "from python")["value"])
