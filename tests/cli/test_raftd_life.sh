#!/bin/sh
# test_raftd_life.sh: how raftd gets on with whoever runs it: service manager,
# signals, a log that nobody reads, sockets of others, too few descriptors.
. "$(dirname "$0")/lib.sh"

peer=unix:$T/p
client=unix:$T/c
me="-n 1 -d $T/d -p $peer -c $client --bootstrap 1=$peer"

# server OPTION...: one in the background, up when this returns.
server() {
	: >"$T/ready"
	raftd "$@" --ready-fd 3 3>"$T/ready" 2>"$T/log" </dev/null &
	server=$!
	child "$server"
	wait_for 10 test -s "$T/ready" || { show "$T/log" && return 1; }
}

stop() {
	kill -s TERM "$server"
	wait "$server"
}

logged() { # TEXT
	grep -qF "$1" "$T/log"
}

# ---- a service manager ------------------------------------------------------

cat >"$T/manager.py" <<'END'
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(60)
with open(sys.argv[2], 'w', buffering=1) as out:
    while True:
        word = s.recv(100).decode()
        out.write(word + '\n')
        if word.startswith('STOPPING'):
            break
END
/usr/bin/python3 "$T/manager.py" "$T/notify" "$T/told" &
manager=$!
child "$manager"
wait_for 10 test -S "$T/notify"
echo 'log-level = info' >"$T/conf"
NOTIFY_SOCKET=$T/notify
export NOTIFY_SOCKET
# shellcheck disable=SC2086 # a list of options
ok "a server starts under a manager" server $me -f "$T/conf"
unset NOTIFY_SOCKET
ok "and says that it is ready" wait_for 5 grep -qx READY=1 "$T/told"

# ---- SIGHUP -----------------------------------------------------------------

is "info is not debug" "$(grep -c level=debug "$T/log")" 0
echo 'log-level = loud' >"$T/conf"
kill -s HUP "$server"
ok "a bad file is reported" wait_for 5 logged event=reload.failed
like "with file and line" "$(grep event=reload.failed "$T/log")" '*conf:1*'
ok "and the server goes on" raftctl -t 10s -s "$client" put k v
echo 'log-level = debug' >"$T/conf"
kill -s HUP "$server"
reloaded() {
	grep -q 'event=reload$' "$T/log"
}
ok "a good one is taken" wait_for 5 reloaded
printf 'garbage' | /usr/bin/python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.stdin.buffer.read())
while s.recv(100):
    pass' "$T/c"
ok "from then on debug is logged" wait_for 5 logged level=debug
stop
is "SIGTERM: status 0" $? 0
wait "$manager"
is "the manager heard of all of it" "$(tr '\n' ' ' <"$T/told")" \
    "READY=1 RELOADING=1 READY=1 RELOADING=1 READY=1 STOPPING=1 "

# ---- a second signal --------------------------------------------------------

# Two of three are missing: what is in flight stays in flight.
three="-n 1 -d $T/d3 -p $peer -c $client --request-timeout 60s --grace 60s
    --bootstrap 1=$peer,2=unix:$T/p2,3=unix:$T/p3"
# shellcheck disable=SC2086
ok "a server without a majority starts" server $three
raftctl -t 60s -s "$client" put k v >/dev/null 2>&1 &
put=$!
child "$put"
sleep 0.3
kill -s TERM "$server"
ok "it begins to stop" wait_for 5 logged event=stopping
kill -s TERM "$server"
wait "$server"
is "a second SIGTERM ends it at once" $? 0
wait "$put"
status=$?
ok "and no put was acknowledged" test $status -ne 0
is "no socket is left" "$(find "$T" -name '[cp]' -type s)" ""

# ---- sockets ----------------------------------------------------------------

# shellcheck disable=SC2086
ok "a server starts again" server $me
must_fail "the socket of a living server is not taken" 71 timeout 10 raftd \
    -n 1 -d "$T/d4" -p "unix:$T/p4" -c "$client" --bootstrap "1=unix:$T/p4"
is "which goes on" "$(raftctl -t 10s -s "$client" get k)" v
kill -s KILL "$server"
wait "$server" 2>/dev/null
is "a dead one leaves its socket" "$(stat -c %F "$T/c")" socket
# shellcheck disable=SC2086
ok "which is replaced" server $me
is "and served" "$(raftctl -t 10s -s "$client" get k)" v
stop
must_fail "an address that others can reach" 78 timeout 10 raftd -n 1 \
    -d "$T/d5" -p "$peer" -c 0.0.0.0:0 --bootstrap "1=$peer"
like "says what would allow it" "$(cat "$T/err")" '*--insecure*'
ok "nothing was made" test ! -e "$T/d5"
# shellcheck disable=SC2086
ok "--insecure does" server $me -c 0.0.0.0:0 --insecure
stop
# shellcheck disable=SC2086
ok "port 0 is a free one" server $me -c 127.0.0.1:0
port=$(raftctl -t 10s -s "$client" status -j | jq -r '.client[1]')
like "which status tells" "$port" '127.0.0.1:[1-9]*'
is "and where it serves" "$(raftctl -t 10s -s "$port" get k)" v
must_fail "nobody else can have it" 71 timeout 10 raftd -n 1 -d "$T/d4" \
    -p "unix:$T/p4" -c "$port" --bootstrap "1=unix:$T/p4"
stop

# ---- a log that nobody reads ------------------------------------------------

mkfifo "$T/fifo"
sh -c 'exec sleep 60' <"$T/fifo" &
reader=$!
child "$reader"
: >"$T/ready"
# shellcheck disable=SC2086
raftd $me --ready-fd 3 3>"$T/ready" 2>"$T/fifo" </dev/null &
server=$!
child "$server"
ok "a server whose log is not read starts" wait_for 10 test -s "$T/ready"
n=0
while [ $n -lt 300 ]; do
	kill -s USR1 "$server"
	raftctl -t 10s -s "$client" get k >/dev/null
	n=$((n + 1))
done
is "and serves when the pipe is full" "$(raftctl -t 10s -s "$client" get k)" v
kill -s KILL "$reader"
wait "$reader" 2>/dev/null
is "and when the reader is gone" "$(raftctl -t 10s -s "$client" get k)" v
stop
is "and stops" $? 0

# ---- few descriptors --------------------------------------------------------

cat >"$T/many.py" <<'END'
import socket, sys
held, refused = [], 0
for i in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    held.append(s)
for s in held:
    s.settimeout(0.2 if refused == 0 else 0)
for s in reversed(held):
    s.settimeout(2)
    try:
        if b'BUSY' in s.recv(200):
            refused += 1
        else:
            break
    except OSError:
        break
print(refused)
END
# shellcheck disable=SC2016 # the shell's inside
few='ulimit -n 300 && exec raftd "$@"'
: >"$T/ready"
# shellcheck disable=SC2086
sh -c "$few" _ $me --ready-fd 3 3>"$T/ready" 2>"$T/log" </dev/null &
server=$!
child "$server"
ok "a server with 300 descriptors starts" wait_for 10 test -s "$T/ready"
ok "and says how many clients it takes" logged event=limit
refused=$(/usr/bin/python3 "$T/many.py" "$T/c" 290)
ok "those beyond are told so ($refused)" test "$refused" -gt 100
is "when they have gone all is well" "$(raftctl -t 10s -s "$client" get k)" v
stop
is "and it stops" $? 0

end
