#!/bin/sh
# test_readme.sh: the tour of README.md does what it says.
#
# A block of code after "<!-- run -->" is run, all of them in one shell; what
# they print together with the blocks before is what the next block after
# "<!-- prints -->" says.
. "$(dirname "$0")/lib.sh"

if [ "$build" != "$top/.build/gcc" ]; then
	skip "the tour" "not the plain build"
	end
fi
mkdir "$T/tour"
awk -v dir="$T/tour" '
/^<!-- run -->$/ { what = "run"; n++ }
/^<!-- prints -->$/ { what = "prints" }
/^```/ && what != "" {
	if (inside) {
		inside = 0
		what = ""
	} else
		inside = 1
	next
}
inside { print > (dir "/" n "." what) }
END { print n + 0 > (dir "/count") }' "$top/README.md"
count=$(cat "$T/tour/count")
ok "README.md has a tour" test "$count" -ge 5

# One shell, with a mark between the blocks.  The lab is ours to end if the
# tour breaks off.
i=0
{
	echo 'set -e'
	# shellcheck disable=SC2016
	echo 'trap '\''[ ! -f "${RAFT_LAB-/}/lab" ] || raftlab down'\'' EXIT'
	while [ $i -lt "$count" ]; do
		i=$((i + 1))
		cat "$T/tour/$i.run"
		# shellcheck disable=SC2016
		echo "exec >'$T/tour/$((i + 1)).got'"
	done
} >"$T/tour.sh"
: >"$T/tour/1.got"
start=$(date +%s)
(cd "$top" && exec sh "$T/tour.sh") >"$T/tour/1.got" 2>"$T/tour.err" \
    </dev/null
status=$?
is "the tour runs to its end" $status 0 || show "$T/tour.err"
is "in five minutes" "$([ $(($(date +%s) - start)) -lt 300 ] && echo yes)" yes
i=0
while [ $i -lt "$count" ]; do
	i=$((i + 1))
	touch "$T/tour/$i.prints" "$T/tour/$i.got"
	ok "block $i prints what README.md says" \
	    diff "$T/tour/$i.prints" "$T/tour/$i.got"
done
for word in 'make demo' 'make check'; do
	ok "README.md names $word" grep -q "$word" "$top/README.md"
done
for folder in $(cd "$top" && git ls-files | grep / | cut -d/ -f1 | sort -u)
do
	ok "its map has $folder" grep -q "\`$folder/" "$top/README.md"
done

end
