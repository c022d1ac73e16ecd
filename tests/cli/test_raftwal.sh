#!/bin/sh
# test_raftwal.sh: raftwal on the directory of a server that runs, that has
# stopped, and that was damaged: output, JSON shapes, exit statuses.
. "$(dirname "$0")/lib.sh"

lab -n 1
d=$RAFT_LAB/1
raftctl put apple red
printf 'a\377b' >"$T/key"
raftctl put blob - <"$T/key"
raftctl put -- -dash ''
raftctl del apple

# ---- a server that runs -----------------------------------------------------

ok "check: a log that is written is whole" raftwal check "$d"
raftwal check "$d" >"$T/check"
is "check: the verdict has its keys" \
    "$(tail -n 1 "$T/check" | jq -c keys)" \
    '["bytes","first","last","ok","records","segments"]'
raftwal dump --type entry "$d" >"$T/dump"
is "dump: what the clients asked for" \
    "$(jq -r '.op | [.method, .key, .value // .value_b64] | @csv' "$T/dump" |
	tr '\n' ' ')" \
    '"put","apple","red" "put","blob","Yf9i" "put","-dash","" "delete","apple", '
is "dump: the keys of a record" "$(head -n 1 "$T/dump" | jq -c keys)" \
    "$(echo '["file","offset","len","group","kind","index","term","stamp"]' |
	jq -c '. + ["checksum","hidden","op"] | sort')"
is "dump: a range takes both ends" \
    "$(raftwal dump --from 4 --to 5 "$d" | jq .index | tr '\n' ' ')" "4 5 "
is "dump: raw is the payload and nothing else" \
    "$(raftwal dump -o raw --type entry "$d" | head -c 4 | xxd -p)" "a3707574"
is "dump: hex on demand" "$(raftwal dump --encoding hex --type entry "$d" |
    head -n 1 | jq -r .op.key_hex)" "6170706c65"
is "dump: every line is an object" \
    "$(raftwal dump "$d" | jq -c type | sort -u)" '"object"'
is "stat: the group" "$(raftwal stat "$d" |
    jq -c '.groups[0] | [.group, .first, .vote, .damaged]')" '[1,1,1,false]'
is "ls: the first segment" "$(raftwal ls "$d" | head -n 1 |
    jq -c '[.file, .first, .ok]')" '["wal/0000000000000001.wal",1,true]'
is "-d says the directory too" \
    "$(raftwal ls -d "$d" | wc -l)" "$(raftwal -d "$d" ls | wc -l)"
is "text has a head" "$(raftwal ls -o text "$d" | head -n 1 | cut -c 1-4)" FILE
is "fields have none" "$(raftwal ls -o fields "$d" | head -n 1 | cut -f 1)" \
    wal/0000000000000001.wal
is "RAFT_OUTPUT chooses" \
    "$(RAFT_OUTPUT=text raftwal ls "$d" | head -n 1 | cut -c 1-4)" FILE
is "an option beats it" \
    "$(RAFT_OUTPUT=text raftwal ls -j "$d" | head -c 1)" "{"

raftwal tail -f -n 1 --type entry "$d" >"$T/follow" &
child $!
wait_for 5 test -s "$T/follow"
raftctl put late arrival
wait_for 5 grep -q late "$T/follow"
is "tail -f: the last one, and then what comes" \
    "$(jq -r .op.key "$T/follow" | tr '\n' ' ')" "apple late "
ok "a pipe that is closed early is no error" sh -c \
    'raftwal dump "$1" | head -n 1 >/dev/null' _ "$d"

# ---- usage ------------------------------------------------------------------

must_fail "no command" 64 raftwal
must_fail "no directory" 64 raftwal ls
must_fail "no such command" 64 raftwal mend "$d"
must_fail "no such option" 64 raftwal ls --sideways "$d"
must_fail "an option of another command" 64 raftwal ls -f "$d"
must_fail "not a number" 64 raftwal dump --from x "$d"
must_fail "no such type" 64 raftwal dump --type x "$d"
must_fail "two directories" 64 raftwal ls "$d" "$T"
must_fail "raw is for bytes" 64 raftwal ls -o raw "$d"
must_fail "no such format" 64 raftwal ls -o xml "$d"
must_fail "no such directory" 66 raftwal ls "$T/none"
must_fail "a directory without a log" 66 raftwal ls "$T"
must_fail "check cannot read" 8 raftwal check "$T/none"
must_fail "an error as JSON" 66 raftwal -j ls "$T/none"
is "has its parts" "$(jq -c '.error | [.code, .exit, .retry]' "$T/err")" \
    '["NO_INPUT",66,false]'

# ---- a server that has stopped, and its log damaged -------------------------

