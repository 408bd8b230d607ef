#!/bin/bash
set -eu
# Releases to clean up, in this execution's private folder: the example has no hosts.
mkdir releases
for age in 1 10 40 90 200; do touch -d "$age days ago" "releases/release-$age-days-old"; done
old=$(find releases -type f -mtime "+$ATTUNE_ACTION_DAYS" | sort)
count=$(printf %s "$old" | grep -c . || true)
for release in $old; do
    if [ "$ATTUNE_ACTION_DRY_RUN" = true ]; then echo "would remove $release"; else rm -v "$release"; fi
done
set_result "{\"releases\": $count, \"dry_run\": $ATTUNE_ACTION_DRY_RUN}"
