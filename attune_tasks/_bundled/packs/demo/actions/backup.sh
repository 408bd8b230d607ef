get_secret -v passphrase passphrase
mkdir files
for ((i = 1; i <= ATTUNE_ACTION_FILES; i++)); do
    echo "content of file $i" >"files/$i.txt"
done
tar -cf backup.tar files
echo "packed $ATTUNE_ACTION_FILES files"

# printf is bash's own: the passphrase is on no command line.
checksum=$({ printf %s "$passphrase" && cat backup.tar; } | sha256sum)
set_result "{\"files\": $ATTUNE_ACTION_FILES, \"checksum\": \"${checksum%% *}\"}"
