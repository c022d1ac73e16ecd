#!/bin/sh
# test_network_faults.sh: faults of the network, measured from outside, on
# loopback and between namespaces; what is left after healing and kill -9.
# Rules of others would stand among ours in one network.
if [ -z "${OWN_NETWORK:-}" ] && unshare -n true 2>/dev/null; then
	OWN_NETWORK=1 exec unshare -n "$0"
fi
. "$(dirname "$0")/../cli/lib.sh"
ip link set lo up 2>/dev/null

if [ "$(id -u)" != 0 ]; then
	skip "faults of the network" "needs root"
	end
fi
for table in filter mangle; do
	iptables -w 10 -t $table -nL >/dev/null 2>"$T/err" && continue
	skip "faults of the network" "no iptables: $(head -n 1 "$T/err")"
	end
done
probe=$top/tests/cli/netprobe.py
python=$(find_python socket)

# What the machine has: rules without their counts, qdiscs, namespaces.
machine() {
	iptables-save 2>/dev/null | sed '/^#/d; s/ \[[0-9:]*\]$//'
	tc qdisc show | sed 's/ refcnt [0-9]*//'
	# others make some while we look
	ip netns | grep -e "^${prefix:-rl}-"
}
prefix=none
host_of() { # ID
	raftlab ps -j | jq -r "select(.id == $1).peer" | sed 's/:[0-9]*$//'
}
peer_of() { # ID
	raftlab ps -j | jq -r "select(.id == $1).peer"
}
measure() { # WHAT FROM TO [N]
	"$python" "$probe" "$@"
}
within() { # NAME NUMBER LEAST MOST
	ok "$1: $2" awk -v n="$2" -v a="$3" -v b="$4" \
	    'BEGIN { exit !(n != "" && n + 0 >= a && n + 0 <= b) }'
}

foreign() { # -A|-D: rules that are not of faults
	iptables -w 10 "$1" INPUT -s 127.77.77.77 -m comment --comment foreign \
	    -j DROP
	iptables -w 10 -t mangle "$1" INPUT -s 127.77.77.77 -m comment \
	    --comment foreign -j MARK --set-mark 7
}
foreign -A
trap 'foreign -D
	finish' EXIT
lab -n 3 --tcp
machine >"$T/before"
a=$(host_of 1) b=$(host_of 2) c=$(host_of 3)
within "ms of an exchange without faults" "$(measure rtt "$a" "$b")" 0 5

faults delay 1 100ms >/dev/null
within "ms of an exchange that a delay of 100 hits" \
    "$(measure rtt "$a" "$b")" 95 105
within "and in the other direction too, by the answer" \
    "$(measure rtt "$b" "$a")" 95 105
within "but not between others" "$(measure rtt "$b" "$c")" 0 5
is "list tells the mechanism" "$(faults list | jq -r .mechanism)" nfqueue
kill -s KILL "$(cut -d' ' -f1 "$RAFT_LAB/faults/queue.pid")"
within "traffic flows when the holder of packets is dead" \
    "$(measure rtt "$a" "$b")" 0 5
ok "heal" faults heal

faults --for 30s delay '1>2' 20ms 5ms >/dev/null &
child $!
wait_for 5 grep -q . "$RAFT_LAB/faults/queue.pid"
wait_for 5 sh -c 'iptables -nL -t mangle 2>/dev/null | grep -q NFQUEUE'
within "ms of one direction of one link" "$(measure rtt "$a" "$b")" 15 25
within "its sender has other links" "$(measure rtt "$a" "$c")" 0 5
ok "heal" faults heal

udp() { # the four numbers of 10,000 datagrams from 1 to 2
	# shellcheck disable=SC2046 # four words
	set -- $(measure udp "$a" "$b" 10000)
	lost=$1 doubled=$2 late=$3 changed=$4
}
faults loss 1 5% >/dev/null
udp
within "lost in a million, with a loss of 5 %" "$lost" 40000 60000
ok "heal" faults heal
faults dup 1 10% >/dev/null
udp
within "doubled in a million, of 10 %" "$doubled" 80000 120000
within "and none lost" "$lost" 0 1000
ok "heal" faults heal
faults reorder 1 10% >/dev/null
udp
within "overtaken in a million, of 10 %" "$late" 70000 130000
ok "heal" faults heal
faults corrupt 1 10% >/dev/null
udp
within "changed in a million, of 10 %" "$changed" 80000 120000
ok "heal" faults heal
faults rate 1 8mbit >/dev/null
within "kbit/s of 8 mbit" "$(measure rate "$a" "$b" 1000000)" 6000 9500
ok "heal" faults heal

