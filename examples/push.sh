#!/bin/sh
# Reports a training with nothing but curl and awk; a step sent twice is stored once, so curl may retry.
set -eu
api="${GRADWATCH_URL:-http://127.0.0.1:8321}/api/v1"

post() { # path, body
    curl --silent --show-error --fail-with-body --noproxy localhost,127.0.0.1 \
        --retry 8 --retry-all-errors --max-time 30 \
        -H "Content-Type: application/json" ${GRADWATCH_API_KEY:+-H "Authorization: Bearer $GRADWATCH_API_KEY"} \
        "$api$1" -d "$2"
}

steps() { # first, last: the JSON of these steps
    awk -v first="$1" -v last="$2" 'BEGIN {
        printf "{\"steps\": ["
        for (step = first; step <= last; step++) {
            growth = step > 50 ? 2 ^ (step - 50) : 1
            noise = 1 + 0.05 * sin(7 * step)
            printf "%s{\"step\": %d, \"loss\": %.6g, \"layers\": {\"embedding\": {\"grad_norm\": %.6g}, " \
                "\"rnn\": {\"grad_norm\": %.6g}}}", (step > first ? ", " : ""), step, \
                2 * noise * sqrt(growth), 1 / noise, noise * growth
        }
        print "]}"
    }'
}

run=$(post /runs '{"project": "examples", "name": "shell"}' | sed 's/.*"id":"\([^"]*\)".*/\1/')
for first in 0 20 40 60; do
    post "/runs/$run/steps" "$(steps "$first" $((first + 19)))" >/dev/null
done
post "/runs/$run/finish" '{"state": "failed", "reason": "exploded"}' >/dev/null
echo "$run"
