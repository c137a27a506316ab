#!/bin/sh
# t/stress/mirrors, for a minute or as STRESS_SECONDS says.
exec "$(dirname "$0")/../stress/mirrors" --seconds "${STRESS_SECONDS:-60}"
