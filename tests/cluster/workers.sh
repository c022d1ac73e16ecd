#!/bin/sh
# workers.sh: what goes on beside the load of a torture; read by it.
#
# Each worker runs until the file $T/stop is there and notes what it did in
# $T/did, a JSON object a line: "what" and "status", the exit status.  Under
# faults most statuses are as good as any; what must not be is told by name.
# shellcheck disable=SC2154 # T is of the library of tests

did() { # WHAT STATUS
	printf '{"what":"%s","status":%s}\n' "$1" "$2" >>"$T/did"
}

working() {
	[ ! -e "$T/stop" ]
}

try() { # WHAT COMMAND...
	try_what=$1
	shift
	timeout 30 "$@" >/dev/null 2>"$T/try.err.$try_what"
	try_status=$?
	did "$try_what" $try_status
	return $try_status
}

# A small generator: the same seed asks for the same changes.
draw() { # BELOW: sets drawn
	drawn_seed=$(((drawn_seed * 1103515245 + 12345) % 2147483648))
	drawn=$((drawn_seed / 65536 % $1))
}

# A guest that is not of the lab, with an id that was never used: it joins,
# votes, and leaves for good.
guest() { # ID HOST
	dir=$T/guest
	rm -rf "$dir"
	raftd -n "$1" -d "$dir" -p "$2:$((20000 + $1))" -c "unix:$T/guest.sock" \
	    --join "$(raftlab ps -j | jq -r .peer | paste -sd,)" \
	    </dev/null >>"$T/guest.log" 2>&1 &
	guest_pid=$!
	tries=0
	while working && [ $tries -lt 5 ]; do
		tries=$((tries + 1))
		try add raftctl -t 5s add "$1=$2:$((20000 + $1))" && break
		sleep 0.3
	done
	working && try vote raftctl -t 10s wait member "$1" voter
	sleep 0.5
	tries=0
	# without it the next guest would be one member too many
	while [ $tries -lt 100 ]; do
		tries=$((tries + 1))
		try remove raftctl -t 5s remove "$1" && break
		raftctl -t 5s members -j >"$T/guests" 2>/dev/null &&
		    ! jq -e "select(.id == $1)" "$T/guests" >/dev/null && break
		sleep 0.3
	done
	kill -s KILL $guest_pid 2>/dev/null
	wait $guest_pid 2>/dev/null
}

work_members() { # SEED SERVERS HOST: of guests
	drawn_seed=$1 guests=0
	while working; do
		draw 8
		turn=$drawn
		draw "$2"
		id=$((drawn + 1))
		case $turn in
		[01]) try transfer raftctl -t 5s transfer ;;
		[23])
			try demote raftctl -t 5s demote $id
			sleep 0.3
			try promote raftctl -t 5s promote $id
			;;
		4) try transfer-to raftctl -t 5s transfer $id ;;
		5) try promote raftctl -t 5s promote $id ;;
		*)
			guests=$((guests + 1))
			guest $(($1 % 1000 * 100 + guests + 100)) "$3"
			;;
		esac
		sleep 0.7
	done
}

work_snapshots() { # SEED SERVERS
	drawn_seed=$1
	while working; do
		draw "$2"
		try snapshot raftctl -s "$(client_of $((drawn + 1)))" -t 5s \
		    snapshot
		sleep 1
		if try save raftsnap save -d "$RAFT_LAB/$((drawn + 1))" \
		    "$T/saved"; then
			try verify raftsnap verify "$T/saved" ||
			    echo "a snapshot that was saved is bad" \
				>>"$T/wrong"
		fi
		rm -f "$T/saved"
		sleep 1
	done
}

# One of several that want the same lock, and must never have it together.
work_lock() { # NAME
	while working; do
		# shellcheck disable=SC2016 # for the shell inside
		try lock raftctl -t 10s lock -w 5s --ttl 3s "$1" -- sh -c '
			flock -n "$1" sleep 0.05 || {
				echo "two hold a lock" >>"$2"
				exit 9
			}' _ "$T/locked" "$T/wrong"
		sleep 0.05
	done
}

has_locks() {
	raftctl --help | grep -q '^  lock '
}

# Follows all keys of a round in a file.  A server that was sent a snapshot
# has not what came before it: then another is asked, from the same place on.
# (A cursor would be synced for each revision, too slow for this load.)
work_watch() { # PREFIX FILE ENDPOINTS REV: since when
	ends=$3
	while working; do
		since=$(grep -v '"type":"compacted"' "$2" | tail -n 1 |
		    jq -r '.rev // empty')
		raftctl -s "$ends" watch -j --prefix --since "${since:-$4}" \
		    "$1" >>"$2" 2>"$2.err" &
		echo $! >"$2.pid"
		wait $!
		did watch $?
		ends=${ends#*,},${ends%%,*}
		sleep 0.1
	done
}
