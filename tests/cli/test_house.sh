#!/bin/sh
# test_house.sh: lint finds what it is there for, and the tests' own runner
# counts right.
. "$(dirname "$0")/lib.sh"

# ---- lint: one planted fault each, in a copy of some files ------------------

copy=$T/copy
mkdir "$copy"
(cd "$top" && cp --parents -t "$copy" .clang-format Makefile tests/lint \
    tests/layers.txt raftctl/errtext.h raftctl/mp.h raftwal/crc32c.h)
(cd "$copy" && git init -q . && git add -A) >/dev/null 2>&1

# planted NAME PATTERN FILE TEXT: with this at its end, lint names the file.
planted() {
	mkdir -p "$copy/$(dirname "$3")"
	[ ! -f "$copy/$3" ] || cp -p "$copy/$3" "$T/saved"
	printf '%b' "$4" >>"$copy/$3"
	RAFTKIT_BUILD=${5-none} "$copy/tests/lint" >"$T/lint" 2>&1
	like "lint: $1" "$? $(grep -c -- "$2" "$T/lint")" "1 [1-9]" ||
	    show "$T/lint"
	rm -f "$copy/$3"
	[ ! -f "$T/saved" ] || mv "$T/saved" "$copy/$3"
}
ok "lint: nothing to find" env RAFTKIT_BUILD=none "$copy/tests/lint"
file=raftctl/planted.c
head='/*\n * planted.c - a fault.\n */\n'
planted "a line too long" '81 columns' $file \
    "$head/* $(printf '%075d' 0) */\n"
planted "another format" 'clang-format' $file "${head}int   x;\n"
planted "no opening comment" 'opening comment' $file 'int x;\n'
planted "an unfinished mark" unfinished $file "$head/* TO""DO */\n"
planted "a banned function" banned $file \
    "${head}\nint\nf(char *p)\n{\n\treturn atoi(p);\n}\n"
planted "an edge against the layers" 'raftctl -> raftwal/crc32c.h' $file \
    "$head#include \"raftwal/crc32c.h\"\n"
planted "an include without its folder" 'without its folder' $file \
    "$head#include \"mp.h\"\n"
planted "a library in the wrong room" 'raftd -> <event2/event.h>' \
    raftd/planted.c "$(printf '%s' "$head" | sed 's/raftctl/raftd/')\
#include <event2/event.h>\n"
planted "the core knows nobody" 'raftd/core -> raftctl/mp.h' \
    raftd/core/planted.c "$head#include \"raftctl/mp.h\"\n"
planted "a header that does not compile alone" 'compile alone' \
    raftctl/planted.h '/*\n * planted.h - a fault.\n */\nsize_t x;\n'
planted "a new entry at the top" 'top level' planted/x 'x\n'
planted "shell that does not parse" 'planted.sh' tests/cli/planted.sh \
    '#!/bin/sh\n# planted.sh: a fault.\nif\n'
planted "a page with a fault" 'planted.1' man/planted.1 \
    '.Dd November 20, 2026\n.Dt PLANTED 1\n.Os\n.Sh NAME\n.Xx\n'

# An object of the core that wants the clock.
mkdir -p "$copy/.build/plain/lib"
printf 'int time(int *);\nint f(void);\nint f(void) { return time(0); }\n' \
    >"$T/impure.c"
gcc -c -o "$T/impure.o" "$T/impure.c" -fno-builtin
ar rcs "$copy/.build/plain/lib/raftd-core.a" "$T/impure.o"
planted "the core reads no clock" 'not pure, it needs time' tests/none '' \
    .build/plain
rm "$copy/.build/plain/lib/raftd-core.a"
ar rcs "$copy/.build/plain/lib/raftd-fsm.a" "$T/impure.o"
planted "nor do the state machines" 'not pure, it needs time' tests/none '' \
    .build/plain

# ---- the runner -------------------------------------------------------------

# counts NAME WANT STATUS SCRIPT
counts() {
	printf '#!/bin/sh\n%s\n' "$4" >"$T/program"
	chmod +x "$T/program"
	"$top/tests/run" -t 5 "$T/program" >"$T/counted" 2>&1
	is "run: $1" "$? $(tail -n 1 "$T/counted")" "$3 $2"
}
counts "TAP" '2 passed, 0 failed' 0 'echo ok 1; echo ok 2; echo 1..2'
counts "TAP that fails" '1 passed, 1 failed' 1 \
    'echo ok 1; echo not ok 2; echo 1..2; exit 1'
counts "TAP that ends early" '1 passed, 1 failed' 1 'echo ok 1'
counts "TAP with a skip" '1 passed, 0 failed, 1 skipped' 0 \
    'echo ok 1; echo "ok 2 - x # SKIP none"; echo 1..2'
counts "libcheck" '3 passed, 0 failed' 0 \
    'echo "100%: Checks: 3, Failures: 0, Errors: 0"'
counts "libcheck that fails" '1 passed, 2 failed' 1 \
    'echo "33%: Checks: 3, Failures: 1, Errors: 1"; exit 1'
counts "a line of its own" '5 passed, 1 failed' 1 \
    'echo "5 passed, 1 failed"; exit 1'
counts "the same after lines that look like TAP" '6 passed, 0 failed' 0 \
    'echo "ok a: fine"; echo "6 passed, 0 failed"'
counts "a status alone" '1 passed, 0 failed' 0 'exit 0'
counts "a status that fails" '0 passed, 1 failed' 1 'exit 7'
counts "a signal" '2 passed, 1 failed' 1 \
    'echo ok 1; echo ok 2; echo 1..2; kill -9 $$'
counts "no end" '0 passed, 1 failed' 1 'sleep 60'
must_fail "run: no programs" 64 "$top/tests/run"

# ---- installing -------------------------------------------------------------

if [ "$build" = "$top/.build/gcc" ]; then
	ok "make install" make -s -C "$top" install DESTDIR="$T/inst" \
	    PREFIX=/opt/raftkit
	for p in raftd raftctl raftwal raftlab; do
		ok "$p is installed and runs" \
		    "$T/inst/opt/raftkit/bin/$p" --version
	done
	is "with its pages" "$(cd "$top" && ls man/*.[1-8] | wc -l)" \
	    "$(find "$T/inst/opt/raftkit/share/man" -type f | wc -l)"
	ok "make uninstall" make -s -C "$top" uninstall DESTDIR="$T/inst" \
	    PREFIX=/opt/raftkit
	is "removes every file" "$(find "$T/inst" -type f)" ""
else
	skip "make install" "not the plain build"
fi

end
