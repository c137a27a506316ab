#!/bin/sh
# Each DAEMON.conf.5 and its daemon agree: every option that -n prints has an
# item in the page, and every item is an option.  The page's example is the
# configuration used, so that parses too.
B=${B:-build}
. t/lint/check.sh

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
for d in mupdated backendd proxyd murderctl; do
	page=man/$d.conf.5
	[ -x "$B/bin/$d" ] && [ -f $page ] || continue
	# Files of keys need not be on the machine that checks the page.
	sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/p' $page |
	    sed -n '/^\.Bd/,/^\.Ed/p' | grep -v '^\.' |
	    grep -vE '^[a-z_]*tls(_cert|_key|_ca)? *=|_(cert|key|ca) *=' |
	    sed 's/\\e/\\/g; s/\\&//g' > "$dir/conf"
	if "$B/bin/$d" -n -f "$dir/conf" > "$dir/out" 2> "$dir/err"; then
		check "$d: the example parses" ""
	else
		check "$d: the example parses" "$(cat "$dir/err")"
		continue
	fi
	sed -nE 's/^([a-z_]+) =.*/\1/p; s/^# ([a-z_]+) is not set$/\1/p' \
	    "$dir/out" | sort -u > "$dir/options"
	sed -nE 's/^\.It (Ic|Cm) ([a-z_]+)( .*)?$/\2/p' $page |
	    sort -u > "$dir/items"
	check "$d: every option is in the page" \
	    "$(comm -23 "$dir/options" "$dir/items")"
	check "$d: every item is an option" \
	    "$(comm -13 "$dir/options" "$dir/items")"
done
for page in man/*.[1-9]; do
	check "$page is clean" "$(mandoc -Tlint -Wwarning $page 2>&1)"
done
echo "1..$n"
