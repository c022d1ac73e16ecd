#!/bin/sh
# test_bugs.sh: what bugs.txt names as the test of a bug is there.
. "$(dirname "$0")/../cli/lib.sh"

cd "$top" || exit 71
tab=$(printf '\t')
grep -v '^#' tests/cluster/bugs.txt >"$T/bugs"
while IFS=$tab read -r number bug where; do
	file=
	missing=
	for word in $where; do
		case $word in
		tests/*)
			file=$word
			[ -e "$file" ] || missing="$missing $file"
			;;
		*) grep -q "$word" "$file" || missing="$missing $file:$word" ;;
		esac
	done
	is "bug $number: $bug" "$missing" ""
done <"$T/bugs"
end
