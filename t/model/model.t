#!/bin/sh
# The model of the murder's protocol, murder.pml: spin searches each of its
# configurations whole and finds nothing; and finds a way to break the murder
# in each mutation.  An argument (M_NO_LEASE) runs only what has it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/murder.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

# What is searched | macros | what a mutation breaks ("-": nothing may)
cat > "$dir/all" <<'END'
two backends make one name|CREATE|-
and the update server's disk is slow|CREATE SYNC FAULTS=1|-
a mailbox is deleted, its name wanted|DELETE|-
a mailbox is renamed, the new name wanted|RENAME|-
an administrator breaks what is held|FENCE|-
the list is lost, or restored|LOST FAULTS=1|-
a backend never comes back|DEATH|-
a frontend sees two renames|FRONT FAULTS=0|-
a client looks for a name|FRONT BARRIER FAULTS=1|-
all settles: two backends make one name|PROGRESS CREATE FAULTS=0|-
all settles: a mailbox is deleted|PROGRESS DELETE FAULTS=0|-
all settles: a mailbox is renamed|PROGRESS RENAME FAULTS=0|-
all settles: the list is lost|PROGRESS LOST FAULTS=0|-
all settles: a backend never comes back|PROGRESS DEATH FAULTS=0|-
all settles: a frontend|PROGRESS FRONT BARRIER FAULTS=0|-
active before the local commit|CREATE M_ACTIVATE_FIRST|listed_without_mailbox
OK although it is not active|CREATE M_OK_ANYWAY|ok_or_no_lied
what is undone is not released|CREATE M_NO_RELEASE|listed_without_mailbox
wanted while it is asked, and forgotten|CREATE M_FORGET_AGAIN|reservation_leaked
released without looking|CREATE M_RELEASE_BLIND|list_lies
a name is settled amid a change|CREATE M_SAY_BUSY|list_lies
released before the local commit|DELETE M_RELEASE_FIRST|ok_or_no_lied
an old session is heard after the new|CREATE M_OLD_SESSION|reservation_leaked
activation asks for no generation|CREATE M_NO_GENERATION|two_have_the_name
a grant that ended takes over|CREATE M_ANY_TAKEOVER|two_have_the_name
answered before it is durable|CREATE SYNC M_ANSWER_EARLY|ok_or_no_lied
the old name deleted first|RENAME M_DELETE_FIRST|neither_name_listed
the old name deleted unconditionally|RENAME M_PIPELINED|neither_name_listed
a rename is not taken back|RENAME M_NO_BACK|two_names
a takeover that the loser is not told|LOST M_SILENT_TAKEOVER|list_lies
generations used again|LOST M_REVISION_AGAIN|the_stale_one_won
what another has is destroyed|LOST M_DESTROY|ok_or_no_lied
what another has by an older grant stays|FENCE M_ASIDE_IF_OLDER|list_lies
an owner not told that its name is free|FENCE M_SILENT_FENCE|list_lies
reservations do not end|DEATH M_NO_LEASE|stuck
reservations do not end, and it shows|PROGRESS DEATH M_NO_LEASE|acceptance
a stream from before the difference|FRONT FAULTS=1 M_JOIN_EARLY|neither_name_seen
a difference taken in order|FRONT FAULTS=1 M_GONE_IN_ORDER|neither_name_seen
no barrier before "does not exist"|FRONT BARRIER FAULTS=1 M_NO_BARRIER|was_there
END
[ $# -eq 0 ] || { grep -w -- "$1" "$dir/all" > "$dir/some" || exit 2
	mv "$dir/some" "$dir/all"; }

# search NUMBER MACROS: its log is $dir/NUMBER/log.  Nothing if it is begun.
search() {
	mkdir "$dir/$1" 2>/dev/null && cd "$dir/$1" || return
	macros= how='-DSAFETY -DNOCLAIM' run= optimise=-O1
	for m in $2; do
		macros="$macros -D$m"
		case $m in
		PROGRESS) how=-DNFAIR=8 run='-a -f' ;;
		M_*) optimise=-O0 ;; # it is found long before all is searched
		esac
	done
	# Whatever gets stuck, the judge sees: -E.
	# shellcheck disable=SC2086 # words are meant
	{
		spin $macros -a "$here/murder.pml" &&
		cc $optimise -w $how -DCOLLAPSE -DNOREDUCE -DMEMLIM=1500 \
		    -DVECTORSZ=1024 -o pan pan.c &&
		./pan -E -m100000 $run
		[ ! -e murder.pml.trail ] ||
		    spin $macros -t -p -k murder.pml.trail "$here/murder.pml" |
		    awk -F: '$1 != last { print; last = $1 }' > trail
	} > log 2>&1
	rm -f pan pan.?
	cd "$dir" || exit
}

# verdict NUMBER WHAT MACROS BREAKS
verdict() {
	log=$dir/$1/log
	broken=$(sed -n -e 's/^pan:1: assertion violated *//p' \
	    -e 's/^pan:1: \(acceptance cycle\).*/\1/p' "$log")
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$log")
	if grep -q 'errors: 0$' "$log" && ! grep -q \
	    -e 'Search not completed' -e 'depth too small' "$log"; then
		found=-
	else
		found=${broken:-an error of spin}
	fi
	case $4,$found in
	-,-) echo "ok $1 - $2 ($3): $states states" ;;
	-,*) false ;;
	*,*"$4"*) echo "ok $1 - $2 ($3) is found: $4" ;;
	*) false ;;
	esac || {
		echo "not ok $1 - $2 ($3): $found"
		if [ -s "$dir/$1/trail" ]; then
			sed 's/^/# /' "$dir/$1/trail"
		else
			tail -20 "$log" | sed 's/^/# /'
		fi
	}
}

# Two at a time, each with what is next.
search_all() {
	n=0
	while IFS='|' read -r what macros breaks; do
		n=$((n + 1))
		(search $n "$macros")
	done < "$dir/all"
}
search_all &
search_all &
wait
n=0
while IFS='|' read -r what macros breaks; do
	n=$((n + 1))
	verdict $n "$what" "$macros" "$breaks"
done < "$dir/all"
echo "1..$n"
