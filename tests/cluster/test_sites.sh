#!/bin/sh
# test_sites.sh: with 100 ms between two sites, the one with the majority
# commits in its own time, and the other follows.
. "$(dirname "$0")/../cli/lib.sh"

if [ "$(id -u)" != 0 ] || ! iptables -w 10 -t mangle -nL >/dev/null 2>&1; then
	skip "two sites" "needs root and iptables"
	end
fi
{ ip netns add rlsites$$ && ip netns exec rlsites$$ true; } 2>/dev/null || {
	ip netns delete rlsites$$ 2>/dev/null
	skip "two sites" "cannot make a network namespace"
	end
}
ip netns delete rlsites$$
"$top/tests/cluster/sites" -t 1 -r 200 >"$T/sites" 2>"$T/err" || show "$T/err"
note "$(cat "$T/sites")"
holds() { # NAME CONDITION
	jq -s -e --arg name "$1" "map(select(.name == \$name))[0] | $2" \
	    "$T/sites"
}
for who in "leader where the majority is" "learners at the other site"; do
	ok "$who: commits in the site's own time" holds "$who" \
	    '.at_leader_ms.p50 < 50'
	ok "$who: there a write takes the way and back" holds "$who" \
	    '.at_the_other_site_ms.p50 >= 99'
	ok "$who: those far away follow" holds "$who" \
	    '.far_lag_ms.p50 >= 45 and .far_lag_ms.p50 < 150 and
	    .far_lag_entries.max < 200'
done
ok "a leader without a majority at its site waits for the other" \
    holds "leader where the minority is" '.at_leader_ms.p50 >= 99'
ok "all digests are equal" holds "all digests are equal" .ok
end
