#!/usr/bin/python3
# session.py: pynvim's MessagePack-RPC session, with raftd for its server.
import sys

from pynvim import socket_session

session = socket_session(sys.argv[1])
session.error_wrapper = lambda e: Exception(e[1])
session.request("put", "from pynvim", "a session")
print(session.request("get", "from pynvim")["value"])
print(session.request("get", "nothing here"))
try:
    session.request("put", "no value")
except Exception as error:
    print("refused:", error.args[0])
