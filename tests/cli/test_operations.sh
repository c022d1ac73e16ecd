#!/bin/sh
# test_operations.sh: the runbooks of raftkit-operations(7) do what they say.
#
# The blocks below .\" run are run in one shell, as those of README.md are by
# test_readme.sh, and print what those below .\" prints say.
. "$(dirname "$0")/lib.sh"

page=$top/man/raftkit-operations.7
mkdir "$T/book" "$T/work"
awk -v dir="$T/book" '
/^\.\\" run$/ { what = "run"; n++ }
/^\.\\" prints$/ { what = "prints" }
/^\.Bd/ && what != "" { inside = 1; next }
/^\.Ed/ { inside = 0; what = "" }
inside { gsub(/\\e/, "\\"); print > (dir "/" n "." what) }
END { print n + 0 > (dir "/count") }' "$page"
count=$(cat "$T/book/count")
ok "there are runbooks" test "$count" -ge 8

# One shell, with a mark between the blocks.
i=0
{
	echo 'set -e'
	# shellcheck disable=SC2016
	echo 'trap '\''[ ! -f "${RAFT_LAB-/}/lab" ] || raftlab down'\'' EXIT'
	while [ $i -lt "$count" ]; do
		i=$((i + 1))
		cat "$T/book/$i.run"
		# shellcheck disable=SC2016
		echo "exec >'$T/book/$((i + 1)).got'"
	done
} >"$T/book.sh"
(cd "$T/work" && exec timeout 200 sh "$T/book.sh") >"$T/book/1.got" \
    2>"$T/book.err" </dev/null
status=$?
is "they run to the end" $status 0 || show "$T/book.err"
i=0
while [ $i -lt "$count" ]; do
	i=$((i + 1))
	touch "$T/book/$i.prints" "$T/book/$i.got"
	ok "runbook $i prints what the page says" \
	    diff "$T/book/$i.prints" "$T/book/$i.got"
done
ok "no word is missing from the page" sh -c "! mandoc -Tlint '$page' |
    grep -v 'referenced manual'"

end
