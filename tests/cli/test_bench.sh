#!/bin/sh
# test_bench.sh: make bench as a whole, for a moment: what it prints, what it
# records, what it compares with.
. "$(dirname "$0")/lib.sh"

for what in core kv wire; do
	if [ ! -x "$build/tests/bench/bench_$what" ]; then
		skip "all of it" "make tests has not built bench_$what"
		end
	fi
done
mkdir "$T/tmp"
TMPDIR=$T/tmp BENCH_SHORT=1 BENCH_RESULTS=$T/results
export TMPDIR BENCH_SHORT BENCH_RESULTS

must_fail "a part that is none" 64 "$top/tests/bench/run" nothing
ok "the first run" "$top/tests/bench/run"
first=$(ls "$T/results")
is "is recorded" "$(ls "$T/results" | wc -l)" 1
is "all parts stand in it" "$(jq -r '.figures | keys |
    map(split("/")[0]) | unique | join(" ")' "$T/results/$first")" \
    "disk failover memory micro restart steady"
ok "no figure is missing" jq -e '.short and (.figures | length == 37 and
    all(.[]; type == "number" and . >= 0))' "$T/results/$first"
sleep 1 # names of results are of one second
ok "the second run" "$top/tests/bench/run" micro
cp "$T/tap.out" "$T/second"
ok "compares with it" grep -q "last: .*$first" "$T/second"
is "in each figure it has" "$(grep -cE '^micro.* [0-9.]+$' "$T/second")" 13
is "nothing is left behind" "$(ls -A "$T/tmp")" ""

end
