#!/bin/sh
# test_lock.sh: lock and elect: what their command sees, how they end.
. "$(dirname "$0")/lib.sh"

lab -n 3

# ---- a command --------------------------------------------------------------

is "the command has stdin and tells its status" \
    "$(echo hello | raftctl lock m -- sh -c 'cat; exit 7'; echo $?)" \
    "$(printf 'hello\n7')"
raftctl lock m -- env >"$T/env"
ok "its environment" grep -qx 'RAFT_LOCK_NAME=m' "$T/env"
like "a token" "$(sed -n 's/RAFT_LOCK_TOKEN=//p' "$T/env")" '[1-9]*'
like "a lease" "$(sed -n 's/RAFT_LOCK_LEASE=//p' "$T/env")" '[1-9]*'
is "a process group of its own" "$(raftctl lock m -- sh -c \
    'test "$(ps -o pgid= -p $$ | tr -d " ")" = $$ && echo own')" own
is "the lock is gone behind it" "$(raftctl lock --list)" ""
must_fail "a command that there is not" 127 raftctl lock m -- "$T/none"
must_fail "a command that cannot be run" 126 raftctl lock m -- "$T/env"
raftctl lock m -- sh -c 'kill -s KILL $$' 2>/dev/null
is "a command that dies of a signal" $? 137
is "what is put with its lease goes with the lock" "$(raftctl lock m -- sh -c \
    'raftctl put --lease $RAFT_LOCK_LEASE here 1; raftctl get here';
    raftctl get here)" 1
ok "--if-lock in the lock" raftctl lock m -- sh -c \
    'raftctl put --if-lock m=$RAFT_LOCK_TOKEN k 1; echo $RAFT_LOCK_TOKEN >'"$T/t"
old=$(cat "$T/t")
must_fail "--if-lock behind it" 1 raftctl put --if-lock "m=$old" k 2
must_fail "nor may incr" 1 raftctl incr --if-lock "m=$old" k
must_fail "nor del" 1 raftctl del --if-lock "m=$old" k
must_fail "nor a transaction" 1 sh -c 'echo "{\"if\":[{\"lock\":\"m\",
    \"token\":'"$old"'}],\"then\":[{\"del\":{\"key\":\"k\"}}]}" | raftctl txn'
is "k is what it was" "$(raftctl get k)" 1

# ---- somebody else ----------------------------------------------------------

# hold NAME ARGS...: in the background; $pid holds it.
hold() {
	raftctl lock "$@" >"$T/token" 2>"$T/hold.err" &
	pid=$!
	child $pid
	wait_for 10 test -s "$T/token"
}

hold m
is "--list" "$(raftctl lock --list | jq -c '[.name, .pid, .waiters]')" \
    '["m",'$pid',0]'
is "its keys" "$(raftctl lock --list | jq -c 'keys')" \
    '["age_ms","holder","host","lease","name","pid","remaining_ms","slots","token","ttl_ms","waiters"]'
is "the token" "$(raftctl lock --list m | jq .token)" "$(cat "$T/token")"
is "a prefix of no lock" "$(raftctl lock --list x)" ""
must_fail "-n" 1 raftctl lock -n m -- true
must_fail "-w" 124 raftctl lock -w 200ms m -- true
begin=$(date +%s)
must_fail "-w in seconds" 124 raftctl lock -w 1 m -- true
ok "is that long" test $(($(date +%s) - begin)) -ge 1
is "-j says why" "$(raftctl -j lock -n m -- true 2>&1 | jq -r .error.code)" \
    CONDITION
raftctl lock m -- sh -c "echo two >>$T/order" &
two=$!
wait_for 10 sh -c 'test "$(raftctl lock --list m | jq .waiters)" = 1'
raftctl lock m -- sh -c "echo three >>$T/order" &
three=$!
wait_for 10 sh -c 'test "$(raftctl lock --list m | jq .waiters)" = 2'
raftctl lock m -- sh -c "echo never >>$T/order" 2>/dev/null &
four=$!
wait_for 10 sh -c 'test "$(raftctl lock --list m | jq .waiters)" = 3'
kill -s TERM $four
wait $four
is "a wait ends with a signal" $? 143
is "and leaves the queue" "$(raftctl lock --list m | jq .waiters)" 2
kill -s TERM $pid
wait $pid
is "SIGTERM gives it back" $? 0
wait $two $three
is "the others come in order" "$(tr '\n' ' ' <"$T/order")" 'two three '

