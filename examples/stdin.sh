#!/bin/sh
# Any program that prints a JSON object a line can report: here awk, into gradwatch push.
set -eu
awk 'BEGIN {
    for (step = 0; step < 80; step++) {
        growth = step > 50 ? 2 ^ (step - 50) : 1
        noise = 1 + 0.05 * sin(7 * step)
        printf "{\"step\": %d, \"loss\": %.6g, \"layers\": {\"embedding\": {\"grad_norm\": %.6g}, " \
            "\"rnn\": {\"grad_norm\": %.6g}}}\n", step, 2 * noise * sqrt(growth), 1 / noise, noise * growth
    }
}' | gradwatch push --project examples --name awk
