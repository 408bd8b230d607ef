# Runs in bash with `set -e`, in a private folder that is removed afterwards: real backups go elsewhere.
tar -czf backup.tar.gz -C "$ATTUNE_ACTION_FOLDER" .
get_secret -v passphrase passphrase

# printf is bash's own: the passphrase is never on a command line, where `ps` would show it.
checksum=$({ printf %s "$passphrase"; cat backup.tar.gz; } | sha256sum)
echo "packed $ATTUNE_ACTION_FOLDER"
set_result "{\"checksum\": \"${checksum%% *}\", \"bytes\": $(wc -c <backup.tar.gz)}"
