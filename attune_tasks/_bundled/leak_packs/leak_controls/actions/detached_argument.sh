get_secret -v value canary
(setsid bash -c 'sleep "$0"; exit' "$ATTUNE_ACTION_SECONDS" "$value" >/dev/null 2>&1 &)
sleep "$ATTUNE_ACTION_SECONDS"
