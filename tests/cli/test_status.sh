#!/bin/sh
# test_status.sh: every exit status that raftctl documents, each from a cause
# that a user can meet.
. "$(dirname "$0")/lib.sh"

# ---- usage: 64 --------------------------------------------------------------

must_fail "no command" 64 raftctl
must_fail "an unknown command" 64 raftctl frobnicate
must_fail "an unknown option" 64 raftctl --frobnicate get k
must_fail "an unknown option of a command" 64 raftctl get --frobnicate k
must_fail "get without a key" 64 raftctl get
must_fail "get with too many" 64 raftctl get a b
must_fail "put without a value" 64 raftctl put k
must_fail "del without a key" 64 raftctl del
must_fail "an address that is none" 64 raftctl -s 'host:port:x' get k
must_fail "a duration without its unit" 64 raftctl -t 5 get k
must_fail "a duration that is none" 64 raftctl -t soon get k
must_fail "a read mode that is none" 64 raftctl get --read=lazy k
must_fail "wait for what is no state" 64 raftctl wait godot
must_fail "wait applied without a number" 64 raftctl wait applied x
must_fail "ls with a bad limit" 64 raftctl ls --limit -1
for word in --help --version; do
	ok "$word is status 0" raftctl $word
	is "$word writes to stdout" "$(raftctl $word 2>&1 >/dev/null | wc -c)" 0
done
ok "a command has --help" raftctl get --help

# ---- unreachable: 69 --------------------------------------------------------

must_fail "no server there" 69 raftctl -t 300ms -s "unix:$T/none" get k
like "the cause names the address" "$(cat "$T/err")" "*$T/none*"
must_fail "a put that was never sent" 69 \
    raftctl -t 300ms -s "unix:$T/none" put k v
must_fail "status of nobody" 69 raftctl -t 300ms -s "unix:$T/none" status
must_fail "wait for nobody is a time limit" 124 \
    raftctl -t 300ms -s "unix:$T/none" wait leader

# ---- what a server may answer -----------------------------------------------

python=$(find_python msgpack)
# stub WHAT: a server that answers so; sets $stub.
stub() {
	stub=unix:$T/stub.$1
	"$python" "$top/tests/cli/stub.py" "$T/stub.$1" "$1" &
	child $!
	wait_for 10 test -S "$T/stub.$1"
}
if [ -n "$python" ]; then
	while read -r code status; do
		stub "$code"
		must_fail "a put answered with $code" "$status" \
		    raftctl -t 700ms -s "$stub" put k v </dev/null
		like "says $code or why" "$(cat "$T/err")" '*as the test*'
	done <<'END'
USAGE 64
TOO_LARGE 64
DATA 65
NO_LEADER 69
NO_QUORUM 69
BUG 70
BUSY 75
NOSPACE 75
STOPPING 75
NOT_APPLIED 75
PROTOCOL 76
METHOD 76
DENIED 77
UNKNOWN 3
END
	stub CONDITION
	must_fail "a false condition" 1 raftctl -t 1s -s "$stub" put k v
	stub silence
	must_fail "a put without an answer is unknown" 3 \
	    raftctl -t 400ms -s "$stub" put k v
	must_fail "a get without an answer is not" 69 \
	    raftctl -t 400ms -s "$stub" get k
	must_fail "a del without an answer is unknown" 3 \
	    raftctl -t 400ms -s "$stub" del k
	stub drop
	must_fail "a put and the server is gone" 3 \
	    raftctl -t 700ms -s "$stub" put k v
	must_fail "a get and the server is gone" 69 \
	    raftctl -t 700ms -s "$stub" get k
	stub garbage
	raftctl -t 700ms -s "$stub" put k v >"$T/out" 2>"$T/err"
	status=$?
	case $status in 3 | 76) ok "garbage for an answer" true ;;
	*) is "garbage for an answer" "$status" '3 or 76' ;; esac
else
	skip "answers of a server" "python3-msgpack is missing"
fi

# ---- a cluster in trouble ---------------------------------------------------

