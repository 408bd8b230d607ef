get_secret -v canary canary
get_secret -v short canary_short
printf "can't log in with %s, nor with %s\n" "${short@Q}" "${canary@Q}" >&2
exit 3
