#!/bin/sh
# The murder in one process, on a virtual clock and a seed: t/sim/sim.c.  Seeds
# that have failed once are run first; then many, always the same ones.  A seed
# that fails says how to see it again.
B=${B:-build}
sim=$B/t/sim/sim
count=${SIM_SEEDS:-1000}
n=0
ok() { # ok STATUS DESCRIPTION
	n=$((n + 1))
	[ "$1" -eq 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
}

# The sanitizers make it slow, and look at other things.
nm "$sim" | grep -q __asan_init && count=$((count / 10))

failed=0
for seed in $(sed 's/#.*//' t/sim/seeds); do
	"$sim" --seed "$seed" > "$B/t/sim/out" && continue
	echo "# seed $seed failed"
	sed 's/^#*/#/' "$B/t/sim/out"
	failed=1
done
ok $failed "seeds that failed once"

"$sim" --from 1 --seeds "$count" > "$B/t/sim/out"
all=$?
grep '^#' "$B/t/sim/out"
ok $all "seeds 1 to $count"

one=$("$sim" --seed 7) && two=$("$sim" --seed 7) && [ "$one" = "$two" ]
ok $? "a seed is the same run each time"

# What the invariants are worth: a simulator that is wrong must be caught.
for what in sync commit grant barrier; do
	from=1
	until "$sim" --from $from --seeds 100 --break $what | grep -q '^not'; do
		from=$((from + 100))
		[ $from -gt 1000 ] && break
	done
	[ $from -lt 1000 ]
	ok $? "noticed: $what"
done
echo "1..$n"
