#!/bin/sh
# test_faults.sh: faults on a lab without root: processes, the journal, what
# is left when the program is killed, scenarios.
. "$(dirname "$0")/lib.sh"

lab -n 3
state() { # ID
	raftlab ps -j | jq -r "select(.id == $1) |
	    if .paused then \"paused\" elif .running then \"running\"
	    else \"dead\" end"
}
is_state() { # ID STATE
	[ "$(state "$1")" = "$2" ]
}
active() {
	faults list | jq -r .kind | tr '\n' ' '
}

ok "nothing is active at first" faults list
ok "a server is paused" faults pause 2
is "it does not run" "$(state 2)" paused
must_fail "list says so by its status" 1 faults list
is "and names it" "$(jq -c '[.kind, .to, .until, .mechanism]' "$T/out")" \
    '["pause",[2],null,"SIGSTOP"]'
must_fail "a second fault of that server is refused" 75 faults kill 2
ok "resume ends it" faults resume 2
is "it runs" "$(state 2)" running
ok "and nothing is active" faults list
must_fail "what is not paused cannot be resumed" 1 faults resume 2

ok "a server is killed" faults kill 3
is "it is dead" "$(state 3)" dead
must_fail "what is dead cannot be paused" 75 faults pause 3
ok "restart starts it" faults restart 3
is "it is there" "$(state 3)" running
old=$(pid_of 3)
ok "restart of one that runs" faults restart 3
is "gives it a new process" "$([ "$(pid_of 3)" != "$old" ] && echo yes)" yes

ok "a fault for a time heals itself" faults --for 200ms pause 1
is "the server runs" "$(state 1)" running
ok "pause has a time of its own" faults pause 1 200ms
is "and the server runs then" "$(state 1)" running

