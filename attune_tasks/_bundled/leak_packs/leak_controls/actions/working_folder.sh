get_secret -v name canary_short
mkdir "$name"
cd "$name"
sleep "$ATTUNE_ACTION_SECONDS"
cd ..
rmdir "$name"
