# Runs one shell action. Sourced by `bash -c '. "$1"' SCRIPT THIS_FILE LENGTH`: $0 is the script, LENGTH the number of
# bytes of the secrets' line. bash itself takes the line apart: no other interpreter, no temporary file, and no data is
# ever evaluated. How the line is written is in docs/wire-protocol.md.

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
    printf 'attune_tasks: shell actions need bash 4.4 or newer, this is %s\n' "$BASH_VERSION" >&2
    exit 126
fi

declare -A ATTUNE_SECRETS=()

_attune_read_secrets() {
    local - IFS='"' LC_ALL=C line name value
    local -a parts
    local -i i
    set -f
    IFS= read -r -N "$1" line || {
        printf 'attune_tasks: the secrets'\'' line ended too early\n' >&2
        exit 126
    }
    # {"name":"value","name":"value"}: split at the quotes, names stand at 1, 5, 9 …, values at 3, 7, 11 …
    # No quote is within a name or a value: the writer escapes it, like backslash and control characters, as \u00XX.
    parts=($line)
    for ((i = 1; i + 2 < ${#parts[@]}; i += 4)); do
        name=${parts[i]} value=${parts[i + 2]}
        if [[ $value == *\\* ]]; then
            printf -v value %b "$value"
        fi
        ATTUNE_SECRETS[$name]=$value
    done
}

# get_secret NAME prints the value, with no newline added; get_secret -v VAR NAME sets a variable, without a subshell.
# A name that the action does not declare gives the empty text, and status 0.
get_secret() {
    { local - && set +x; } 2>/dev/null
    if [[ ${1-} == -v ]]; then
        if [[ $# -ne 3 || ! $2 =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]]; then
            printf 'get_secret: usage: get_secret -v VAR NAME\n' >&2
            return 2
        fi
        if [[ $3 =~ ^[A-Za-z_][A-Za-z0-9_.-]*$ ]]; then
            printf -v "$2" %s "${ATTUNE_SECRETS[$3]-}"
        else
            printf -v "$2" %s ''
        fi
    elif [[ $# -ne 1 ]]; then
        printf 'get_secret: usage: get_secret NAME, or get_secret -v VAR NAME\n' >&2
        return 2
    elif [[ $1 =~ ^[A-Za-z_][A-Za-z0-9_.-]*$ ]]; then
        printf %s "${ATTUNE_SECRETS[$1]-}"
    fi
}

# set_result JSON: what the execution gives as its result.
set_result() {
    if [[ $# -ne 1 ]]; then
        printf 'set_result: usage: set_result JSON\n' >&2
        return 2
    fi
    printf '{"type":"result","value":%s}\n' "${1//$'\n'/ }" >&"$_ATTUNE_CONTROL"
}

_attune_read_secrets "$2"
unset -f _attune_read_secrets

# The control channel goes to 10 or above and leaves 3 free, for `exec 3>&1` is common in scripts.
exec {_ATTUNE_CONTROL}>&"$ATTUNE_CONTROL_FD" {ATTUNE_CONTROL_FD}>&-
unset ATTUNE_CONTROL_FD

set --
set -e
if [[ -v ATTUNE_PARAMS_FD ]]; then
    exec {_ATTUNE_CODE}<&"$ATTUNE_PARAMS_FD" {ATTUNE_PARAMS_FD}<&-
    unset ATTUNE_PARAMS_FD
    . "/dev/fd/$_ATTUNE_CODE" # its first command closes that descriptor
else
    . "$0"
fi