faults oneway 1 2 >/dev/null
is "one way: 1 does not reach 2" "$(measure connect "$a" "$(peer_of 2)")" no
is "one way: 2 reaches 1" "$(measure connect "$b" "$(peer_of 1)")" yes
ok "heal" faults heal
faults cut 1 2 >/dev/null
is "cut: 1 does not reach 2" "$(measure stream "$a" "$b")" no
is "cut: 2 does not reach 1" "$(measure stream "$b" "$a")" no
is "cut: both reach 3" "$(measure stream "$a" "$c")$(measure stream \
    "$b" "$c")" yesyes
faults partition '1,2|3' >/dev/null
is "two faults at once" "$(measure stream "$a" "$c")$(measure stream \
    "$b" "$c")$(measure stream "$a" "$b")" nonono
ok "the first is healed by its number" faults heal \
    "$(faults list | jq -r 'select(.kind == "cut").id')"
is "and the second stays" "$(measure stream "$a" "$c")$(measure stream \
    "$a" "$b")" noyes
ok "heal" faults heal
faults reset '1>2' >/dev/null
is "reset" "$(measure stream "$a" "$b")" reset
ok "heal" faults heal
machine >"$T/after"
ok "the machine is as before" cmp "$T/before" "$T/after" ||
    diff "$T/before" "$T/after" | sed 's/^/#   /'

# The connections of a lab are cut by heal --reset, and no others.
links() { # of server 1 with the others
	ss -tnH | awk '{ print $4, $5 }' | grep -F "$a:" |
	    grep -F -e "$b:" -e "$c:" | sort
}
are_new() {
	[ "$(links | wc -l)" -ge 2 ] && [ -z "$(links | comm -12 - "$T/links")" ]
}
links >"$T/links"
ok "the servers are connected" test -s "$T/links"
faults isolate 1 >/dev/null
ok "heal --reset" faults heal --reset
ok "the servers have new connections" wait_for 10 are_new
ok "and are healthy" raftctl -t 10s wait healthy
must_fail "--reset is of heal" 64 faults list --reset

# Addresses that are not of a lab, as of machines that somebody needs.
mkdir "$T/outside"
cp "$RAFT_LAB/lab" "$T/outside"
printf '%s\t192.0.2.%s:7000\tunix:/none\n' 1 1 2 2 3 3 >"$T/outside/addresses"
must_fail "what is outside a lab is refused" 77 \
    faults --lab "$T/outside" isolate 1
like "in one line, which tells how" "$(cat "$T/err")" "*192.0.2.1*--really*"
is "one line" "$(wc -l <"$T/err")" 1
ok "and nothing is active" faults --lab "$T/outside" list
ok "if it is meant it is done" faults --really --lab "$T/outside" isolate 1
ok "by rules for it" sh -c 'iptables -S | grep -q -e "-s 192.0.2.1"'
ok "and healed" faults --really --lab "$T/outside" heal
is "without a trace" "$(iptables -S | grep -c 192.0.2)" 0

# Who is not root is told so, in one line.
if setpriv --reuid 65534 --regid 65534 --clear-groups true 2>/dev/null; then
	cp -r "$T/outside" "$T/nobody"
	sed -i 's/192\.0\.2/127.9.9/' "$T/nobody/addresses"
	chmod 711 "$T"
	chown -R 65534:65534 "$T/nobody"
	must_fail "without root" 77 setpriv --reuid 65534 --regid 65534 \
	    --clear-groups "$build/bin/faults" --lab "$T/nobody" isolate 1
	like "the network is not to be broken" "$(cat "$T/err")" \
	    "faults: network faults need root, or a lab inside unshare -Urn"
else
	skip "without root" "no setpriv"
fi

# An isolated leader leads no more, and writes go on without it.
old=$(leader)
faults isolate "$old" >/dev/null
others=$(raftlab ps -j | jq -r "select(.id != $old).client" | paste -sd,)
ok "writes go on when the leader is isolated" \
    wait_for 20 raftctl -s "$others" -t 10s put key value
ok "heal" faults heal
ok "all catch up" wait_for 20 same_digest