raftlab kill 1
cp -r "$d" "$T/copy"
ok "check: killed, and still whole" raftwal check "$T/copy"
segment=$T/copy/wal/0000000000000001.wal
used=$(raftwal ls "$T/copy" | head -n 1 | jq .used)

cp "$segment" "$T/segment"
printf 'half a write' | dd of="$segment" bs=1 seek=$((used + 600)) \
    conv=notrunc 2>/dev/null
raftwal check "$T/copy" >"$T/torn"
is "check: a torn tail is no damage" \
    "$? $(jq -r '.problem // .ok' "$T/torn" | tr '\n' ' ')" "0 torn true "

cp "$T/segment" "$segment"
at=$(raftwal dump --type entry "$T/copy" | head -n 1 | jq .offset)
printf X | dd of="$segment" bs=1 seek=$((at + 45)) conv=notrunc 2>/dev/null
must_fail "check: damage" 4 raftwal check "$T/copy"
is "names the record" "$(jq -c 'select(.index > 0 and .file != "") |
    [.offset, .group, .problem]' "$T/out")" "[$at,1,\"damaged\"]"
is "says what the group lacks" "$(jq -r 'select(.file == "") | .problem' \
    "$T/out")" missing
is "and the verdict" "$(tail -n 1 "$T/out" | jq .ok)" false
is "dump: the record is known from its copy" "$(raftwal dump --type entry \
    "$T/copy" | jq -c 'select(.checksum == "bad") | [.index, .op]')" "[3,null]"
is "stat: the group is damaged" \
    "$(raftwal stat "$T/copy" | jq '.groups[0].damaged')" true

# ---- repair -----------------------------------------------------------------

must_fail "repair: without --write it says that there is something to do" 1 \
    raftwal repair "$T/copy"
is "repair: nobody helps, and nothing can be proven" \
    "$(jq -r '.action // .ok' "$T/out" | tr '\n' ' ')" "leave leave false "
cp "$T/segment" "$segment"
python3 - "$segment" $((at + 45)) <<'EOF'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]))
    b = f.read(1)
    f.seek(int(sys.argv[2]))
    f.write(bytes([b[0] ^ 4]))
EOF
must_fail "check: one bit" 4 raftwal check "$T/copy"
must_fail "repair: one bit can be made good" 1 raftwal repair "$T/copy"
is "says how" "$(jq -r '.action // .ok' "$T/out" | tr '\n' ' ')" \
    "restore true "
must_fail "and has changed nothing" 4 raftwal check "$T/copy"
ok "repair --write makes it good" raftwal repair --write "$T/copy"
ok "byte for byte" cmp "$segment" "$T/segment"
is "what was there is in quarantine" \
    "$(find "$T/copy/quarantine" -name 'repair-*' | wc -l)" 1
ok "repair: nothing is left to do" raftwal repair "$T/copy"
(
	exec 9>>"$T/copy/LOCK"
	flock 9
	exec sleep 60
) &
holder=$!
child $holder
wait_for 5 sh -c '! flock -n "$1" true' _ "$T/copy/LOCK"
must_fail "repair --write: the directory is in use" 73 \
    raftwal repair --write "$T/copy"
kill $holder
wait $holder 2>/dev/null
must_fail "repair: nobody at the peer's address" 69 \
    raftwal repair --from-peer "unix:$T/none" "$T/copy"
must_fail "repair: only in a data directory" 66 raftwal repair --write "$T"
must_fail "recover: no plan" 64 raftwal recover "$T/copy"
echo '{"format":1}' >"$T/plan"
must_fail "recover: a plan that is none" 65 \
    raftwal recover --plan "$T/plan" "$T/copy"
printf X | dd of="$segment" bs=1 seek=$((at + 45)) conv=notrunc 2>/dev/null

cat "$T"/copy/wal/* | cksum >"$T/before"
raftwal check "$T/copy" >"$T/out"
is "looking changes nothing" "$(cat "$T"/copy/wal/* | cksum)" \
    "$(cat "$T/before")"

# raftd does not pretend: it says so, and a lone server then serves nothing.
raftd -n 1 -d "$T/copy" -p "$(raftlab ps | jq -r .peer)" -c "unix:$T/c" \
    --bootstrap "1=$(raftlab ps | jq -r .peer)" 2>"$T/log" </dev/null &
copy=$!
child $copy
must_fail "raftd does not serve from it" 69 \
    raftctl -t 3s -s "unix:$T/c" get late
like "and says where it is damaged" "$(grep level=error "$T/log")" \
    '*wal/0000000000000001.wal*damaged*'
kill -s KILL $copy
wait $copy 2>/dev/null

raftlab start 1
ok "the server itself comes back" raftctl get late

end
