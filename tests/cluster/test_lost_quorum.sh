#!/bin/sh
# test_lost_quorum.sh: three of five data directories are gone; recover plan
# names who has most, raftwal recover makes a new cluster of what is left, and
# nobody of the old one rejoins by accident.
. "$(dirname "$0")/lib.sh"

lab -n 5
writers 2 q
more 200
raftlab kill 4 # it lacks what comes now
more 200
end_writers
same_but_4() {
	raftctl status --all -j | jq -s -e '[.[] | select(.ok)] |
	    length == 4 and (map([.applied, .digest]) | unique | length) == 1'
}
ok "the others hold the same" wait_for 20 same_but_4

# ---- while there is a quorum ------------------------------------------------

must_fail "a quorum is not lost while somebody leads" 1 \
    raftctl recover plan "$(client_of 1)" "$RAFT_LAB/4"
like "it says who" "$(cat "$T/err")" '*knows a leader*'
for id in 1 2 3 5; do
	raftlab kill $id
done
must_fail "nor while a majority of directories is left" 1 \
    raftctl recover plan "$RAFT_LAB/1" "$RAFT_LAB/2" "$RAFT_LAB/3"
like "it counts them" "$(cat "$T/err")" '*3 of 5 voters have survived*'
must_fail "nothing to look at" 64 raftctl recover plan
must_fail "no other verb" 64 raftctl recover now "$RAFT_LAB/1"
mkdir "$T/empty"
must_fail "a directory that holds nothing" 1 raftctl recover plan "$T/empty"

# ---- lost -------------------------------------------------------------------

for id in 1 2 3; do
	mv "$RAFT_LAB/$id" "$T/copy.$id"
done
cp -r "$RAFT_LAB/4" "$T/copy.4"
ok "the plan for people" raftctl -o text recover plan \
    "$RAFT_LAB/4" "$RAFT_LAB/5"
like "names the donor" "$(cat "$T/tap.out")" "*donor $RAFT_LAB/5: server 5*"
like "and who must be destroyed" "$(cat "$T/tap.out")" \
    "*destroy: server 1 *destroy: server 2 *destroy: server 3 *"
raftctl -j recover plan "$RAFT_LAB/4" "$RAFT_LAB/5" "$T/empty" >"$T/plan"
is "the plan for programs: the longest log is the donor" \
    "$(jq -c '[.donor.id, [.members[].id], .removed, [.destroy[].id],
	[.survivors[].ok], .epoch]' "$T/plan")" \
    '[5,[4,5],[1,2,3],[1,2,3],[true,true,false],1]'
ok "what is unproven lies behind what is known to be committed" jq -e \
    '.unproven == null or (.unproven.to == .donor.last and
    .unproven.from > ([.survivors[].commit] | max))' "$T/plan"
cluster=$(jq -r .cluster "$T/plan")
ok "a plan is of no group of its own: the survivor that runs tells the same" \
    raftlab start 5
is "as its directory" "$(raftctl -j recover plan "$(client_of 5)" "$RAFT_LAB/4" |
    jq -c '[.donor.id, .donor.last_term, .cluster, [.members[].id]]')" \
    "$(jq -c '[.donor.id, .donor.last_term, .cluster, [.members[].id]]' \
    "$T/plan")"
raftlab kill 5
raftctl -j recover plan "$RAFT_LAB/4" "$RAFT_LAB/5" >"$T/plan"

# ---- carried out ---------------------------------------------------------

ok "without --write nothing is done" raftwal recover --plan "$T/plan" \
    --confirm "$cluster" "$RAFT_LAB/5"
is "the plan is still the same" "$(raftctl -j recover plan "$RAFT_LAB/4" \
    "$RAFT_LAB/5" | jq -c '[.donor, .epoch]')" "$(jq -c '[.donor, .epoch]' \
    "$T/plan")"
must_fail "nor without the cluster's id" 64 raftwal recover \
    --plan "$T/plan" --write "$RAFT_LAB/5"
ok "on the donor" raftwal recover --plan "$T/plan" --write \
    --confirm "$cluster" "$RAFT_LAB/5"
ok "once more changes nothing" raftwal recover --plan "$T/plan" --write \
    --confirm "$cluster" "$RAFT_LAB/5"
ok "the donor serves alone" raftlab start 5
RAFT_ENDPOINTS=$(client_of 5)
export RAFT_ENDPOINTS
ok "and leads" raftctl -t 20s wait ready
is "in a new cluster" "$(raftctl status -j | jq -r '[.cluster, .epoch] |
    map(tostring) | join(" ")')" "$(jq -r .new_cluster "$T/plan") 1"
ok "no acknowledged write is lost" "$python" "$rpc" "$RAFT_ENDPOINTS" check \
    "$T"/acked.*

# ---- who comes back -------------------------------------------------------

members() {
	raftctl -t 5s members -j | jq -c -s 'map([.id, .voter])'
}
refused() { # ID: the new cluster wants nothing of it
	grep -q "another cluster\|former" "$RAFT_LAB/$1.log"
}
rev=$(raftctl status -j | jq .rev)
ok "the other survivor as it was" raftlab start 4
ok "is refused" wait_for 10 refused 4
is "and has no vote" "$(members)" '[[4,false],[5,true]]'
raftlab kill 4
for id in 1 2 3; do
	cp -r "$T/copy.$id" "$RAFT_LAB/$id"
	raftlab start $id
done
# They are a majority of the old cluster, and may lead one another.
ok "the three that were lost, restored from copies, are refused" \
    wait_for 10 refused 1
ok "all of them" wait_for 10 refused 2
is "the new cluster has not changed" "$(members)" '[[4,false],[5,true]]'
is "nor what it holds" "$(raftctl status -j | jq .rev)" "$rev"
is "nor who leads it" "$(leader)" 5
for id in 1 2 3; do
	raftlab kill $id
done
ok "the other survivor is recovered" raftwal recover --plan "$T/plan" \
    --write --confirm "$cluster" "$RAFT_LAB/4"
ok "starts" raftlab start 4
ok "and votes once it has caught up" wait_for 20 \
    raftctl -t 2s wait member 4 voter
must_fail "an id that is lost is not used again" 1 \
    raftctl add 1=unix:/nowhere
RAFT_ENDPOINTS=$(client_of 5),$(client_of 4)
ok "both hold the same" wait_for 20 same_digest

end
