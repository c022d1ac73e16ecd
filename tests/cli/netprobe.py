#!/usr/bin/python3
# netprobe.py: measures the way from one local address to another.
#
#	netprobe.py rtt A B		ms of a TCP exchange that A began: what a
#					quarter of 12 took at most, so that a
#					busy machine does not count
#	netprobe.py udp A B COUNT	of so many datagrams: lost, doubled,
#					overtaken and changed ones, in millionths
#	netprobe.py rate A B BYTES	kilobits a second over TCP
#	netprobe.py connect A B:PORT	yes, no (silence) or reset
#	netprobe.py stream A B		yes, or how an exchange fails

import socket
import sys
import threading
import time


def listen(address):
    s = socket.create_server((address, 0))
    s.settimeout(30)
    return s


def dial(source, to, timeout=30):
    s = socket.socket()
    s.settimeout(timeout)
    s.bind((source, 0))
    s.connect(to)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def echo(listener):
    s, _ = listener.accept()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while True:
            data = s.recv(65536)
            if not data:
                return
            s.sendall(data)
    except OSError:
        pass


def rtt(a, b):
    listener = listen(b)
    threading.Thread(target=echo, args=(listener,), daemon=True).start()
    s = dial(a, listener.getsockname())
    took = []
    for _ in range(12):
        start = time.monotonic()
        s.sendall(b"ping")
        s.recv(16)
        took.append((time.monotonic() - start) * 1000)
    print("%.2f" % sorted(took)[2])


def udp(a, b, count):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    receiver.bind((b, 0))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind((a, 0))
    got = []

    def receive():
        receiver.settimeout(1)
        try:
            while True:
                got.append(receiver.recv(2048))
        except socket.timeout:
            pass

    thread = threading.Thread(target=receive)
    thread.start()
    for i in range(count):
        sender.sendto(b"%08d" % i * 2, receiver.getsockname())
        if i % 10 == 9:
            time.sleep(0.002)
    thread.join()
    sent = {b"%08d" % i * 2: i for i in range(count)}
    numbers = [sent[d] for d in got if d in sent]
    changed = len(got) - len(numbers)
    late, top = 0, -1
    for n in numbers:
        late += n < top
        top = max(top, n)
    lost = count - len(set(numbers)) - changed
    doubled = len(numbers) - len(set(numbers))
    print(*(n * 1000000 // count for n in (lost, doubled, late, changed)))


def rate(a, b, length):
    listener = listen(b)
    s = dial(a, listener.getsockname())
    peer, _ = listener.accept()
    peer.settimeout(60)
    threading.Thread(target=s.sendall, args=(bytes(length),),
                     daemon=True).start()
    left, start = length, time.monotonic()
    while left > 0:
        left -= len(peer.recv(65536))
    print(int(length * 8 / (time.monotonic() - start) / 1000))


def connect(a, to):
    host, port = to.rsplit(":", 1)
    try:
        dial(a, (host, int(port)), 0.7).close()
        print("yes")
    except socket.timeout:
        print("no")
    except ConnectionError:
        print("reset")


def stream(a, b):
    listener = listen(b)
    threading.Thread(target=echo, args=(listener,), daemon=True).start()
    try:
        s = dial(a, listener.getsockname(), 0.7)
        s.sendall(b"ping")
        print("yes" if s.recv(16) == b"ping" else "closed")
    except socket.timeout:
        print("no")
    except ConnectionError:
        print("reset")


what, a, b = sys.argv[1:4]
if what == "rtt":
    rtt(a, b)
elif what == "udp":
    udp(a, b, int(sys.argv[4]))
elif what == "rate":
    rate(a, b, int(sys.argv[4]))
elif what == "connect":
    connect(a, b)
elif what == "stream":
    stream(a, b)
else:
    sys.exit("netprobe.py: no such measurement")
