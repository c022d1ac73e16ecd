#!/bin/sh
# test_quarantine.sh: a server comes back with an old copy of its directory,
# or with an empty one, under the same id.  Its peers know; it has no vote and
# nothing that it acknowledges counts, until it has caught up.
. "$(dirname "$0")/lib.sh"

status_of() { # ID JQ
	raftctl -t 2s -s "$(client_of "$1")" status -j | jq -r "$2"
}
log_has() { # ID PATTERN
	grep -q "$2" "$RAFT_LAB/$1.log"
}
forget_log() { # ID
	: >"$RAFT_LAB/$1.log"
}
is_trusted() { # ID
	[ "$(status_of "$1" .quarantined)" = false ] && log_has "$1" event=trusted
}

lab -n 3
writers 2 q
more 100
lead=$(leader)
old=$(follower)
third=$((6 - lead - old))
rm -rf "$T/copy"

# ---- a copy of a directory that was in use -----

cp -r "$RAFT_LAB/$old" "$T/copy"
more 200 # of which some are acknowledged by the one that was copied
raftlab stop "$old"
rm -rf "${RAFT_LAB:?}/$old"
cp -r "$T/copy" "$RAFT_LAB/$old"
forget_log "$old"
# While one of the two others is away nothing can be committed: what counts
# are two who remember.
raftlab pause "$third"
ok "an old copy starts" raftlab start "$old"
ok "it is told that it forgot" wait_for 10 log_has "$old" event=quarantine
like "and what to do" "$(grep event=quarantine "$RAFT_LAB/$old.log")" \
    '*remove it and add it under a new id*'
is "its status says so" "$(status_of "$old" .quarantined)" true
must_fail "its acknowledgement does not count" 3 \
    raftctl -t 2s put alone x
is "it is still not trusted" "$(status_of "$old" .quarantined)" true
ok "and it is not elected" [ "$(status_of "$old" .role)" != leader ]
raftlab resume "$third"
ok "with the third one back it catches up and is trusted" \
    wait_for 20 is_trusted "$old"
more 100
end_writers
nothing_lost "an old copy"
ok "its vote counts again" raftlab kill "$third"
ok "so that a write is committed with it" raftctl -t 10s put with x
raftlab start "$third"
ok "all is well" wait_for 20 raftctl -t 2s wait healthy
is "the members say so" "$(raftctl members -j |
    jq -c -s 'map(.quarantined)')" '[false,false,false]'

# ---- an empty directory -----

writers 1 e
more 50
lead=$(leader)
old=$(follower)
raftlab kill "$old"
rm -rf "${RAFT_LAB:?}/$old"
forget_log "$old"
ok "an empty directory under the same id" raftlab start "$old"
ok "is quarantined" wait_for 10 log_has "$old" event=quarantine
ok "and trusted once it has caught up" wait_for 20 is_trusted "$old"
forget_log "$old"
raftlab kill "$old"
ok "which it remembers" raftlab start "$old"
more 50
end_writers
nothing_lost "an empty directory"
ok "no second quarantine" sh -c "! grep -q event=quarantine '$RAFT_LAB/$old.log'"

# ---- a cluster at rest -----

raftlab stop "$old"
rm -rf "${RAFT_LAB:?}/$old"
forget_log "$old"
raftlab start "$old"
ok "without a write to come it is trusted, too" wait_for 20 is_trusted "$old"

# ---- a former leader --------------------------------------------------------

# It acknowledged nothing, but its term was durable: it must not stand for the
# same one again.
old=$(follower)
rm -rf "$T/copy"
cp -r "$RAFT_LAB/$old" "$T/copy"
ok "a copy from before it led" raftctl -t 10s transfer "$old"
raftctl -t 10s put led x
raftlab kill "$old"
rm -rf "${RAFT_LAB:?}/$old"
cp -r "$T/copy" "$RAFT_LAB/$old"
forget_log "$old"
raftlab start "$old"
ok "is known for what it is" wait_for 10 log_has "$old" event=quarantine
ok "and caught up, it is trusted" wait_for 20 is_trusted "$old"
is "nothing is lost" "$(raftctl -t 10s get led)" x

# ---- killed meanwhile -----

lead=$(leader)
old=$(follower)
third=$((6 - lead - old))
raftlab stop "$old"
rm -rf "${RAFT_LAB:?}/$old"
forget_log "$old"
forget_log "$lead"
raftlab pause "$third"
raftlab start "$old"
ok "quarantined once more" wait_for 10 log_has "$old" event=quarantine
# Its note of it is durable, or it would not have been let in.
ok "and the other one knows" wait_for 10 log_has "$lead" event=quarantined
raftlab kill "$old"
forget_log "$old"
raftlab start "$old"
is "over a restart as well" "$(status_of "$old" .quarantined)" true
raftlab resume "$third"
ok "until all are there" wait_for 20 is_trusted "$old"
ok "all digests are equal" wait_for 20 same_digest

end
