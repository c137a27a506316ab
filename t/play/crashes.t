#!/bin/sh
# t/stress/crashes with both kinds of store, as often as STRESS_KILLS says.
exec "$(dirname "$0")/../stress/crashes" --maildir --seed "${SEED:-1}" \
    --kills "${STRESS_KILLS:-6}"
