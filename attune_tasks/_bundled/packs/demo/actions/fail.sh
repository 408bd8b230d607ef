echo "connecting as admin:$(get_secret password)" >&2
echo "could not connect" >&2
exit 3
