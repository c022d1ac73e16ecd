#!/bin/sh
# test_raftctl.sh: hash and doctor, formats, errors as JSON, the environment.
. "$(dirname "$0")/lib.sh"

lab -n 3
ok "healthy" raftctl -t 10s wait healthy
raftctl put k 'a=b\c
d'

# ---- hash and doctor --------------------------------------------------------

ok "hash --all of equal servers" raftctl -t 10s hash --all
is "hash has its keys" "$(raftctl hash -j | jq -c 'keys_unsorted | sort')" \
    '["digest","group","id","ok","rev"]'
is "hash --all lists all" "$(raftctl hash --all -j | jq -s -c \
    '[length, (map(.digest) | unique | length), (map(.ok) | all)]')" \
    '[3,1,true]'
ok "doctor of a healthy cluster" raftctl -t 10s doctor
is "its findings" "$(raftctl doctor -j | jq -s -c \
    'map(keys_unsorted | sort) | unique')" '[["detail","ok","what"]]'
raftlab kill "$(follower)"
must_fail "doctor names a server that is down" 1 raftctl -t 3s doctor -j
is "by its number, with a cause" "$(jq -s -c 'map(select(.ok | not) |
    select(.what | startswith("server "))) | length' "$T/out")" 1
is "and says that a majority is there" "$(jq -s -c \
    'map(select(.what == "quorum")) | .[0].ok' "$T/out")" true
must_fail "hash --all needs all" 1 raftctl -t 3s hash --all -j
is "those that answer agree" "$(jq -s -c \
    '[(map(select(.ok)) | length), (map(select(.ok | not).error.code))]' \
    "$T/out")" '[2,["UNREACHABLE"]]'

# ---- formats ----------------------------------------------------------------

is "fields escape what breaks a line" \
    "$(raftctl -o fields get k | grep '^value=')" 'value=a=b\\c\nd'
is "raw columns have tabs and no titles" \
    "$(raftctl -o raw members | cut -f 1 | sort | tr '\n' ' ')" '1 2 3 '
is "text of a record is a table" \
    "$(raftctl -o text get --rev k | head -n 1 | cut -c 1-3)" KEY
is "ls -j is one line a record" \
    "$(raftctl ls -j --encoding=hex k | jq -r .key_hex)" 6b
is "del --dry-run of named keys" "$(raftctl del -n k none)" 1
is "get at an old revision" "$(
    rev=$(raftctl put -j old 1 | jq .rev)
    raftctl put old 2
    raftctl get -j --rev="$rev" old | jq -r .value)" 1
is "append" "$(raftctl put --append old 3 && raftctl get old)" 23
is "an equal value takes no revision with --if-changed" "$(
    one=$(raftctl put -j old x | jq .rev)
    two=$(raftctl put -j --if-changed old x | jq .rev)
    [ "$one" = "$two" ] && echo same)" same
ok "a write to a full device" sh -c 'raftctl get k >/dev/full; test $? = 74'

# ---- errors as JSON ---------------------------------------------------------

# json_error NAME STATUS CODE COMMAND...: the line on stderr and the status of
# the command say the same.
json_error() {
	je_name=$1 je_status=$2 je_code=$3
	shift 3
	"$@" >"$T/out" 2>"$T/err"
	is "$je_name" "$?/$(jq -r '.error | "\(.exit)/\(.code)"' "$T/err")" \
	    "$je_status/$je_status/$je_code"
}
json_error "absent" 1 ABSENT raftctl -j get none
json_error "usage" 64 USAGE raftctl -j get
json_error "an option that is none" 64 USAGE raftctl -j get --none k
json_error "an address that is none" 64 USAGE raftctl -j -s srv:_x get k
json_error "too long a key" 64 TOO_LARGE \
    raftctl -j get "$(head -c 5000 /dev/zero | tr '\0' k)"
json_error "a file that is missing" 66 INPUT raftctl -j put k "@$T/none"
json_error "a file that cannot be read" 74 IO raftctl -j put k "@$T"
json_error "nobody there" 69 UNREACHABLE \
    raftctl -j -t 200ms -s "unix:$T/none" put k v
json_error "a wait that ran out" 124 TIMEOUT raftctl -j -t 100ms wait key none

# ---- environment ------------------------------------------------------------

must_fail "RAFT_TIMEOUT" 124 env RAFT_TIMEOUT=100ms raftctl wait key none
ok "-t beats it" env RAFT_TIMEOUT=1ms raftctl -t 5s get k
must_fail "RAFT_TIMEOUT without a unit" 64 env RAFT_TIMEOUT=5 raftctl get k
must_fail "RAFT_GROUP that is none" 64 env RAFT_GROUP=x raftctl get k
must_fail "no server is named" 64 env -u RAFT_ENDPOINTS raftctl get k
ok "a value may look like an option" raftctl put k --raw-value

end