lab -n 3
must_fail "an absent key" 1 raftctl get none
is "says nothing" "$(cat "$T/out" "$T/err")" ""
ok "a key" raftctl put k v
l=$(leader)
f=$(follower)
others=$(raftlab ps -j | jq -r "select(.id != $l).id")
# shellcheck disable=SC2086 # two ids
raftlab pause $others
must_fail "a put without a quorum, its leader still there" 3 \
    raftctl -t 600ms -s "$(client_of "$l")" put k w
# shellcheck disable=SC2086
raftlab resume $others
ok "a put when they are back" raftctl -t 10s put k x
is "a get after it" "$(raftctl -t 10s get k)" x

l=$(leader)
others=$(raftlab ps -j | jq -r "select(.id != $l).id")
# shellcheck disable=SC2086
raftlab kill $others
no_leader() {
	[ "$(raftctl -t 1s -s "$(client_of "$l")" status -j |
	    jq -r .role)" != leader ]
}
ok "a leader without its followers steps down" wait_for 10 no_leader
must_fail "a put without a leader is not applied" 69 \
    raftctl -t 4s -s "$(client_of "$l")" put k y
must_fail "a linearizable get needs one too" 69 \
    raftctl -t 4s -s "$(client_of "$l")" get k
is "a stale get does not" \
    "$(raftctl -t 2s -s "$(client_of "$l")" get --read=stale k)" x
must_fail "wait leader runs out" 124 \
    raftctl -t 500ms -s "$(client_of "$l")" wait leader
must_fail "status --all with servers down" 1 raftctl -t 1s status --all -j
is "lists every one of them" "$(jq -s length "$T/out")" 3
is "those with an error" \
    "$(jq -s 'map(select(.ok | not)) | map(.error.code) | length' \
    "$T/out")" 2
must_fail "health is a no" 1 raftctl -t 1s health -j
# shellcheck disable=SC2086
raftlab start $others
ok "wait leader" raftctl -t 10s wait leader
is "nothing of what failed was applied" "$(raftctl -t 10s get k)" x

# ---- wait and health --------------------------------------------------------

ok "wait ready" raftctl -t 10s wait ready
ok "wait healthy" raftctl -t 10s wait healthy
rev=$(raftctl put -j k z | jq .rev)
ok "wait applied" raftctl -t 10s -s "$(client_of "$f")" wait applied "$rev"
must_fail "wait applied of what is to come" 124 \
    raftctl -t 300ms wait applied $((rev + 1000))
ok "wait key" raftctl -t 10s wait key k
must_fail "wait key of one that is absent" 124 raftctl -t 300ms wait key none
raftctl -t 10s wait key late >"$T/late" 2>&1 &
late=$!
raftctl put late 1
ok "wait key is told of a put" wait $late
ok "wait member" raftctl -t 10s wait member 2 voter
must_fail "wait member of a stranger" 124 raftctl -t 300ms wait member 9 voter
ok "health" raftctl -t 10s health
is "health -j has findings" \
    "$(raftctl -t 10s health -j | jq -s -c 'map(keys_unsorted | sort) |
    unique')" '[["detail","ok","what"]]'
is "members: one leader" "$(raftctl members | jq -r .role | sort |
    tr '\n' ' ')" 'follower follower leader '
is "members: all vote" "$(raftctl members | jq -s 'map(.voter) | all')" true
is "status --all" "$(raftctl -t 10s status --all | jq -s \
    'map(.id) | sort | tostring')" '"[1,2,3]"'

# ---- whom to ask ------------------------------------------------------------

ok "RAFT_ENDPOINTS may hold a dead one" env \
    RAFT_ENDPOINTS="unix:$T/none,$RAFT_ENDPOINTS" raftctl -t 10s get k
ok "a follower forwards a put" raftctl -s "$(client_of "$f")" put fwd 1
is "a follower answers a get" "$(raftctl -s "$(client_of "$f")" get fwd)" 1
ok "a bare path is an address" sh -c \
    'raftctl -s "$1" get k' _ "$(client_of 1 | sed 's/^unix://')"
must_fail "an option beats the environment" 69 \
    raftctl -t 300ms -s "unix:$T/none" get k
is "status asks that server" \
    "$(raftctl -s "$(client_of 2)" status | jq .id)" 2

end
