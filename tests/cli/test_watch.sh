#!/bin/sh
# test_watch.sh: changes as they happen, in order, without gaps, once each.
. "$(dirname "$0")/lib.sh"

lab -n 3

# Types, keys and values of the events in a file, one a line.
events() {
	jq -r 'select(.type == "put" or .type == "delete") |
	    [.type, .key, .value] | map(. // "-") | join(" ")' "$1"
}

for i in 1 2 3; do
	raftctl put p/$i v$i
done
raftctl put q x
raftctl del p/2
rev=$(raftctl get -j q | jq .mod_rev)

# ---- from a revision --------------------------------------------------------

raftctl watch -j --prefix --since 1 --count 3 p/ >"$T/w"
is "events behind a revision" "$(events "$T/w" | tr '\n' ';')" \
    'put p/2 v2;put p/3 v3;delete p/2 -;'
is "an event tells what was there" \
    "$(jq -r 'select(.type == "delete").prev.value' "$T/w")" v2
is "its keys" "$(head -n 1 "$T/w" | jq -c keys)" \
    '["group","key","prev","rev","type","value"]'
raftctl watch -j --since 0 --once q >"$T/w"
is "one key alone" "$(events "$T/w")" 'put q x'
raftctl watch -j --initial --prefix --count 2 p/ >"$T/w"
is "--initial lists what is there" "$(events "$T/w" | tr '\n' ';')" \
    'put p/1 v1;put p/3 v3;'
must_fail "--stall" 124 raftctl watch --stall 300ms --since "$rev" none
is "sync is told when all is caught up" \
    "$(jq -r .type "$T/out" | head -n 1)" sync
must_fail "no key" 64 raftctl watch
must_fail "an empty key" 64 raftctl watch ""
must_fail "a bad --since" 64 raftctl watch --since x k
must_fail "a bad --on-compacted" 64 raftctl watch --on-compacted maybe k

# ---- as they happen, while leaders die --------------------------------------

raftctl watch -j --prefix --since "$rev" --count 200 seq/ >"$T/live" &
watcher=$!
child $watcher
i=0
while [ $i -lt 200 ]; do
	raftctl -t 20s put seq/$((i % 7)) $i
	i=$((i + 1))
	case $i in
	60 | 130)
		victim=$(leader)
		raftlab kill "$victim"
		raftlab start "$victim"
		;;
	esac
done
ok "a watcher sees all" wait_for 30 gone $watcher
is "in order, each once" "$(jq -r 'select(.type == "put").value' "$T/live")" \
    "$(seq 0 199)"

# ---- handlers and cursors ---------------------------------------------------

raftctl put h start
rev=$(raftctl get -j h | jq .mod_rev)
echo "$rev" >"$T/cursor"
for i in 1 2 3 4 5 6; do
	raftctl put h $i
done
cat >"$T/handler" <<'END'
#!/bin/sh
line=$(cat)
if [ "$RAFT_WATCH_VALUE" = 3 ] && [ ! -e "$1.failed" ]; then
	: >"$1.failed"
	exit 1
fi
test "$(echo "$line" | jq -r .value)" = "$RAFT_WATCH_VALUE" || exit 0
echo "$RAFT_WATCH_TYPE $RAFT_WATCH_KEY $RAFT_WATCH_VALUE" >>"$1"
END
chmod +x "$T/handler"
ok "a handler" raftctl watch --cursor "$T/cursor" --count 2 h -- \
    "$T/handler" "$T/seen"
is "gets the events" "$(tr '\n' ';' <"$T/seen")" 'put h 1;put h 2;'
is "the cursor is behind them" "$(cat "$T/cursor")" $((rev + 2))
ok "a handler that fails" raftctl watch --cursor "$T/cursor" --count 4 h -- \
    "$T/handler" "$T/seen"
is "is run again, and nothing is left out" "$(tr '\n' ';' <"$T/seen")" \
    'put h 1;put h 2;put h 3;put h 4;put h 5;put h 6;'
is "the cursor is behind all" "$(cat "$T/cursor")" $((rev + 6))
must_fail "a handler that there is not" 127 \
    raftctl watch --since "$rev" h -- "$T/none"
echo x >"$T/bad"
must_fail "a cursor that is none" 65 raftctl watch --cursor "$T/bad" h

printf 'a\377\nb' | raftctl put raw -
ok "bytes that are no text" sh -c 'raftctl watch --since "$1" --once raw -- \
    sh -c "printf %s \"\$RAFT_WATCH_VALUE\" >\"$2\""' _ $((rev + 6)) "$T/raw"
is "come as they are" "$(od -An -tx1 "$T/raw" | tr -d ' \n')" 61ff0a62

# A watcher killed and run again sees every event at least once, in order.
echo "$rev" >"$T/cursor"
: >"$T/seen"
n=0
while [ $n -lt 10 ]; do
	raftctl put h n$n
	raftctl watch --cursor "$T/cursor" h -- "$T/handler" "$T/seen" &
	watcher=$!
	child $watcher
	wait_for 10 grep -q "n$n\$" "$T/seen"
	kill -s KILL $watcher
	wait $watcher 2>/dev/null
	n=$((n + 1))
done
is "a watcher killed ten times sees all, in order" \
    "$(awk '{ print $3 }' "$T/seen" | uniq | tr '\n' ' ')" \
    '1 2 3 4 5 6 n0 n1 n2 n3 n4 n5 n6 n7 n8 n9 '

end
