#!/bin/sh
# test_pages.sh: manual pages and programs say the same: options both ways,
# commands, and the examples, which are run.
. "$(dirname "$0")/lib.sh"

# Options as --help prints them, of the program and of its commands.
helped() { # PROGRAM
	{
		"$1" --help
		for command in $(commands "$1"); do
			"$1" "$command" --help </dev/null
		done
	} 2>/dev/null | sed 's/[^A-Za-z0-9-]/ /g' | tr ' ' '\n' |
	    grep -xE -e '--[a-z][a-z0-9-]*|-[A-Za-z0-9]' | sort -u
}

# Commands: the first words of --help's table.
commands() { # PROGRAM
	case $1 in
	raftd | raftlab) ;;
	*)
		"$1" --help | sed -n 's/^  \([a-z][a-z]*\)\( .*\)\{0,1\}$/\1/p' |
		    sort -u
		;;
	esac
}

# Options as the page has them: Fl j, Fl \-json, Fl -json.
paged() { # PAGE
	sed 's/^\.\\".*//' "$1" |
	    grep -oE '(^\.|[ (])Fl +(\\?-)?[A-Za-z0-9][A-Za-z0-9-]*' |
	    sed -E 's/.*Fl +(\\?-)/--/; s/.*Fl +/-/; s/^--(.)$/--\1/' | sort -u
}

for page in "$top"/man/*.[18]; do
	name=${page##*/}
	program=${name%.?}
	command -v "$program" >/dev/null || continue
	helped "$program" >"$T/helped"
	paged "$page" >"$T/paged"
	is "$program: each option of --help is on its page" \
	    "$(comm -23 "$T/helped" "$T/paged" | tr '\n' ' ')" ""
	is "$program: each option on its page is in --help" \
	    "$(comm -13 "$T/helped" "$T/paged" | tr '\n' ' ')" ""
	for command in $(commands "$program"); do
		ok "$program: its page has $command" grep -qE \
		    "(Cm|Ic|Sq|Nm) .*$command" "$page"
	done
done
for program in "$build"/bin/* "$top/bin/raftlab"; do
	name=${program##*/}
	ok "$name has a page" sh -c 'ls "$1/man/$2".[18]' _ "$top" "$name"
done

# Examples: each page's literal blocks in EXAMPLES, one shell for a page, in
# a scratch directory and with a cluster of three.
examples() { # PAGE
	awk '
	/^\.Sh/ { here = /^\.Sh EXAMPLES/ }
	here && /^\.Bd -literal/ { inside = 1; next }
	/^\.Ed/ { inside = 0 }
	here && inside { print }' "$1" | sed 's/^\$ //; s/\\-/-/g; s/\\e/\\/g; s/\\&//g
	    s/\\(dq/"/g; s/\\(aq/'"'"'/g'
}
lab -n 3
printf 'a value\n' >"$T/file"
for page in "$top"/man/*.[178]; do
	name=${page##*/}
	examples "$page" >"$T/examples"
	[ -s "$T/examples" ] || continue
	# A sanitizer does not go with a preloaded clock.
	case $name/$build in
	faults.8/*-address* | faults.8/*-thread*)
		skip "$name: its examples run" "a build with a sanitizer"
		continue
		;;
	esac
	mkdir "$T/$name"
	cp "$T/file" "$T/$name/file"
	ln -s "$top/.build" "$T/$name/.build"
	{
		# shellcheck disable=SC2016
		echo 'trap '\''[ "$RAFT_LAB" = '"$RAFT_LAB"' ] ||
			! test -f "$RAFT_LAB/lab" || raftlab down'\'' EXIT'
		cat "$T/examples"
	} >"$T/script"
	ok "$name: its examples run" sh -c \
	    'cd "$1" && exec timeout 60 sh -e "$2"' _ "$T/$name" "$T/script"
done

end
