#!/bin/sh
# What 'make bench' runs, for moments, on ours alone: it measures what it says.
top=$(cd "$(dirname "$0")/../.." && pwd)
groups=login,noop,lmtp,mupdate,propagation,fulllist,resume,list,scale
groups=$groups,append,longbox,find,counts,resync,sessions,recover
out=$("$top/t/bench/run" --quick --no-peers --only $groups --json /dev/stdout 2>&1)
n=0
has() { # has DESCRIPTION PATTERN
	n=$((n + 1))
	if echo "$out" | grep -q "$2"; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		echo "$out" | tail -20 | sed 's/^/# /'
	fi
}
has "logins" '^| login, SELECT, LOGOUT, 16 clients | [0-9.]* /s |'
has "round trips" '^| NOOP added, 1 clients, p50 | '
has "deliveries" '^| LMTP, 4 kB, synced, through, 64 clients | [0-9.]* /s |'
has "reservations" '^| RESERVE and ACTIVATE, durable, 8 .* | [0-9]* pairs/s |'
has "propagation" '^| answered to seen by each of 8 .* p99 | [0-9.e+-]* ms |'
has "a full list" '^| 2000 names to a new subscriber | [0-9.e+-]* ms |'
has "a frontend's copy" '^| 2000 names in an empty frontend.* | [0-9.]* s |'
has "resuming" '^| 100 missed changes, list of 2000 | [0-9.e+-]* ms |'
has "LIST" '^| LIST .* with 50 mailboxes of 2000 | [0-9.e+-]* ms |'
has "a copy at scale" '^| 10000 mailboxes, as a frontend.* file [0-9]* MB |'
has "appending" '^| MULTIAPPEND of 10 of 4 kB, messages | [0-9.]* /s |'
has "a long mailbox" '^| SELECT of 1000 messages, cold | [0-9.]* ms |'
has "searching" '^| SEARCH by body, 100 messages | [0-9.]* ms |'
has "counting" '^| LIST-STATUS of 10 | [0-9.]* ms |'
has "idle sessions" '^| memory of each of 20 idle selected .* | [0-9.-]* kB |'
has "recovery" '^| kill -9 behind 1 MB, .* | [0-9.]* s |'
has "every single figure, to be worked on" '"raw": \['
n=$((n + 1))
if echo "$out" | grep -q '"failed": [1-9]'; then
	echo "not ok $n - nothing failed"
else
	echo "ok $n - nothing failed"
fi
echo "1..$n"
