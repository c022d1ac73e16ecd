#!/bin/sh
# demo.sh: a cluster of three stores what this machine has to say, loses its
# leader, and goes on.  `make demo` runs it.

set -u
cd "$(dirname "$0")/../.." || exit 71
PATH=$PWD/bin:$PATH
unset RAFT_LAB RAFT_ENDPOINTS RAFT_OUTPUT
T=$(mktemp -d /tmp/rkdemo.XXXXXX) || exit 71
finish() {
	trap '' INT TERM
	[ -z "${RAFT_LAB-}" ] || raftlab down
	rm -rf "$T"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

bold= plain=
if [ -t 1 ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi

title() {
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

run() { # COMMAND LINE
	printf '  $ %s\n' "$*"
	eval "$*" >"$T/out" 2>&1
	run_status=$?
	sed 's/^/    /' "$T/out"
	if [ $run_status -ne 0 ]; then
		echo "demo: that ended with status $run_status" >&2
		exit 1
	fi
}

now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

# store KEY FILE: puts a file; what was acknowledged is remembered.
store() {
	raftctl put "$1" "@$2" || exit 1
	printf '%s  %s\n' "$(sha256sum <"$2" | cut -d' ' -f1)" "$1" \
	    >>"$T/acknowledged"
}

title "Three servers on this machine."
echo '  $ eval "$(raftlab up -n 3)"'
lab=$(raftlab up -n 3) || exit
eval "$lab"
run 'raftctl -o text members | cut -c 1-76'

title "What this machine has to say goes in: its files, its commands' output."
echo '  $ for f in /etc/...; do raftctl put "$f" "@$f"; done'
for f in /etc/*; do
	if [ -f "$f" ] && [ -r "$f" ] && [ "$(stat -c %a "$f")" -ge 644 ] &&
	    [ "$(wc -c <"$f")" -le 262144 ]; then
		cp "$f" "$T/value"
		store "file$f" "$T/value"
	fi
done
for command in 'uname -a' 'id' 'df -P' 'cat /proc/cpuinfo' \
    'cat /proc/meminfo' 'cat /proc/mounts' 'ls -la /' 'dpkg-query -W'; do
	echo "  \$ $command | raftctl put 'command/$command' -"
	eval "$command" >"$T/value" 2>/dev/null
	store "command/$command" "$T/value"
done
stored=$(wc -l <"$T/acknowledged")
run 'raftctl ls --count'
run 'raftctl get "command/uname -a"'
run 'raftctl ls file/ | head -n 4'

leader=$(raftctl status -j | jq .leader)
title "Server $leader leads.  It dies by kill -9 while a writer is at work."
mkdir "$T/ticks"
(
	i=0
	while [ ! -e "$T/stop" ]; do
		i=$((i + 1))
		date +%s%N >"$T/ticks/$i.new"
		if raftctl -t 10s put "tick/$i" "@$T/ticks/$i.new"; then
			mv "$T/ticks/$i.new" "$T/ticks/$i"
			now_ms >>"$T/ack_times"
		fi
	done
) 2>"$T/writer.err" &
writer=$!
sleep 1
killed=$(now_ms)
run "raftlab kill $leader"
sleep 2
: >"$T/stop"
wait $writer
run 'raftctl -o text members | cut -c 1-76'
new=$(raftctl status -j | jq .leader)
gap=$(awk -v killed="$killed" '
    $1 >= killed && $1 - last > gap { gap = $1 - last }
    { last = $1 }
    END { print gap + 0 }' "$T/ack_times")
ticks=$(wc -l <"$T/ack_times")
title "Server $new leads now."
echo "  The longest pause between two writes was $gap ms."
echo "  The writer's writes that were acknowledged, before and after: $ticks."

title "Is anything missing?"
for f in "$T"/ticks/*; do
	case $f in *.new) continue ;; esac
	printf '%s  %s\n' "$(sha256sum <"$f" | cut -d' ' -f1)" \
	    "tick/${f##*/}" >>"$T/acknowledged"
done
missing=0
while read -r sum key; do
	got=$(raftctl get -- "$key" | sha256sum | cut -d' ' -f1)
	if [ "$got" != "$sum" ]; then
		echo "  LOST: $key"
		missing=$((missing + 1))
	fi
done <"$T/acknowledged"
total=$(wc -l <"$T/acknowledged")
echo "  $total writes were acknowledged: $stored from this machine before the"
echo "  kill, $ticks by the writer.  $missing are missing or differ."

title "The dead server comes back and catches up."
run "raftlab start $leader"
run 'raftctl -t 10s wait healthy'
equal() {
	raftctl status --all -j | jq -s -e \
	    'length == 3 and (map(.digest) | unique | length) == 1' \
	    >/dev/null 2>&1
}
tries=0
until equal || [ $tries -ge 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
run "raftctl status --all -j |
      jq -r '[.id, .role, .term, .applied, .digest] | @tsv'"
equal || { echo "demo: the servers differ" >&2 && exit 1; }
[ "$missing" -eq 0 ] || exit 1

title "That was it: one leader lost, no write lost."
echo '  To play: eval "$(bin/raftlab up)", then man man/raftctl.1'