# kill -9 at any moment; KILLS=50 for more.
kills=${KILLS:-8}
n=0
while [ $n -lt "$kills" ]; do
	n=$((n + 1))
	case $((n % 3)) in
	0) faults --for 60s isolate 1 >/dev/null 2>&1 & ;;
	1) faults --for 60s delay 2 20ms >/dev/null 2>&1 & ;;
	2) faults loss 3 5% >/dev/null 2>&1 & ;;
	esac
	pid=$!
	sleep "0.0$(awk -v n=$n 'BEGIN { srand(n); print int(rand() * 80) }')"
	kill -s KILL $pid 2>/dev/null
	wait $pid 2>/dev/null
	faults heal --all >/dev/null 2>"$T/err" || note "heal: $(cat "$T/err")"
	machine | cmp -s "$T/before" - || break
done
is "after kill -9 at so many moments all is as before" "$n" "$kills" ||
    machine | diff "$T/before" - | sed 's/^/#   /'
ok "nothing is active" faults list
ok "no process that holds packets is left" \
    test ! -e "$RAFT_LAB/faults/queue.pid"
ok "the lab ends" raftlab down

# Without root of the machine, in namespaces of user and network.
if unshare -Urn true 2>/dev/null; then
	cat >"$T/rootless" <<'END'
ip link set lo up
eval "$(raftlab up -n 3 --tcp)" || exit 1
trap 'raftlab down' EXIT
faults isolate 1 && iptables -S | grep -q -e '-j DROP' && faults heal &&
    ! iptables -S | grep -q FAULTS
END
	ok "works without root inside unshare -Urn" unshare -Urn \
	    sh "$T/rootless"
else
	skip "works without root inside unshare -Urn" "no user namespaces"
fi

# Where / is no mount of its own, as in a chroot, nothing runs in one.
{ ip netns add rlprobe$$ && ip netns exec rlprobe$$ true; } 2>/dev/null || {
	ip netns delete rlprobe$$ 2>/dev/null
	skip "a lab of namespaces" "cannot make a network namespace"
	end
}
ip netns delete rlprobe$$
machine >"$T/before"
lab -n 3 --netns
prefix=$(cat "$RAFT_LAB/netns")
inside() { # ID COMMAND...
	inside_id=$1
	shift
	ip netns exec "$prefix-$inside_id" "$@"
}
reaches() { # FROM TO: 1 answers a ping
	inside "$1" "$python" "$probe" connect "$(host_of "$1")" "$(peer_of "$2")"
}
is "namespaces: all reach each other" "$(reaches 1 2)$(reaches 2 3)" yesyes
hub() { # what stands in it, without counts
	nsenter --net="/run/netns/$prefix-hub" sh -c 'iptables-save
	    tc qdisc show' 2>/dev/null |
	    sed '/^#/d; s/ \[[0-9:]*\]$//; s/ refcnt [0-9]*//'
	for id in 1 2 3; do
		inside $id tc qdisc show
	done
}
# The first rule makes tables that stay.
faults delay 1 1ms >/dev/null
faults loss 1 1% >/dev/null
faults heal >/dev/null
hub >"$T/hub"
faults partition '1|2,3' >/dev/null
is "namespaces: partition" "$(reaches 1 2)$(reaches 3 1)$(reaches 2 3)" nonoyes
ok "heal" faults heal
connect_ms() {
	inside 1 "$python" -c 'import socket, sys, time
took = []
for _ in range(9):
    t = time.monotonic()
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
    took.append((time.monotonic() - t) * 1000)
print(min(took))' "$(host_of 2)" 7000
}
faults delay 1 50ms >/dev/null
within "namespaces: ms to connect with a delay of 50" "$(connect_ms)" 48 60
ok "heal" faults heal
faults rate 1 1mbit >/dev/null
like "namespaces: a rate is a tbf" "$(inside 1 tc qdisc show dev eth0)" \
    "*tbf fa17:*1Mbit*"
ok "heal" faults heal
is "namespaces: and it goes" \
    "$(inside 1 tc qdisc show dev eth0 | grep -c tbf)" 0
hub >"$T/hub.after"
ok "namespaces: all of them are as before" cmp "$T/hub" "$T/hub.after" ||
    diff "$T/hub" "$T/hub.after" | sed 's/^/#   /'
ok "the cluster serves" raftctl -t 10s put key value
ok "the lab ends" raftlab down
machine >"$T/after"
ok "the machine is as before" cmp "$T/before" "$T/after"
echo "1..$tap_n"
[ "$tap_failed" -eq 0 ]
