# Shows its secrets in the ways that are masked, hands one on as it should be, and has processes crash.
get_secret -v canary canary
get_secret -v short canary_short
for text in "$canary" "$short"; do
    printf '%s\n' "$text" "${text@Q}"
    printf '%q\n' "$text" >&2
    printf %s "$text" | base64 >&2
    printf %s "$text" | od -An -tx1 -v | tr -d ' \n'
    echo
done
set -x
: "$canary" "$short"
set +x
set_progress 50 "half of $short and ${canary@Q}"
printf %s "$canary" | cat >/dev/null
# The kernel's word for a core dump is in what bash says of how a process ended.
said=
for signal in SEGV ABRT; do
    { (kill -"$signal" "$BASHPID") || true; } 2>"$TMPDIR/said"
    said+=$(<"$TMPDIR/said")
done
dumps=${said//'core dumped'/$'\n'}
dumps=${dumps//[!$'\n']/}
sleep "$ATTUNE_ACTION_SECONDS"
set_result "{\"short\": \"$short\", \"$short\": [\"within $short a text\"], \"core_dumps\": ${#dumps}}"
