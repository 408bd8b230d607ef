get_secret -v name canary_short
exec 7>"$name"
sleep "$ATTUNE_ACTION_SECONDS"
rm -f "$name"
