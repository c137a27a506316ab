#!/bin/sh
# The configuration files that are installed as examples are right, with keys
# made for the test.
B=${B:-build}
n=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -days 2 -subj /CN=localhost -keyout "$dir/key.pem" -out "$dir/cert.pem" \
    2> /dev/null
cp "$dir/cert.pem" "$dir/ca.pem"
for d in mupdated backendd proxyd murderctl; do
	n=$((n + 1))
	sed "s|/etc/murder|$dir|" conf/$d.conf > "$dir/conf"
	if "$B/bin/$d" -n -f "$dir/conf" > /dev/null 2> "$dir/err"; then
		echo "ok $n - conf/$d.conf"
	else
		echo "not ok $n - conf/$d.conf"
		sed 's/^/# /' "$dir/err"
	fi
done
echo "1..$n"
