#!/bin/sh
# lib.sh: what the tests in POSIX sh share; a test reads it first.
#
#	. "$(dirname "$0")/../cli/lib.sh"
#
# Each check prints one line of TAP.  $T is a scratch directory with a short
# path; it and every process that was made known go away at the end, however
# that comes.  The programs under test are those of .build/gcc, or of the
# variant that RAFTKIT_BUILD names, and are first on the path.
#
#	ok NAME COMMAND...		the command succeeds
#	is NAME GOT WANT		two texts are the same
#	like NAME GOT PATTERN		a pattern of case(1) matches
#	must_fail NAME STATUS COMMAND...
#					it ends with this very status, which
#					the program's page documents; above 1
#					it says why, in $T/err or $T/out
#	wait_for SECONDS COMMAND...	until it succeeds; fails when time is up
#	skip NAME WHY
#	lab [raftlab up's arguments]	a cluster, ended with the test
#	leader				the leader's id
#	gone PID...			none of these processes runs
#	child PID			a process to be killed at the end
#	end				the plan; the last line of each test

set -u
LC_ALL=C.UTF-8
export LC_ALL
unset RAFT_LAB RAFT_ENDPOINTS RAFT_OUTPUT RAFT_GROUP RAFT_TIMEOUT
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${RAFTKIT_BUILD:-.build/gcc}
case $build in /*) ;; *) build=$top/$build ;; esac
RAFTLAB_BIN=$build/bin
PATH=$build/bin:$top/bin:$PATH
export RAFTLAB_BIN PATH
# A finding of a sanitizer must not look like a documented status.
ASAN_OPTIONS=exitcode=99:detect_leaks=1
LSAN_OPTIONS=exitcode=99
UBSAN_OPTIONS=print_stacktrace=1
TSAN_OPTIONS=exitcode=99:halt_on_error=1
export ASAN_OPTIONS LSAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS

T=$(mktemp -d /tmp/rk.XXXXXX) || exit 71
tap_n=0
tap_failed=0
labs=
children=

finish() {
	trap '' INT TERM HUP
	for tap_pid in $children; do
		kill -s KILL "$tap_pid" 2>/dev/null
	done
	for tap_lab in $labs; do
		[ ! -f "$tap_lab/lab" ] || raftlab -d "$tap_lab" down
	done
	rm -rf "$T"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

tap() { # 0|1 NAME
	tap_n=$((tap_n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_n - $2"
		return 0
	fi
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_n - $2"
	return 1
}

note() {
	printf '%s\n' "$*" | cut -c 1-400 | sed 's/^/# /'
}

show() { # FILE...
	for tap_file; do
		[ ! -s "$tap_file" ] || head -c 2000 "$tap_file" |
		    tail -n 20 | tr -d '\000' | sed 's/^/#   /'
	done
}

ok() { # NAME COMMAND...
	tap_name=$1
	shift
	"$@" >"$T/tap.out" 2>"$T/tap.err"
	tap_status=$?
	tap "$tap_status" "$tap_name" 2>/dev/null && return 0
	note "status $tap_status: $*"
	show "$T/tap.out" "$T/tap.err"
	return 1
}

is() { # NAME GOT WANT
	[ "$2" = "$3" ]
	tap $? "$1" && return 0
	note "got:  $2"
	note "want: $3"
	return 1
}

like() { # NAME GOT PATTERN
	# shellcheck disable=SC2254 # a pattern is wanted
	case $2 in
	$3) tap 0 "$1" && return 0 ;;
	esac
	tap 1 "$1"
	note "got:       $2"
	note "not like:  $3"
	return 1
}

must_fail() { # NAME STATUS COMMAND...
	tap_name=$1 tap_want=$2
	shift 2
	"$@" >"$T/out" 2>"$T/err"
	tap_status=$?
	[ "$tap_status" -eq "$tap_want" ] &&
	    { [ "$tap_want" -le 1 ] || [ -s "$T/err" ] || [ -s "$T/out" ]; }
	if ! tap $? "$tap_name"; then
		note "status $tap_status, want $tap_want with a reason: $*"
		show "$T/out" "$T/err"
		return 1
	fi
	case $1 in
	raft* | loadgen | faults) ;;
	*) return 0 ;;
	esac
	documented "$1" "$tap_want" && return 0
	tap 1 "$tap_name: status $tap_want is on the page of $1"
}

# Whether EXIT STATUS of a program's page has this number.
documented() { # PROGRAM STATUS
	cat "$top/man/$1".[18] 2>/dev/null | awk -v status="$2" '
	/^\.Sh/ { here = /EXIT STATUS/ }
	here && /^\.It/ {
		for (i = 2; i <= NF; i++)
			if ($i == status)
				found = 1
	}
	END { exit !found }'
}

wait_for() { # SECONDS COMMAND...
	tap_end=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt "$tap_end" ] || return 1
		sleep 0.05
	done
}

skip() { # NAME WHY
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}

child() { # PID
	children="$children $1"
}

lab() {
	raftlab up "$@" >"$T/up" 2>"$T/up.err"
	tap_status=$?
	if [ "$tap_status" -ne 0 ]; then
		tap 1 "a cluster starts: raftlab up $*"
		note "status $tap_status"
		show "$T/up.err"
		echo "1..$tap_n"
		exit 1
	fi
	eval "$(cat "$T/up")"
	labs="$labs $RAFT_LAB"
}

# Whether no such process runs; what nobody has waited for yet does not.
gone() { # PID...
	for tap_pid; do
		case $(sed 's/.*) //' "/proc/$tap_pid/stat" 2>/dev/null) in
		'' | Z*) ;;
		*) return 1 ;;
		esac
	done
}

# Where a server is served, as raftctl -s wants it.
client_of() { # ID
	raftlab ps -j | jq -r "select(.id == $1).client"
}

pid_of() { # ID
	raftlab ps -j | jq -r "select(.id == $1).pid"
}

leader() {
	raftctl -t 10s status -j 2>/dev/null | jq -r '.leader // empty'
}

# Some server but the leader.
follower() {
	tap_leader=$(leader)
	raftlab ps -j | jq -r "select(.running and .id != $tap_leader).id" |
	    head -n 1
}

# Whether all running servers have applied the same and have one digest.
same_digest() {
	raftctl -t 5s status --all -j >"$T/tap.all" 2>/dev/null || return 1
	jq -s -e 'length > 0 and all(.[]; .ok) and
	    (map([.applied, .digest]) | unique | length) == 1' "$T/tap.all"
}

# A python that knows msgpack; empty if there is none.
find_python() { # MODULE
	for tap_python in python3 /usr/bin/python3; do
		if "$tap_python" -c "import $1" 2>/dev/null; then
			echo "$tap_python"
			return 0
		fi
	done
	return 1
}

# Nothing that a sanitizer or an assertion would say stands in a log.
clean_logs() {
	! grep -lE 'Sanitizer|runtime error:|Assertion .* failed' \
	    "$RAFT_LAB"/*.log
}

end() {
	if [ -n "$labs" ] && [ -d "$RAFT_LAB" ]; then
		ok "no server complains of our own mistakes" clean_logs ||
		    grep -hE -A 12 'Sanitizer|runtime error|Assertion' \
			"$RAFT_LAB"/*.log | head -n 60
	fi
	echo "1..$tap_n"
	[ "$tap_failed" -eq 0 ]
	exit
}
