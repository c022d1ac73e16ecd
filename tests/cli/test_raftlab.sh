#!/bin/sh
# test_raftlab.sh: clusters started and stopped, with the real programs and
# with stand-ins that misbehave.
. "$(dirname "$0")/lib.sh"

# ---- usage ------------------------------------------------------------------

must_fail "no command" 64 raftlab
must_fail "an unknown command" 64 raftlab frobnicate
must_fail "an unknown option" 64 raftlab up --frobnicate
must_fail "an option of another command" 64 raftlab up -j
must_fail "no servers" 64 raftlab up -n 0
must_fail "too many servers" 64 raftlab up -n 17
must_fail "an operand too many" 64 raftlab up 3
must_fail "no lab" 64 raftlab ps
must_fail "a lab that is missing" 66 raftlab -d "$T/none" ps
must_fail "a path that RAFT_ENDPOINTS cannot hold" 64 raftlab up -d "$T/a,b"
is "nothing was made" "$(find "$T" -name '*,*')" ""
for word in --help --version; do
	ok "$word is status 0" raftlab $word
done

# ---- a cluster --------------------------------------------------------------

lab -n 3 -d "$T/lab"
is "what is printed names the lab" "$RAFT_LAB" "$T/lab"
ok "there is a leader at once" raftctl -t 2s put k v
is "ps has one object a server" "$(raftlab ps | jq -s -c \
    'map([.id,.running])')" '[[1,true],[2,true],[3,true]]'
is "with these keys" "$(raftlab ps -j | jq -c 'keys_unsorted' | sort -u)" \
    '["id","pid","running","paused","dir","client","peer"]'
if script -qec 'test -t 1' /dev/null >/dev/null; then
	like "and a table on a terminal" \
	    "$(script -qec "raftlab ps" /dev/null)" \
	    'ID*PID*STATE*1 *running*3 *running*'
else
	skip "and a table on a terminal" "no terminal to be had"
fi
is "RAFT_ENDPOINTS are the clients' addresses" "$RAFT_ENDPOINTS" \
    "$(raftlab ps | jq -r .client | paste -sd ,)"
must_fail "a server that is not there" 64 raftlab kill 4
must_fail "an id that is none" 64 raftlab kill x
must_fail "kill of nobody" 64 raftlab kill
must_fail "a second lab in the same directory" 73 raftlab up -d "$T/lab"
must_fail "start of one that runs" 1 raftlab start 1
pid=$(pid_of 2)
ok "kill" raftlab kill 2
is "it is gone" "$(pid_of 2)" null
ok "its process, too" gone "$pid"
must_fail "kill of one that is gone" 1 raftlab kill 2
must_fail "stop of one that is gone" 1 raftlab stop 2
ok "start" raftlab start 2
ok "pause" raftlab pause 3
is "ps tells" "$(raftlab ps | jq -c 'select(.id == 3) |
    [.running,.paused]')" '[true,true]'
ok "resume" raftlab resume 3
is "ps tells that as well" "$(raftlab ps | jq -c 'select(.id == 3) |
    [.running,.paused]')" '[true,false]'
raftlab pause 3
ok "stop of one that is paused" raftlab stop 3
ok "start after stop" raftlab start 3
ok "logs" sh -c 'raftlab logs 1 | grep -q event='
ok "several at once" raftlab kill 1 2 3
ok "start them all" raftlab start 3 2 1
is "what was put is there" "$(raftctl -t 20s get k)" v

# A pid that now belongs to another process is left alone.
raftlab kill 1
sleep 600 &
bystander=$!
child $bystander
read -r _ start <"$T/lab/2.pid"
echo "$bystander $start" >"$T/lab/1.pid"
must_fail "a pid of another process" 1 raftlab kill 1
ok "that process lives" kill -0 $bystander
kill -s KILL $bystander
wait $bystander 2>/dev/null
ok "the server starts again" raftlab start 1

pids=$(raftlab ps | jq .pid)
ok "down --keep" raftlab down --keep
# shellcheck disable=SC2086 # several
ok "leaves no process" gone $pids
ok "but the data" test -d "$T/lab/1"
must_fail "up with another number of servers" 73 raftlab up -n 5 -d "$T/lab"
ok "up goes on with it" raftlab up -d "$T/lab"
is "what was put is still there" "$(raftctl -t 20s get k)" v
ok "down" raftlab down
ok "leaves nothing" sh -c '! test -e "$1"' _ "$T/lab"
must_fail "and once more there is no lab" 66 raftlab ps

# ---- other ways up ----------------------------------------------------------

long=$T/$(printf '%0150d' 0)
lab -n 1 -d "$long"
ok "a path too long for a socket" raftctl put k v
sockets=$(client_of 1 | sed 's/^unix://; s|/[^/]*$||')
raftlab down
ok "leaves nothing" sh -c '! test -e "$1" && ! test -e "$2"' _ "$long" \
    "$sockets"
lab -n 3 --tcp -d "$T/tcp"
like "TCP" "$RAFT_ENDPOINTS" '127.*.2:*,127.*.3:*,127.*.4:*'
ok "serves" raftctl put k v
raftlab down
mkdir "$T/own"
lab -n 1 -d "$T/own" -- --heartbeat 20ms
ok "options for raftd, in a directory of ours" raftctl put k v
echo mine >"$T/own/file"
raftlab down
is "down removes what up made, and no more" "$(ls "$T/own")" file
must_fail "a directory with something in it" 73 raftlab up -d "$T/own"

# ---- trouble ----------------------------------------------------------------

mkdir "$T/tmp"
TMPDIR=$T/tmp
export TMPDIR
must_fail "options that raftd does not have" 64 raftlab up -- --frobnicate
like "raftd's own words are shown" "$(cat "$T/err")" '*frobnicate*'
must_fail "a configuration that raftd refuses" 78 raftlab up -- \
    --heartbeat 10s --election 20ms
is "nothing is left behind" "$(ls -A "$T/tmp")" ""

# fake BODY: a raftd that does this.
fake() {
	mkdir -p "$T/fake"
	printf '#!/bin/sh\n%s\n' "$1" >"$T/fake/raftd"
	printf '#!/bin/sh\n%s\n' "${2:-exit 0}" >"$T/fake/raftctl"
	chmod +x "$T/fake/raftd" "$T/fake/raftctl"
}
export RAFTLAB_BIN="$T/fake"
fake 'exit 0'
must_fail "a server that ends without a word" 70 raftlab up -d "$T/f"
fake 'echo ready >&3; exec sleep 600' 'exit 124'
must_fail "no leader" 69 raftlab up -d "$T/f"
ok "and no process is left" sh -c '! grep -qs "$1/f/" /proc/[0-9]*/cmdline' _ "$T"
fake 'trap "" TERM; echo ready >&3; while :; do sleep 0.1; done'
ok "servers that ignore SIGTERM" raftlab up -n 1 -d "$T/f"
pid=$(raftlab -d "$T/f" ps | jq .pid)
ok "go down all the same" raftlab -d "$T/f" down
ok "for good" gone "$pid"
rm "$T/fake/raftctl"
must_fail "no raftctl" 127 env PATH=/usr/bin:/bin sh -c \
    'cp "$1" "$2" && exec "$2/raftlab" up' _ "$top/bin/raftlab" "$T"

end
