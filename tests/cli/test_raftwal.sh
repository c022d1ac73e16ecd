#!/bin/sh
# test_raftwal.sh: the log of a live and of a stopped server, whole, torn and
# damaged.
. "$(dirname "$0")/lib.sh"

# ---- usage ------------------------------------------------------------------

must_fail "no command" 64 raftwal
must_fail "an unknown command" 64 raftwal frobnicate "$T"
must_fail "an unknown option" 64 raftwal ls --frobnicate "$T"
must_fail "no directory" 64 raftwal ls
must_fail "a directory that is missing" 66 raftwal ls "$T/none"
must_fail "check, as fsck(8) has it" 8 raftwal check "$T/none"
must_fail "an index that is none" 64 raftwal dump --from x "$T"
must_fail "a type that is none" 64 raftwal dump --type x "$T"
for word in --help --version; do
	ok "$word is status 0" raftwal $word
done

# ---- a live log -------------------------------------------------------------

lab -n 1
dir=$RAFT_LAB/1
for i in 1 2 3 4 5; do
	raftctl put "key $i" "value $i"
done
printf '\377\0' | raftctl put bytes -
raftctl del 'key 2'

entries() { # OPTION...
	raftwal dump --type entry "$@" "$dir"
}
is "dump has each entry, decoded" "$(entries | jq -r \
    'select(.op.method == "put" and .op.key) | .op.key' | tr '\n' ,)" \
    'key 1,key 2,key 3,key 4,key 5,bytes,'
is "bytes are in base64" "$(entries | jq -r 'select(.op.key == "bytes") |
    .op.value_b64')" /wA=
is "all checksums are right" "$(raftwal dump "$dir" |
    jq -r .checksum | sort -u)" ok
is "each record has these keys" "$(raftwal dump "$dir" | jq -c '["file",
    "offset","len","group","kind","index","term","checksum","op"] - keys' |
    sort -u)" '[]'
is "indexes rise one by one" "$(raftwal dump "$dir" | jq -s -c \
    '[.[] | select(.index > 0) | .index] | . == [range(1; length + 1)]')" true
first=$(entries | jq -s '.[0].index')
is "--from and --to are inclusive" "$(entries --from $((first + 1)) \
    --to $((first + 2)) | jq -r .op.key | tr '\n' ,)" 'key 2,key 3,'
is "--group of nobody" "$(raftwal dump --group 77 "$dir" | wc -l)" 0
is "--type config names the members" "$(raftwal dump --type config "$dir" |
    jq -c '[.op.config.members[].id]')" '[1]'
is "tail shows the last" "$(raftwal tail -n 1 --type entry "$dir" |
    jq -r .op.method)" delete
is "ls has one line a segment" "$(raftwal ls "$dir" | jq -r .file)" \
    "$(cd "$dir" && ls wal/*.wal)"
is "stat has figures" "$(raftwal stat "$dir" | jq -c '.groups | length')" 1
is "check of a live log" "$(raftwal check "$dir" | jq .ok)" true
like "a table on a terminal" "$(script -qec "raftwal ls $dir" /dev/null)" \
    '*FILE*wal*'
raftwal tail -f --type entry "$dir" >"$T/tail" 2>&1 &
follow=$!
child $follow
followed() {
	grep -q '"late"' "$T/tail"
}
wait_for 5 test -s "$T/tail"
raftctl put late 1
ok "tail -f shows what comes" wait_for 10 followed
kill -s TERM $follow
wait $follow
is "tail -f ends with SIGTERM" $? 143
ok "a closed pipe is no error" sh -c 'raftwal dump "$1" | head -n 1' _ "$dir"

# ---- a stopped one ----------------------------------------------------------

raftlab kill 1
is "check after kill -9" "$(raftwal check "$dir" | tail -n 1 | jq .ok)" true
raftlab start 1
raftlab stop 1
is "check after SIGTERM" "$(raftwal check "$dir" | tail -n 1 | jq .ok)" true
is "looking changes nothing" "$(
    a=$(cat "$dir"/wal/* | cksum)
    raftwal check "$dir" >/dev/null
    [ "$(cat "$dir"/wal/* | cksum)" = "$a" ] && echo yes)" yes

# A damaged byte in an entry that others follow.
cp -r "$dir" "$T/damaged"
offset=$(entries | jq -s '.[1].offset + .[1].len - 4')
file=$(entries | jq -r -s '.[1].file')
printf 'X' | dd of="$T/damaged/$file" bs=1 seek="$offset" conv=notrunc \
    2>/dev/null
must_fail "check of a damaged log" 4 raftwal check "$T/damaged"
is "names the problem" "$(jq -r 'select(.problem) | .problem' "$T/out" |
    head -n 1)" damaged
is "and where it is" "$(jq -c 'select(.problem) | [.file,
    .offset <= '"$offset"', .offset + .len >= '"$offset"']' "$T/out" |
    head -n 1)" "[\"$file\",true,true]"
is "its last line says no" "$(tail -n 1 "$T/out" | jq .ok)" false
# It does not pretend: it says so, and a lone server then serves nothing.
raftd -n 1 -d "$T/damaged" -p "$(raftlab ps | jq -r .peer)" -c "unix:$T/c" \
    --bootstrap "1=$(raftlab ps | jq -r .peer)" 2>"$T/log" </dev/null &
child $!
must_fail "raftd does not serve from it" 69 \
    raftctl -t 3s -s "unix:$T/c" get 'key 1'
like "and says where it is damaged" "$(grep level=error "$T/log")" \
    "*$file*damaged*"

# A batch that a crash tore: what follows the last whole one is not sound.
cp -r "$dir" "$T/torn"
raftwal ls "$dir" | jq -r 'select(.records > 0) | [.used, .file] | @tsv' |
    tail -n 1 >"$T/used"
read -r used file <"$T/used"
head -c 700 "$dir/$file" | dd of="$T/torn/$file" bs=1 seek="$used" \
    conv=notrunc 2>/dev/null
raftwal check "$T/torn" >"$T/out" 2>&1
is "a torn tail is no damage" $? 0 || show "$T/out"
is "it is named" "$(jq -r 'select(.problem) | .problem' "$T/out" |
    sort -u)" torn

end
