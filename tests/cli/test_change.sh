#!/bin/sh
# test_change.sh: incr, txn, edit, conditions of del, and writes that are
# carried out once.
. "$(dirname "$0")/lib.sh"

lab -n 3

# ---- incr -------------------------------------------------------------------

is "incr of an absent key counts from 0" "$(raftctl incr n)" 1
is "incr adds" "$(raftctl incr n 41)" 42
is "incr takes a negative number" "$(raftctl incr n -50)" -8
is "the value is a decimal number" "$(raftctl get n)" -8
is "incr -j has the number" \
    "$(raftctl incr -j n 3 | jq -c '[.value,.succeeded,.duplicate,.prev]')" \
    '[-5,true,false,null]'
echo 6 | raftctl put n -
is "a newline behind the number is no harm" "$(raftctl incr n)" 7
raftctl put word x
must_fail "incr of a word" 65 raftctl incr word
must_fail "incr by a word" 64 raftctl incr n x
must_fail "incr without a key" 64 raftctl incr
raftctl put n 9223372036854775807
must_fail "a sum that does not fit" 65 raftctl incr n

# ---- txn --------------------------------------------------------------------

raftctl put a 1
cat >"$T/txn" <<'END'
{"if": [{"key": "a", "value": "1"}, {"key": "b", "exists": false}],
 "then": [{"put": {"key": "b", "value": "2"}}, {"del": {"key": "a"}},
	  {"range": {"prefix": ""}}],
 "else": [{"get": {"key": "b"}}]}
END
ok "a transaction whose conditions hold" \
    sh -c 'raftctl txn -j "$1" >"$2"' _ "$T/txn" "$T/got"
is "says so" "$(jq -c '[.succeeded,.duplicate,(.results|length)]' "$T/got")" \
    '[true,false,3]'
is "its operations see one another" \
    "$(jq -c '[.results[2].records[].key]' "$T/got")" '["b","n","word"]'
is "its records look like those of get" \
    "$(jq -c '.results[0] | keys' "$T/got")" \
    '["create_rev","group","key","lease","mod_rev","value","version"]'
is "it did both" "$(raftctl get b)$(raftctl ls a)" 2
must_fail "the same again takes the other branch" 1 raftctl txn -j "$T/txn"
is "which gets" "$(jq -r '.results[0].value' "$T/out")" 2
is "a transaction from standard input" \
    "$(echo '{"then":[{"put":{"key":"b","value_b64":"/w=="}}]}' |
	raftctl txn - >/dev/null; raftctl get b | xxd -p)" ff
echo '{"if":' >"$T/bad"
must_fail "broken JSON" 65 raftctl txn "$T/bad"
echo '[]' >"$T/bad"
must_fail "JSON of another kind" 65 raftctl txn "$T/bad"
echo '{"then":[{"jump":{}}]}' >"$T/bad"
must_fail "an operation that there is not" 64 raftctl txn "$T/bad"
must_fail "a file that there is not" 66 raftctl txn "$T/none"

# ---- edit -------------------------------------------------------------------

export EDITOR='sed -i s/1/one/'
unset VISUAL
raftctl put e 'is 1'
ok "edit" raftctl edit e
is "stores what the editor left" "$(raftctl get e)" 'is one'
rev=$(raftctl get -j e | jq .mod_rev)
ok "edit that changes nothing" raftctl edit e
is "takes no revision" "$(raftctl get -j e | jq .mod_rev)" "$rev"
cat >"$T/editor" <<'END'
#!/bin/sh
raftctl put e theirs && echo mine >"$1"
END
chmod +x "$T/editor"
must_fail "edit of a key that another one changes" 1 \
    env EDITOR="$T/editor" raftctl edit e
is "does not overwrite that" "$(raftctl get e)" theirs
kept=$(sed -n "s/.*what you wrote is in '\(.*\)'/\1/p" "$T/err")
is "and keeps what was written" "$(cat "$kept")" mine
rm -f "$kept"
must_fail "an editor that fails" 1 env EDITOR=false raftctl edit e
must_fail "no editor" 64 env -u EDITOR raftctl edit e

# ---- del --------------------------------------------------------------------

must_fail "del --if-rev of another revision" 1 raftctl del --if-rev 1 e
is "leaves the key" "$(raftctl get e)" theirs
ok "del --if-rev" raftctl del --if-rev "$(raftctl get -j e | jq .mod_rev)" e
must_fail "removes it" 1 raftctl get e
must_fail "del --if-rev of a prefix" 64 raftctl del --if-rev 1 --prefix x

# ---- once -------------------------------------------------------------------

ok "put --request-id" raftctl put --append --request-id r1 log x
is "again it is a duplicate" \
    "$(raftctl put -j --append --request-id r1 log x | jq .duplicate)" true
is "which changed nothing" "$(raftctl get log)" x
for id in 1 2 3; do
	is "server $id knows it, too" "$(raftctl -s "$(client_of $id)" put -j \
	    --append --request-id r1 log x | jq .duplicate)" true
done
is "the value was put once" "$(raftctl get log)" x
must_fail "the id with another value" 64 \
    raftctl put --append --request-id r1 log y
must_fail "an empty id" 64 raftctl put --request-id "" log y
is "incr --request-id" "$(raftctl incr --request-id r2 c)" 1
is "prints the first outcome again" "$(raftctl incr --request-id r2 c)" 1
is "del --request-id" "$(raftctl del -j --request-id r3 c log |
    jq -c '[.deleted,.duplicate]')" '[2,false]'
is "is a duplicate the second time" "$(raftctl del -j --request-id r3 c log |
    jq -c '[.deleted,.duplicate]')" '[2,true]'
raftctl txn --request-id r4 "$T/bad" >/dev/null 2>&1
echo '{"then":[{"put":{"key":"t","value":"1"}}]}' >"$T/txn"
raftctl txn --request-id r5 "$T/txn" >/dev/null
is "txn --request-id" \
    "$(raftctl txn -j --request-id r5 "$T/txn" | jq .duplicate)" true

# Over a leader's death, and the restart of all.
ok "once more before the leader dies" \
    raftctl put --append --request-id r6 once x
raftlab kill "$(leader)"
wait_for 20 raftctl -t 1s put probe 1
is "the next leader knows" "$(raftctl -t 20s put -j --append \
    --request-id r6 once x | jq .duplicate)" true
for id in 1 2 3; do
	raftlab kill $id >/dev/null 2>&1
done
for id in 1 2 3; do
	raftlab start $id
done
is "so do all after a restart" "$(raftctl -t 20s put -j --append \
    --request-id r6 once x | jq .duplicate)" true
is "it was put once" "$(raftctl -t 20s get once)" x
ok "all have one digest" wait_for 20 same_digest

end