# ---- shared, counted --------------------------------------------------------

hold -s r
ok "two share" raftctl lock -n -s r -- true
must_fail "one alone does not" 1 raftctl lock -n r -- true
kill -s TERM $pid
wait $pid
hold --slots 2 c
ok "one of two" raftctl lock -n --slots 2 c -- true
must_fail "not of one" 1 raftctl lock -n c -- true
kill -s INT $pid
wait $pid

# ---- signals, and the end of raftctl ----------------------------------------

raftctl lock m -- sh -c 'trap "echo got; exit 9" TERM
    echo up; while :; do sleep 0.05; done' >"$T/sig" &
pid=$!
wait_for 10 grep -q up "$T/sig"
kill -s TERM $pid
wait $pid
is "a signal is passed on" "$? $(tail -n 1 "$T/sig")" '9 got'
raftctl lock --ttl 2s m -- sh -c "echo \$\$ >$T/sh; sleep 60 & echo \$! \
    >$T/grand; wait" &
pid=$!
wait_for 10 test -s "$T/grand"
kill -s KILL $pid
ok "nobody is left when raftctl is killed" wait_for 5 gone \
    "$(cat "$T/sh")" "$(cat "$T/grand")"
ok "and the lock passes on" raftctl -t 10s lock -w 10s m -- true

# All servers stopped: the lock cannot be renewed.
raftctl lock --ttl 1500ms m -- sh -c "trap 'echo term' TERM
    echo \$\$ >$T/sh; echo up
    while :; do sleep 0.05; done" >"$T/sig" 2>"$T/err" &
pid=$!
wait_for 10 grep -q up "$T/sig"
for i in 1 2 3; do
	raftlab pause $i
done
begin=$(date +%s%3N)
wait_for 10 gone "$(cat "$T/sh")"
spent=$(($(date +%s%3N) - begin))
ok "the command is dead within the time to live" test $spent -le 1500
note "$spent ms of 1500"
wait $pid
is "a lock that is lost" $? 125
ok "after SIGTERM" grep -q term "$T/sig"
ok "it says so" grep -q "'m' was lost" "$T/err"
for i in 1 2 3; do
	raftlab resume $i
done
raftctl -t 20s wait healthy

# ---- elections --------------------------------------------------------------

raftctl elect --observe -j boss >"$T/seen" &
observer=$!
child $observer
wait_for 10 test -s "$T/seen"
is "a leader's command" "$(raftctl elect boss me -- sh -c \
    'raftctl lock --list boss' | jq -r .holder)" me
raftctl elect -j boss two >"$T/token" &
pid=$!
wait_for 10 test -s "$T/token"
is "without one" "$(jq -r '[.name, .value] | join(" ")' "$T/token")" \
    'boss two'
must_fail "elect -n" 1 raftctl elect -n boss three
must_fail "elect -w" 124 raftctl elect -w 100ms boss three
wait_for 10 sh -c 'tail -n 1 '"$T"'/seen | grep -q two'
kill -s TERM $pid
wait $pid
wait_for 10 sh -c 'tail -n 1 '"$T"'/seen | jq -e ".value == null"'
is "--observe follows" "$(jq -r '.value' "$T/seen" | tail -n 2 |
    tr '\n' ' ')" 'two null '
kill -s TERM $observer

# ---- usage ------------------------------------------------------------------

must_fail "no name" 64 raftctl lock
must_fail "no value" 64 raftctl elect boss
must_fail "no command" 64 raftctl lock m --
must_fail "a command without --" 64 raftctl lock m true
must_fail "no slots" 64 raftctl lock --slots 0 m -- true
must_fail "too short a ttl" 64 raftctl lock --ttl 10ms m -- true
must_fail "too long a grace" 64 raftctl lock --grace 9s m -- true
must_fail "a bare --ttl" 64 raftctl lock --ttl 10 m -- true
must_fail "both" 64 raftctl lock -n -w 1s m -- true
must_fail "nobody to ask" 69 \
    raftctl -s "unix:$T/none" -t 300ms lock m -- true
raftctl put gone-fishing 1
ok "all servers have one digest" wait_for 30 same_digest

end
