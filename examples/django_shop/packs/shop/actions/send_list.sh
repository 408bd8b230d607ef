#!/bin/bash
# What standard error gets is shown, too.
set -eu
password=$(get_secret account)
set_progress 10 "logging in"
echo "logging in at warehouse $ATTUNE_ACTION_WAREHOUSE" >&2
[ -n "$password" ]
set_progress 60 "sending"
echo "24 orders sent${ATTUNE_ACTION_NOTE:+, with the note: $ATTUNE_ACTION_NOTE}"
set_progress 100 "done"
