#!/bin/sh
# test_output.sh: shapes and formats of what raftctl prints, through jq.
. "$(dirname "$0")/lib.sh"

lab -n 1
raftctl put a 1
raftctl put a 2
raftctl put b "$(printf 'x"\\\ny')"
printf '\200\0' | raftctl put bin -

# keys COMMAND...: the sorted keys of each object, one line.
keys() {
	"$@" | jq -c 'keys_unsorted | sort' | sort -u
}

# ---- records ----------------------------------------------------------------

is "get -j has all keys of a record" "$(keys raftctl get -j a)" \
    '["create_rev","group","key","lease","mod_rev","value","version"]'
is "get -j of bytes has value_b64" "$(raftctl get -j bin | jq -r .value_b64)" \
    "$(printf '\200\0' | base64)"
is "and no value" "$(raftctl get -j bin | jq 'has("value")')" false
is "text survives JSON" "$(raftctl get -j b | jq -r .value)" \
    "$(printf 'x"\\\ny')"
is "version counts the puts" "$(raftctl get -j a | jq .version)" 2
is "mod_rev follows create_rev" \
    "$(raftctl get -j a | jq '.mod_rev > .create_rev')" true
is "revisions are numbers" \
    "$(raftctl get -j a | jq -c '[.mod_rev,.create_rev,.version] |
    map(type) | unique')" '["number"]'
is "identifiers are strings" "$(raftctl get -j a | jq -r '.lease|type')" \
    "$(raftctl get -j a | jq -r 'if .lease == null then "null"
    else "string" end')"
is "one object is one line" "$(raftctl get -j b | wc -l)" 1
is "ls -j has the same shape" "$(keys raftctl ls -j a)" \
    '["create_rev","group","key","lease","mod_rev","value","version"]'
is "get --rev shows the record" \
    "$(raftctl get --rev -j a | jq -r .key)" a
is "--encoding=base64 forces one form" \
    "$(raftctl get -j --encoding=base64 a | jq -rc '[.key_b64,.value_b64]')" \
    '["YQ==","Mg=="]'
is "--encoding=hex as well" "$(raftctl get -j --encoding=hex a |
    jq -c 'has("key") or has("value")')" false
is "RAFT_OUTPUT decides" "$(RAFT_OUTPUT=json raftctl get a | jq -r .value)" 2
is "an option beats it" "$(RAFT_OUTPUT=json raftctl -o raw get a)" 2
is "-o json before the command" "$(raftctl -o json get a | jq -r .value)" 2
must_fail "an unknown format" 64 raftctl -o yaml get a

# ---- answers to changes -----------------------------------------------------

shape='["duplicate","group","prev","rev","succeeded"]'
is "put -j" "$(keys raftctl put -j c 1)" "$shape"
is "put -j over a value" "$(keys raftctl put -j c 2)" "$shape"
is "prev is the record before" \
    "$(raftctl put -j c 3 | jq -r .prev.value)" 2
is "prev is null when there was none" \
    "$(raftctl put -j d 1 | jq -c .prev)" null
is "a revision rises by each put" "$(
    one=$(raftctl put -j c x | jq .rev)
    two=$(raftctl put -j c x | jq .rev)
    [ "$two" -gt "$one" ] && echo yes)" yes
is "del -j adds deleted" "$(keys raftctl del -j c)" \
    '["deleted","duplicate","group","prev","rev","succeeded"]'

# ---- conditions -------------------------------------------------------------

ok "--if-absent where nothing is" raftctl put --if-absent n 1
must_fail "--if-absent where something is" 1 raftctl put --if-absent n 2
is "it was not put" "$(raftctl get n)" 1
rev=$(raftctl get -j n | jq .mod_rev)
ok "--if-rev with the right one" raftctl put --if-rev "$rev" n 3
must_fail "--if-rev with an old one" 1 raftctl put --if-rev "$rev" n 4
is "a refused put with -j prints the record" \
    "$(raftctl put -j --if-rev "$rev" n 4 | jq -r \
    '[.succeeded, (.prev.value // .value)] | @csv')" 'false,"3"'
ok "--if-value with the right one" raftctl put --if-value 3 n 5
must_fail "--if-value with another" 1 raftctl put --if-value 3 n 6
is "the last good one stays" "$(raftctl get n)" 5
must_fail "--if-rev without a number" 64 raftctl put --if-rev x n 1

# ---- errors as JSON ---------------------------------------------------------

raftctl -j -t 300ms -s "unix:$T/none" get a 2>"$T/err" >"$T/out"
is "an error's status" $? 69
is "is one line of JSON on stderr" "$(wc -l <"$T/err")" 1
is "with all of its keys" "$(jq -c '.error | keys_unsorted | sort' "$T/err")" \
    '["cause","code","exit","message","retry"]'
is "and the real cause" "$(jq -r '.error.cause' "$T/err" |
    grep -c "$T/none")" 1
is "stdout is empty" "$(wc -c <"$T/out")" 0

# ---- status and members -----------------------------------------------------

is "status has all keys" "$(raftctl status -j | jq -c '["address","applied",
    "client","cluster","commit","digest","disk","first","fsync_ms","group","id",
    "last","leader","name","ok","protocol","role","term","unsafe",
    "uptime_ms","version"] - keys')" '[]'
is "members has all keys" "$(raftctl members -j | jq -c '["address",
    "contact_ms","group","id","in_sync","lag_bytes","lag_entries","match",
    "name","priority","role","snapshot","voter","zone"] - keys')" '[]'
is "status is JSON where no terminal is" \
    "$(raftctl status | jq -r .role)" leader
is "members is JSON where no terminal is" \
    "$(raftctl members | jq -r .role)" leader
like "status -o text is a table" "$(raftctl -o text status)" '*[Rr][Oo][Ll][Ee]*'
is "-o fields has lines of name=value" \
    "$(raftctl -o fields status | grep -c '^role[=: ]')" 1

end
