#!/bin/sh
# test_killed_faults.sh: faults is killed at any moment, and heal --all leaves
# nothing behind, of no kind.  KILLS=56 for more than six.
# alone: whoever looks at all loop devices keeps those of others in use
. "$(dirname "$0")/../cli/lib.sh"

if [ "$(id -u)" != 0 ] || ! losetup -f >/dev/null 2>&1; then
	skip "kill -9 of faults" "needs root and loop devices"
	end
fi
if ! iptables -w 10 -t mangle -nL >/dev/null 2>&1 ||
    ! iptables -w 10 -nL >/dev/null 2>&1; then
	skip "kill -9 of faults" "no iptables"
	end
fi
kills=${KILLS:-6}
iptables -A INPUT -s 127.77.77.78 -m comment --comment foreign$$ -j DROP
trap 'iptables -D INPUT -s 127.77.77.78 -m comment --comment foreign$$ -j DROP
	finish' EXIT
machine() {
	iptables-save 2>/dev/null | sed '/^#/d; s/ \[[0-9:]*\]$//' |
	    grep -e FAULTS-"$run" -e "foreign$$"
	tc qdisc show dev lo
	mount | grep -F "$RAFT_LAB/" | sort
	find /sys/fs/cgroup -name "faults-$run-*" 2>/dev/null
	find "$RAFT_LAB" -name 'torn.*' -o -name ballast -o -name '*.env' \
	    -o -name 'queue.*' -o -name '*.fault'
}
lab -n 3 --tcp --disk 64M
host=$(raftlab ps -j | jq -r 'select(.id == 1).peer' | sed 's/:.*//')
faults isolate 1 >/dev/null
run=$(iptables -S | sed -n "s/^-A FAULTS-\([0-9a-f]*\) -s $host.*/\1/p" |
    head -n 1)
like "the name of its rules" "$run" "????????"
faults heal >/dev/null
machine >"$T/before"
ok "a rule that is not of faults stands there" grep -q "foreign$$" "$T/before"
all_run() {
	[ "$(raftlab ps -j | jq -c '[.running, .paused]' | sort -u)" = \
	    "[true,false]" ]
}
disks_take() { # neither full nor frozen
	for d in 1 2 3; do
		timeout 5 dd if=/dev/zero of="$RAFT_LAB/$d.disk/probe" bs=4096 \
		    count=1 conv=fsync 2>/dev/null || return 1
		rm -f "$RAFT_LAB/$d.disk/probe"
	done
}
nobody_traced() {
	for pid in $(raftlab ps -j | jq -r '.pid // empty'); do
		! grep -h '^TracerPid:' "/proc/$pid"/task/*/status |
		    grep -qv '	0$' || return 1
	done
}
strace=eio
strace -o /dev/null true 2>/dev/null || strace=stall
n=0
while [ $n -lt "$kills" ]; do
	n=$((n + 1))
	id=$((n % 3 + 1))
	case $((n % 14)) in
	0) set -- isolate $id ;;
	1) set -- clock $id +1h ;;
	2) set -- delay $id 20ms ;;
	3) set -- disk torn $id ;;
	4) set -- kill $id ;;
	5) set -- disk stall $id ;;
	6) set -- rate $id 1mbit ;;
	7) set -- cpu $id ;;
	8) set -- disk full $id ;;
	9) set -- pause $id ;;
	10) set -- disk powerloss $id ;;
	11) set -- disk $strace $id ;;
	12) set -- loss $id 5% ;;
	13) set -- stop $id ;;
	esac
	[ $((n % 2)) -eq 0 ] || set -- --for 60s "$@"
	faults "$@" >/dev/null 2>&1 &
	pid=$!
	sleep "0.$(awk -v n=$n -v seed=$$ 'BEGIN {
	    srand(n * 100 + seed); printf "%03d", int(rand() * 300) }')"
	kill -s KILL $pid 2>/dev/null
	wait $pid 2>/dev/null
	faults heal --all >"$T/out" 2>"$T/err" || {
		tap 1 "heal --all after kill -9 of faults $*"
		show "$T/err"
		break
	}
	machine >"$T/after"
	cmp -s "$T/before" "$T/after" && faults list >/dev/null && all_run &&
	    disks_take && nobody_traced && continue
	tap 1 "after kill -9 of faults $*"
	diff "$T/before" "$T/after" | sed 's/^/#   /'
	raftlab ps | sed 's/^/#   /'
	break
done
is "after kill -9 at so many moments all is as before" "$n" "$kills"
ok "the cluster is healthy" raftctl -t 20s wait healthy
ok "the lab ends" raftlab down
echo "1..$tap_n"
[ "$tap_failed" -eq 0 ]
