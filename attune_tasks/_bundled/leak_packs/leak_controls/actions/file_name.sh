get_secret -v canary_short canary_short
: >"session-$canary_short"
sleep "$ATTUNE_ACTION_SECONDS"
rm "session-$canary_short"
