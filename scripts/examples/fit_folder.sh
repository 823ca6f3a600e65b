#!/usr/bin/env bash
# Fit every depth image below a folder, list the results with the largest residual first, and make a contact sheet.
# Usage: fit_folder.sh IMAGES OUT [options of handopt fit]
# Writes OUT/, OUT.tsv and OUT.png. It can be stopped and started again: what is done is not done again.
# The exit code is that of handopt fit: 0 all images are done, 1 some are not, 2 it could not begin, 130 Ctrl-C.
set -euo pipefail
if [ "$#" -lt 2 ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi
images=$1 out=${2%/}
shift 2

code=0
find "$images" -type f \( -name '*.png' -o -name '*.tif' -o -name '*.npy' \) -not -path "$out/*" -print0 | sort -z |
    handopt fit - --null --no-renders --quiet -o "$out" "$@" | sort -t "$(printf '\t')" -k 3 -g -r > "$out.tsv" || code=$?
if [ "$code" -gt 1 ]; then
    exit "$code"
fi

# With --json and jq instead: handopt fit … --json | jq -r 'select(.confidence < 0.5) | .image' > doubtful.txt
handopt report "$out" --sheet "$out.png" --overwrite --quiet > /dev/null || code=1
exit "$code"
