#!/bin/sh
# GNUmakefile lists the sources of the daemons: all of them and no others.
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
make -s --no-print-directory sources > "$dir/listed"
find lib imap proxyd backendd mupdated -name '*.c' | LC_ALL=C sort > "$dir/there"
LC_ALL=C sort -o "$dir/listed" "$dir/listed"
if diff "$dir/listed" "$dir/there" > "$dir/diff"; then
	echo "ok 1 - listed and there"
else
	echo "not ok 1 - listed (<) and there (>)"
	sed 's/^/# /' "$dir/diff"
fi
echo 1..1
