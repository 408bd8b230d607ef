get_secret -v canary canary
printf '%s\n' "$canary" >credentials
sleep "$ATTUNE_ACTION_SECONDS"
rm credentials
