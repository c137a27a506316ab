#!/bin/sh
# Functions end within 80 lines.  A longer one is to be made of two, unless it
# is a switch whose arms are calls: then it is named here.
n=0
for f in $(find lib imap proxyd backendd mupdated -name '*.c'); do
	n=$((n + 1))
	long=$(awk '
		/^{/ { from = NR }
		/^}/ && from { if (NR - from - 1 > 80)
			printf "# line %d: %d lines\n", from, NR - from - 1
			from = 0 }' "$f")
	[ -z "$long" ] && echo "ok $n - $f" || echo "not ok $n - $f
$long"
done
echo "1..$n"