# ^C heals; kill -9 leaves it to the watchdog.
for signal in INT=130 TERM=143 HUP=129; do
	want=${signal#*=} signal=${signal%=*}
	faults --for 60s pause 2 >/dev/null &
	pid=$!
	child $pid
	wait_for 5 is_state 2 paused
	kill -s "$signal" $pid
	wait $pid
	is "SIG$signal ends it" "$?" "$want"
	is "SIG$signal ends and heals" "$(state 2)" running
done
faults --for 60s pause 2 >/dev/null &
pid=$!
child $pid
wait_for 5 is_state 2 paused
kill -s KILL $pid
ok "the watchdog heals after kill -9" wait_for 5 is_state 2 running
ok "and nothing is active" wait_for 5 faults list

# A journal that nobody looks after.
faults kill 1 >/dev/null
faults pause 2 >/dev/null
faults cpu 3 50% >"$T/out" 2>"$T/err" || note "$(cat "$T/err")"
like "all stand in the list" "$(active)" "kill pause *"
ok "heal --all heals all of them" faults heal --all
is "the killed one runs" "$(state 1)" running
is "the paused one runs" "$(state 2)" running
ok "nothing is left" faults list
is "nothing is left in the journal" \
    "$(find "$RAFT_LAB/faults" -name '*.fault')" ""

# A starved server gets its share and no more, whatever there is to do.
ticks() { # ID: user and system time in hundredths of a second
	sed 's/.*) //' "/proc/$(pid_of "$1")/stat" | awk '{ print $12 + $13 }'
}
share_of() { # ID: of one processor, in percent, under load for two seconds
	loadgen run -s "$(client_of "$1")" --clients 64 --pipeline 4 \
	    --time 2s --warmup 0s --mix get=1 --read stale --keys 100 \
	    --timeout 2s --progress none >/dev/null &
	share_pid=$!
	child $share_pid
	sleep 0.3
	share_then=$(ticks "$1") share_at=$(true_ms)
	sleep 1.2
	echo $((($(ticks "$1") - share_then) * 1000 / ($(true_ms) - share_at)))
	wait $share_pid
}
true_ms() {
	echo $(($(date +%s%N) / 1000000))
}
id=$(follower)
free=$(share_of "$id")
if faults cpu "$id" 3% >"$T/out" 2>"$T/err"; then
	starved=$(share_of "$id")
	ok "3 % of a processor are at most 6: $free %, then $starved %" \
	    test "$starved" -le 6 -a "$free" -gt 6
	ok "heal" faults heal
else
	skip "a starved server" "$(head -n 1 "$T/err")"
fi

# A clock that is wrong: read from what the server writes and says.
hours_ahead() { # ID: its last line, rounded; up to 100 behind
	logged=$(tail -n 1 "$RAFT_LAB/$1.log" | sed 's/^ts=//; s/ .*//')
	echo $((($(date -d "$logged" +%s) - $(date +%s) + 361800) / 3600 - 100))
}
uptime_ms() {
	raftctl -s "$(client_of 2)" status -j | jq .uptime_ms
}
# No preloaded library comes before a sanitizer.
if [ "${build##*/}" = gcc ] || [ "${build##*/}" = clang ]; then
	ok "a server's clock is an hour ahead, and gains a fifth" \
	    faults clock 2 +1h +20%
	is "its log says so" "$(hours_ahead 2)" 1
	is "but not that of others" "$(hours_ahead 1)" 0
	# asking takes time: what passed lies between two figures
	begun=$(true_ms) up=$(uptime_ms) asked=$(true_ms)
	sleep 1
	again=$(true_ms) shown=$(($(uptime_ms) - up)) ended=$(true_ms)
	ok "its time passes faster: $shown ms in $((again - asked)) to $((\
	    ended - begun)) ms" test \
	    $((shown * 100)) -ge $(((again - asked) * 119)) -a \
	    $((shown * 100)) -le $(((ended - begun) * 121))
	ok "it serves" raftctl -s "$(client_of 2)" -t 10s put clock x
	ok "it keeps its clock when it is started again" \
	    raftlab stop 2
	raftlab start 2
	is "as its log says" "$(hours_ahead 2)" 1
	ok "heal" faults heal
	is "and its clock is right" "$(hours_ahead 2)" 0
	ok "a clock that is behind" faults clock 2 -2h
	is "by its log" "$(hours_ahead 2)" -2
	ok "heal" faults heal
	is "nothing of it is left" "$(ls "$RAFT_LAB"/*.env 2>/dev/null)" ""
else
	skip "clocks" "no preloaded library goes with a sanitizer"
fi
must_fail "not an offset" 64 faults clock 2 1h
must_fail "too fast" 64 faults clock 2 +200%

must_fail "a network fault wants addresses" 78 faults isolate 1
like "and says what to use" "$(cat "$T/err")" "*--tcp or --netns*"
must_fail "a full disk wants a disk" 78 faults disk full 1
is "a refused fault is not active" "$(active)" ""
must_fail "no such server" 64 faults kill 4
must_fail "no such fault" 64 faults explode 1
must_fail "no such lab" 66 faults --lab "$T" list
must_fail "an option that has no use here" 64 faults --for 1s list
must_fail "a time without a unit" 64 faults --for 5 pause 1

cat >"$T/scenario" <<'END'
at 0 kill 1 for 300ms	# comes back
at 100ms pause 2 for 100ms
at 500ms pause 3
END
ok "a scenario is done" faults run "$T/scenario"
is "in order, and healed at its end" \
    "$(jq -r '[.kind, (.to[0] | tostring), (.until != null | tostring)] |
	join(" ")' "$T/tap.out" | tr '\n' ',')" \
    "kill 1 false,pause 2 false,pause 2 true,kill 1 true,pause 3 false,pause 3 true,"
is "its events are on file too" "$(tail -n 6 "$RAFT_LAB/faults/events")" \
    "$(cat "$T/tap.out")"
ok "all run" faults list
printf 'at 0 frob 1\n' >"$T/bad"
must_fail "a scenario with an unknown fault" 65 faults run "$T/bad"
must_fail "no scenario" 66 faults run "$T/none"

faults nemesis --seed 5 --for 5m --kinds process --dry-run >"$T/a"
faults nemesis --seed 5 --for 5m --kinds process --dry-run >"$T/b"
ok "a nemesis is the same for the same seed" cmp "$T/a" "$T/b"
ok "and draws something" grep -q '^at [0-9]*ms pause ' "$T/a"
faults nemesis --seed 6 --for 5m --kinds process --dry-run >"$T/b"
is "and another for another" "$(cmp -s "$T/a" "$T/b" || echo other)" other

# kill -9 at any moment, and heal.
n=0
while [ $n -lt 10 ]; do
	n=$((n + 1))
	faults --for 60s pause $((n % 3 + 1)) >/dev/null 2>&1 &
	pid=$!
	sleep "0.0$n"
	kill -s KILL $pid 2>/dev/null
	wait $pid 2>/dev/null
	faults heal --all >/dev/null || note "heal: status $?"
done
ok "after kill -9 at ten moments nothing is left" faults list
is "and all servers run" "$(raftlab ps -j | jq -c '[.running, .paused]' |
    sort -u)" "[true,false]"

faults pause 1 >/dev/null
ok "raftlab down heals first" raftlab down
ok "and leaves no directory" test ! -e "$RAFT_LAB"
echo "1..$tap_n"
[ "$tap_failed" -eq 0 ]
